#include "bind/host.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/waiter.h"
#include "bind/host_files.h"
#include "bind/host_publications.h"
#include "bind/host_workers.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "bind/task.h"
#include "engine/app.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "io/address.h"
#include "io/listener.h"

#define RESERVED_MAX 32
#define ADVANCE_SECONDS_MAX 1e9
#define RESERVED_KEY "tidegate.reserved"

#ifndef TIDEGATE_VERSION
#define TIDEGATE_VERSION "0.1.0"
#endif

/* --- the lock --- */

static void read_owner(int descriptor, char *text, size_t size) {
  ssize_t count = pread(descriptor, text, size - 1, 0);
  text[count > 0 ? count : 0] = '\0';
  text[strcspn(text, "\n")] = '\0';
}

/* The descriptor stays open to the end of the process: that is what holds the lock. */
static int l_lock(lua_State *L) {
  struct err err;
  char owner[32];
  const char *path = luaL_checkstring(L, 1);
  int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    err_set(&err, "io", "cannot open the lock file %s: %s", path, strerror(errno));
    return bind_fail(L, &err);
  }
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    read_owner(descriptor, owner, sizeof owner);
    close(descriptor);
    err_set(
        &err, "locked",
        "%s is held by another tidegate, pid %s: a project has one at a time, stop that one first",
        path, owner);
    return bind_fail(L, &err);
  }
  int length = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
  if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, owner, (size_t)length, 0) != length) {
    close(descriptor);
    err_set(&err, "io", "cannot write the lock file %s: %s", path, strerror(errno));
    return bind_fail(L, &err);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* --- reserving addresses --- */

/* First bound alone, to see that the port is free and to learn its number, then again with
 * SO_REUSEPORT, so that it stays ours until the workers listen there. One that is known to be ours
 * already (`is_shared`), at another address, cannot be bound alone. */
static int reserve_one(const char *text, bool is_shared, char *bound, size_t size,
                       struct err *err) {
  struct address address;
  if (address_parse(&address, text, err) != 0) return -1;
  if (address.kind == ADDRESS_UNIX) {
    address_format(&address, bound, size);
    return -2;
  }
  int descriptor = listener_bind(&address, is_shared, err);
  if (descriptor < 0) return -1;
  socklen_t length = sizeof address.socket;
  getsockname(descriptor, &address.socket.any, &length);
  close(descriptor);
  address_format(&address, bound, size);
  return listener_bind(&address, true, err);
}

static bool is_member_true(lua_State *L, int list, lua_Integer index) {
  if (!lua_istable(L, list)) return false;
  bool is_true = lua_geti(L, list, index) == LUA_TBOOLEAN && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is_true;
}

static int l_reserve(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 1);
  luaL_argcheck(L, count >= 1 && count <= RESERVED_MAX, 1, "1 to 32 addresses");
  lua_settop(L, 2);
  lua_newtable(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, RESERVED_KEY);
  for (lua_Integer i = 1; i <= count; i++) {
    struct err err;
    char bound[ADDRESS_TEXT_MAX];
    lua_geti(L, 1, i);
    bool is_shared = is_member_true(L, 2, i);
    int descriptor = reserve_one(luaL_checkstring(L, -1), is_shared, bound, sizeof bound, &err);
    if (descriptor == -1) return bind_fail(L, &err);
    lua_pop(L, 1);
    lua_pushinteger(L, descriptor);
    lua_seti(L, 4, luaL_len(L, 4) + 1);
    lua_pushstring(L, bound);
    lua_seti(L, 3, i);
  }
  lua_pushvalue(L, 3);
  return 1;
}

static int l_check_address(lua_State *L) {
  struct err err;
  struct address address;
  if (address_parse(&address, luaL_checkstring(L, 1), &err) != 0) return bind_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* The workers listen: the reservations are no longer needed. */
static int l_release(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, RESERVED_KEY);
  lua_Integer count = luaL_len(L, -1);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, -1, i);
    int descriptor = (int)lua_tointeger(L, -1);
    if (descriptor >= 0) close(descriptor);
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_seti(L, -2, i);
  }
  return 0;
}

/* --- signals --- */

static const char *signal_name(int number) {
  switch (number) {
    case SIGTERM:
      return "TERM";
    case SIGINT:
      return "INT";
    case SIGHUP:
      return "HUP";
    default:
      return NULL;
  }
}

static void forget_signal(void *waiter) {
  waiter_remove(waiter);
  free(waiter);
}

static int signal_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct task *task = task_current(L);
  struct waiter *waiter = operation_check(L, (int)context)->pointer;
  int number = app_take_signal(worker_app(worker_of(L)), waiter, task_wake, task);
  if (number == 0) return task_await(L, signal_done, context);
  lua_pushstring(L, signal_name(number));
  return 1;
}

