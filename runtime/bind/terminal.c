#include "bind/terminal.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bind/operation.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "io/line_editor.h"

#define EDITOR_TYPE "tidegate.editor"

struct handle {
  struct line_editor *editor; /* NULL: closed */
  struct task *reader;        /* who waits; NULL: nobody */
};

static struct handle *check_open(lua_State *L) {
  struct handle *handle = luaL_checkudata(L, 1, EDITOR_TYPE);
  luaL_argcheck(L, handle->editor != NULL, 1, "the editor is closed");
  return handle;
}

/* --- reading ------------------------------------------------------------------------------ */

struct reading {
  struct handle *handle; /* its value is at 1 as long as this is open */
  bool goes_on;          /* an event came; the line may go on */
};

static void stop_reading(void *pointer) {
  struct reading *reading = pointer;
  struct handle *handle = reading->handle;
  if (handle->editor != NULL) {
    line_editor_listen(handle->editor, NULL, NULL);
    if (!reading->goes_on) line_editor_cancel(handle->editor);
  }
  handle->reader = NULL;
  free(reading);
}

static const char *name_of(enum line_event_kind kind) {
  switch (kind) {
    case LINE_TEXT:
      return "line";
    case LINE_TOO_LONG:
      return "too_long";
    case LINE_COMPLETE:
      return "complete";
    case LINE_INTERRUPT:
      return "interrupt";
    case LINE_RESIZE:
      return "resize";
    default:
      return "end";
  }
}

static void free_text(void *text) {
  free(text);
}

static int push_event(lua_State *L, const struct line_event *event) {
  lua_pushstring(L, name_of(event->kind));
  if (event->text == NULL) return 1;
  operation_hold(L, operation_check(L, 4), event->text);
  lua_pushlstring(L, event->text, event->length);
  if (event->kind != LINE_COMPLETE) return 2;
  lua_pushinteger(L, (lua_Integer)event->at);
  return 3;
}

static int read_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct reading *reading = operation_check(L, (int)context)->pointer;
  struct line_editor *editor = reading->handle->editor;
  struct line_event event;
  if (editor == NULL) {
    struct err err;
    err_set(&err, "closed", "the editor was closed");
    return bind_fail(L, &err);
  }
  if (!line_editor_take(editor, &event)) return task_await(L, read_done, context);
  reading->goes_on = true;
  return push_event(L, &event);
}

static int editor_read(lua_State *L) {
  lua_settop(L, 2);
  struct handle *handle = check_open(L);
  const char *prompt = luaL_checkstring(L, 2);
  luaL_argcheck(L, handle->reader == NULL, 1, "another task reads already");
  struct task *task = task_current(L);
  struct operation *operation = operation_open(L, stop_reading);
  operation_open(L, free_text); /* at 4: for the text of the event */
  struct reading *reading = calloc(1, sizeof *reading);
  if (reading == NULL) return luaL_error(L, "no memory to read a line");
  reading->handle = handle;
  operation_hold(L, operation, reading);
  handle->reader = task;
  line_editor_listen(handle->editor, task_wake, task);
  line_editor_read(handle->editor, prompt);
  return read_done(L, LUA_OK, 3);
}

/* --- completion --------------------------------------------------------------------------- */

static void clear_offer(void *offer) {
  line_offer_clear(offer);
  free(offer);
}

static void add_words(lua_State *L, struct line_offer *offer) {
  lua_Integer count = luaL_len(L, 3);
  for (lua_Integer i = 1; i <= count; i++) {
    size_t length;
    lua_geti(L, 3, i);
    const char *word = luaL_checklstring(L, -1, &length);
    if (line_offer_add(offer, word, length) != 0) luaL_error(L, "no memory for words");
    lua_pop(L, 1);
  }
}

static int editor_offer(lua_State *L) {
  lua_settop(L, 3);
  struct handle *handle = check_open(L);
  lua_Integer from = luaL_checkinteger(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_argcheck(L, from >= 0 && from <= (lua_Integer)LINE_BYTES_MAX, 2, "no place of a line");
  luaL_argcheck(L, luaL_len(L, 3) <= LINE_WORDS_MAX, 3, "more than 200 words");
  struct operation *operation = operation_open(L, clear_offer);
  struct line_offer *offer = calloc(1, sizeof *offer);
  if (offer == NULL) return luaL_error(L, "no memory for words");
  operation_hold(L, operation, offer);
  offer->from = (size_t)from;
  add_words(L, offer);
  line_editor_offer(handle->editor, offer);
  return 0;
}

/* --- the editor --------------------------------------------------------------------------- */

static int editor_is_editing(lua_State *L) {
  lua_pushboolean(L, line_editor_is_editing(check_open(L)->editor));
  return 1;
}

static int editor_forget(lua_State *L) {
  line_editor_forget(check_open(L)->editor);
  return 0;
}

/* Who reads is told. */
static int editor_close(lua_State *L) {
  struct handle *handle = luaL_checkudata(L, 1, EDITOR_TYPE);
  struct line_editor *editor = handle->editor;
  handle->editor = NULL;
  if (editor != NULL) line_editor_close(editor);
  if (handle->reader != NULL) task_wake(handle->reader);
  return 0;
}

static const char *history_path(lua_State *L) {
  if (lua_isnoneornil(L, 1)) return NULL;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "history"); /* stays on the stack, for the text */
  return luaL_optstring(L, -1, NULL);
}

static int l_editor(lua_State *L) {
  struct err err;
  lua_settop(L, 1);
  struct line_editor_options options = {STDIN_FILENO, STDOUT_FILENO, history_path(L)};
  struct handle *handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = (struct handle){0};
  luaL_setmetatable(L, EDITOR_TYPE);
  handle->editor = line_editor_new(worker_loop(worker_of(L)), &options, &err);
  if (handle->editor == NULL) return bind_fail(L, &err);
  return 1;
}

static int l_size(lua_State *L) {
  struct winsize size;
  for (int descriptor = STDOUT_FILENO; descriptor >= STDIN_FILENO; descriptor--) {
    if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) continue;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    return 2;
  }
  lua_pushnil(L);
  return 1;
}

static const luaL_Reg methods[] = {
    {"read", editor_read},     {"offer", editor_offer}, {"is_editing", editor_is_editing},
    {"forget", editor_forget}, {"close", editor_close}, {NULL, NULL},
};

static const luaL_Reg functions[] = {{"editor", l_editor}, {"size", l_size}, {NULL, NULL}};

int luaopen_tide_terminal(lua_State *L) {
  luaL_newmetatable(L, EDITOR_TYPE);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, editor_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, editor_close);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
