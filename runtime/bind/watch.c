#include "bind/watch.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bind/notice.h"
#include "bind/operation.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "io/file_survey_job.h"
#include "io/file_watch.h"

#define WATCH_TYPE "tidegate.watch"
#define PATHS_MAX 1024
#define SECONDS_MAX 86400.0

struct handle {
  struct file_watch *watch; /* NULL: closed */
  bool is_waited_for;
};

static struct handle *check_open(lua_State *L) {
  struct handle *handle = luaL_checkudata(L, 1, WATCH_TYPE);
  luaL_argcheck(L, handle->watch != NULL, 1, "the watch is closed");
  return handle;
}

static int push_closed(lua_State *L) {
  struct err err;
  err_set(&err, "closed", "the watch was closed");
  return bind_fail(L, &err);
}

/* --- following ------------------------------------------------------------------------------ */

struct looking {
  struct worker *worker;
  struct file_survey_job *job;
};

static void stop_looking(void *pointer) {
  struct looking *looking = pointer;
  file_survey_job_release(looking->job);
  worker_external_end(looking->worker);
  free(looking);
}

/* The strings stay anchored in the table at 2. */
static size_t check_paths(lua_State *L, const char *paths[PATHS_MAX]) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Unsigned count = lua_rawlen(L, 2);
  luaL_argcheck(L, count <= PATHS_MAX, 2, "more than 1024 paths");
  for (size_t i = 0; i < count; i++) {
    size_t length = 0;
    if (lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_argerror(L, 2, "a list of paths expected");
    paths[i] = lua_tolstring(L, -1, &length);
    luaL_argcheck(L, length > 0 && strlen(paths[i]) == length, 2, "a path is empty, or has a NUL");
    lua_pop(L, 1);
  }
  return count;
}

static void push_refusal(lua_State *L, const char *folder, const char *reason) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, folder);
  lua_setfield(L, -2, "folder");
  lua_pushstring(L, reason);
  lua_setfield(L, -2, "reason");
}

/* Several points of one folder are one entry; that a folder itself may go is not told of. */
static bool is_repeated(const struct file_watch *watch, size_t index) {
  const struct file_point *point = file_watch_point(watch, index);
  if (point->kind == FILE_POINT_SELF) return true;
  for (size_t i = 0; i < index; i++) {
    const struct file_point *other = file_watch_point(watch, i);
    if (other->kind != FILE_POINT_SELF && strcmp(point->folder, other->folder) == 0) return true;
  }
  return false;
}

static void append(lua_State *L, const char *list) {
  lua_getfield(L, -2, list);
  lua_insert(L, -2);
  lua_seti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

static void push_survey(lua_State *L, const struct file_survey *survey, bool is_new) {
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)survey->signature);
  lua_setfield(L, -2, "signature");
  lua_pushboolean(L, is_new);
  lua_setfield(L, -2, "is_new");
  lua_newtable(L);
  lua_setfield(L, -2, "folders");
  lua_newtable(L);
  lua_setfield(L, -2, "refused");
}

/* Adds the folders to the table on the top of the stack. */
static void add_folders(lua_State *L, const struct file_watch *watch) {
  for (size_t i = 0; file_watch_point(watch, i) != NULL; i++) {
    if (is_repeated(watch, i)) continue;
    const char *folder = file_watch_point(watch, i)->folder;
    const char *reason = file_watch_refusal(watch, i);
    if (reason == NULL) {
      lua_pushstring(L, folder);
      append(L, "folders");
    } else {
      push_refusal(L, folder, reason);
      append(L, "refused");
    }
  }
}

static int follow_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct looking *looking = operation_check(L, (int)context)->pointer;
  const struct file_survey *survey = file_survey_job_result(looking->job);
  struct handle *handle = luaL_checkudata(L, 1, WATCH_TYPE);
  if (survey == NULL) return task_await(L, follow_done, context);
  if (handle->watch == NULL) return push_closed(L);
  int is_new = survey->is_out_of_memory ? -1 : file_watch_set(handle->watch, survey);
  if (is_new < 0) return luaL_error(L, "no memory to watch files");
  push_survey(L, survey, is_new == 1);
  add_folders(L, handle->watch);
  if (survey->is_cut) {
    push_refusal(L, "(others)", "they are too many, or the working directory is gone");
    append(L, "refused");
  }
  return 1;
}

static int watch_follow(lua_State *L) {
  struct err err;
  const char *paths[PATHS_MAX];
  lua_settop(L, 2);
  check_open(L);
  size_t count = check_paths(L, paths);
  struct task *task = task_current(L);
  struct worker *worker = worker_of(L);
  struct operation *operation = operation_open(L, stop_looking);
  struct looking *looking = malloc(sizeof *looking);
  if (looking == NULL) return luaL_error(L, "no memory to watch files");
  looking->worker = worker;
  looking->job = file_survey_job_start(worker_loop(worker), paths, count, task_wake, task, &err);
  if (looking->job == NULL) {
    free(looking);
    return luaL_error(L, "%s", err.message);
  }
  worker_external_begin(worker);
  operation_hold(L, operation, looking);
  return task_await(L, follow_done, 3);
}