static int l_wait_signal(lua_State *L) {
  lua_settop(L, 0);
  struct worker *worker = worker_of(L);
  if (worker_index(worker) != 0) return luaL_error(L, "only the main worker waits for signals");
  struct operation *operation = operation_open(L, forget_signal);
  struct waiter *waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) return luaL_error(L, "no memory to wait for a signal");
  operation_hold(L, operation, waiter);
  return signal_done(L, LUA_OK, 1);
}

/* --- the process --- */

static double resident_bytes(void) {
  unsigned long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return 0;
  int fields = fscanf(file, "%lu %lu", &size, &resident);
  fclose(file);
  return fields == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0;
}

static int l_process(lua_State *L) {
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  lua_createtable(L, 0, 3);
  lua_pushnumber(L, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
  lua_setfield(L, -2, "cpu_seconds");
  lua_pushnumber(L, resident_bytes());
  lua_setfield(L, -2, "resident_bytes");
  lua_pushinteger(L, getpid());
  lua_setfield(L, -2, "pid");
  return 1;
}

static int l_set_memory_limit(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes >= 0, 1, "must not be negative");
  worker_set_memory_limit(worker_of(L), (size_t)bytes);
  return 0;
}

static int l_set_stuck_seconds(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds <= 86400, 1, "0 to 86400 seconds");
  app_set_stuck_seconds(worker_app(worker_of(L)), seconds);
  return 0;
}

/* --- the virtual clock --- */

static int l_freeze_clock(lua_State *L) {
  worker_freeze_clock(worker_of(L));
  return 0;
}

static int l_thaw_clock(lua_State *L) {
  worker_thaw_clock(worker_of(L));
  return 0;
}

/* An advance is known by the task that waits for it. */
static void stop_advance(void *task) {
  worker_advance_cancel(task_worker(task), task);
}

static int advance_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  if (worker_is_advancing(worker_of(L), task_current(L)))
    return task_await(L, advance_done, context);
  return 0;
}

static int l_advance_clock(lua_State *L) {
  lua_settop(L, 2);
  struct worker *worker = worker_of(L);
  lua_Number seconds = luaL_optnumber(L, 1, -1);
  struct task *until = lua_isnil(L, 2) ? NULL : bind_task_check(L, 2);
  luaL_argcheck(L, seconds <= ADVANCE_SECONDS_MAX, 1, "at most 1000000000 seconds");
  struct task *task = task_current(L);
  uint64_t nanoseconds = seconds < 0 ? UINT64_MAX : (uint64_t)llround(seconds * 1e9);
  struct operation *operation = operation_open(L, stop_advance);
  if (worker_advance(worker, nanoseconds, until, task_wake, task) != 0)
    return luaL_error(L, "the clock is not frozen, or is being advanced by another task");
  operation_hold(L, operation, task);
  return task_await(L, advance_done, 0);
}

static const luaL_Reg functions[] = {
    {"lock", l_lock},
    {"check_address", l_check_address},
    {"reserve", l_reserve},
    {"release", l_release},
    {"wait_signal", l_wait_signal},
    {"process", l_process},
    {"set_memory_limit", l_set_memory_limit},
    {"set_stuck_seconds", l_set_stuck_seconds},
    {"freeze_clock", l_freeze_clock},
    {"thaw_clock", l_thaw_clock},
    {"advance_clock", l_advance_clock},
    {NULL, NULL},
};

static void push_arguments(lua_State *L, const struct app *app) {
  int count = app_argument_count(app);
  lua_createtable(L, count, 0);
  for (int i = 1; i < count; i++) {
    lua_pushstring(L, app_argument(app, i));
    lua_seti(L, -2, i);
  }
}

int luaopen_tide_host(lua_State *L) {
  struct worker *worker = worker_of(L);
  luaL_newlib(L, functions);
  host_files_register(L);
  host_publications_register(L);
  host_workers_register(L);
  lua_pushinteger(L, worker_index(worker));
  lua_setfield(L, -2, "worker");
  lua_pushliteral(L, TIDEGATE_VERSION);
  lua_setfield(L, -2, "version");
  push_arguments(L, worker_app(worker));
  lua_setfield(L, -2, "arguments");
  return 1;
}

/* --- the main task --- */

static int main_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  app_set_exit_code(worker_app(worker_of(L)), (int)luaL_optinteger(L, -1, 0));
  return 0;
}

int host_main(lua_State *L) {
  lua_settop(L, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tide.cli");
  lua_call(L, 1, 1);
  lua_getfield(L, 1, "main");
  push_arguments(L, worker_app(worker_of(L)));
  lua_callk(L, 1, 1, 0, main_done);
  return main_done(L, LUA_OK, 0);
}