/* --- waiting -------------------------------------------------------------------------------- */

struct waiting {
  struct handle *handle; /* its value is at 1 as long as this is open */
  struct task *task;
  struct notice *notice;
  uint64_t give_up_ns;
};

static void stop_waiting(void *pointer) {
  struct waiting *waiting = pointer;
  if (waiting->handle->watch != NULL) file_watch_listen(waiting->handle->watch, NULL, NULL);
  waiting->handle->is_waited_for = false;
  notice_close(waiting->notice);
  free(waiting);
}

static int wait_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct waiting *waiting = operation_check(L, (int)context)->pointer;
  struct file_watch *watch = waiting->handle->watch;
  if (watch == NULL) return push_closed(L);
  uint64_t now = clock_monotonic_ns(worker_clock(worker_of(L)));
  uint64_t settles_at = file_watch_settles_at(watch);
  if (now >= settles_at || now >= waiting->give_up_ns) {
    if (now >= settles_at) file_watch_forget(watch);
    lua_pushboolean(L, now >= settles_at);
    return 1;
  }
  uint64_t due = settles_at < waiting->give_up_ns ? settles_at : waiting->give_up_ns;
  if (notice_after(waiting->notice, due - now) != 0) return luaL_error(L, "no memory for a timer");
  return task_await(L, wait_done, context);
}

static uint64_t check_seconds(lua_State *L, int index) {
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0 && seconds <= SECONDS_MAX, index, "0 to 86400 seconds");
  return (uint64_t)llround(seconds * 1e9);
}

static int watch_wait(lua_State *L) {
  lua_settop(L, 2);
  struct handle *handle = check_open(L);
  uint64_t wait_ns = check_seconds(L, 2);
  luaL_argcheck(L, !handle->is_waited_for, 1, "another task waits already");
  struct task *task = task_current(L);
  struct operation *operation = operation_open(L, stop_waiting);
  struct notice *notice = notice_new(L);
  struct waiting *waiting = notice_hold(notice, sizeof *waiting);
  if (waiting == NULL) return luaL_error(L, "no memory to wait");
  uint64_t now = clock_monotonic_ns(worker_clock(worker_of(L)));
  *waiting = (struct waiting){
      .handle = handle, .task = task, .notice = notice, .give_up_ns = now + wait_ns};
  operation_hold(L, operation, waiting);
  handle->is_waited_for = true;
  file_watch_listen(handle->watch, task_wake, task);
  file_watch_read(handle->watch);
  return wait_done(L, LUA_OK, 3);
}

/* --- the watch ------------------------------------------------------------------------------ */

static int watch_note(lua_State *L) {
  file_watch_note(check_open(L)->watch);
  return 0;
}

static int watch_is_noted(lua_State *L) {
  lua_pushboolean(L, file_watch_is_noted(check_open(L)->watch));
  return 1;
}

static int watch_close(lua_State *L) {
  struct handle *handle = luaL_checkudata(L, 1, WATCH_TYPE);
  struct file_watch *watch = handle->watch;
  handle->watch = NULL;
  if (watch != NULL) file_watch_close(watch);
  return 0;
}

/* Without events of the kernel: all is to be looked at again and again. */
static int open_nothing(void) {
  errno = ENOTSUP;
  return -1;
}

static const struct file_watch_system without_events = {open_nothing, NULL};

static bool wants_events(lua_State *L) {
  if (lua_isnoneornil(L, 1)) return true;
  luaL_checktype(L, 1, LUA_TTABLE);
  bool wants = lua_getfield(L, 1, "events") == LUA_TNIL || lua_toboolean(L, -1);
  lua_pop(L, 1);
  return wants;
}

static int l_new(lua_State *L) {
  struct worker *worker = worker_of(L);
  const struct file_watch_system *system = wants_events(L) ? NULL : &without_events;
  struct handle *handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = (struct handle){0};
  luaL_setmetatable(L, WATCH_TYPE);
  handle->watch = file_watch_new(worker_loop(worker), worker_clock(worker), system);
  if (handle->watch == NULL) return luaL_error(L, "no memory to watch files");
  return 1;
}

static const luaL_Reg methods[] = {
    {"follow", watch_follow},     {"wait", watch_wait},   {"note", watch_note},
    {"is_noted", watch_is_noted}, {"close", watch_close}, {NULL, NULL},
};

static const luaL_Reg functions[] = {{"new", l_new}, {NULL, NULL}};

int luaopen_tide_watch(lua_State *L) {
  luaL_newmetatable(L, WATCH_TYPE);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, watch_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, watch_close);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
