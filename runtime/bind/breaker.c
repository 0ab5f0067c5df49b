#include "bind/breaker.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bind/notice.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "state/breaker.h"
#include "state/breaker_changes.h"

#define PERMIT_TYPE "tidegate.breaker_permit"
#define SECONDS_MAX 1e9 /* beyond any sensible span; keeps nanoseconds in 64 bits */

static const char *const mode_words[] = {"auto", "open", "closed", "observe", NULL};
static const char *const state_words[] = {"closed", "open", "half_open", NULL};

static uint64_t now_of(lua_State *L) {
  return clock_monotonic_ns(worker_clock(worker_of(L)));
}

static uint64_t to_ns(double seconds) {
  if (!(seconds > 0)) return 0;
  return (uint64_t)((seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * 1e9);
}

static void push_seconds(lua_State *L, uint64_t nanoseconds) {
  lua_pushnumber(L, (double)nanoseconds / 1e9);
}

static struct breaker *check_cell(lua_State *L) {
  return *(struct breaker **)luaL_checkudata(L, 1, BREAKER_TYPE);
}

/* --- settings --- */

/* The number of a field of the table at 2; `otherwise` when it is absent. */
static double number_field(lua_State *L, const char *name, double otherwise) {
  double value = otherwise;
  if (lua_getfield(L, 2, name) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(lua_tonumber(L, -1)))
      luaL_argerror(L, 2, lua_pushfstring(L, "%s must be a finite number", name));
    value = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

static uint32_t count_field(lua_State *L, const char *name, double otherwise) {
  double value = number_field(L, name, otherwise);
  if (value < 1) return 1;
  return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static bool enabled_field(lua_State *L) {
  bool enabled = lua_getfield(L, 2, "enabled") == LUA_TNIL || lua_toboolean(L, -1);
  lua_pop(L, 1);
  return enabled;
}

static int cell_configure(lua_State *L) {
  struct breaker *cell = check_cell(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct breaker_settings settings = {
      .enabled = enabled_field(L),
      .failure_threshold = count_field(L, "failure_threshold", 5),
      .timeout_ns = to_ns(number_field(L, "timeout_seconds", 60)),
      .half_open_calls = count_field(L, "half_open_calls", 1),
      .window_ns = to_ns(number_field(L, "window_seconds", 0)),
      .failure_rate = number_field(L, "failure_rate", 0),
      .slow_ns = to_ns(number_field(L, "slow_call_ms", 0) / 1000),
  };
  breaker_configure(cell, &settings, now_of(L));
  return 0;
}

/* --- permits --- */

static struct breaker_permit *check_permit(lua_State *L) {
  return luaL_checkudata(L, 1, PERMIT_TYPE);
}

static uint64_t check_lease(lua_State *L) {
  double seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds > 0, 2, "a lease must be longer than 0");
  return to_ns(seconds);
}

static int cell_permit(lua_State *L) {
  struct breaker *cell = check_cell(L);
  uint64_t lease_ns = check_lease(L);
  struct breaker_permit *permit = lua_newuserdatauv(L, sizeof *permit, 0);
  *permit = (struct breaker_permit){.breaker = NULL, .slot = -1};
  luaL_setmetatable(L, PERMIT_TYPE);
  uint64_t retry_after_ns;
  if (breaker_take(cell, now_of(L), lease_ns, permit, &retry_after_ns)) return 1;
  lua_pushnil(L);
  push_seconds(L, retry_after_ns);
  return 2;
}

static int permit_success(lua_State *L) {
  breaker_succeed(check_permit(L), now_of(L), to_ns(luaL_optnumber(L, 2, 0)));
  return 0;
}

static int permit_failure(lua_State *L) {
  breaker_fail(check_permit(L), now_of(L), to_ns(luaL_optnumber(L, 2, 0)));
  return 0;
}

static int permit_release(lua_State *L) {
  breaker_give_back(check_permit(L), now_of(L));
  return 0;
}

static int permit_extend(lua_State *L) {
  breaker_extend(check_permit(L), now_of(L), check_lease(L));
  return 0;
}

/* --- looking --- */

static int cell_state(lua_State *L) {
  struct breaker *cell = check_cell(L);
  enum breaker_state state;
  uint64_t retry_after_ns;
  bool blocks = breaker_blocks(cell, now_of(L), &state, &retry_after_ns);
  lua_pushstring(L, breaker_state_name(state));
  if (!blocks) return 1;
  push_seconds(L, retry_after_ns);
  return 2;
}

static int cell_blocks(lua_State *L) {
  struct breaker *cell = check_cell(L);
  enum breaker_state state;
  uint64_t retry_after_ns;
  bool blocks = breaker_blocks(cell, now_of(L), &state, &retry_after_ns);
  lua_pushboolean(L, blocks);
  if (blocks)
    push_seconds(L, retry_after_ns);
  else
    lua_pushnil(L);
  lua_pushstring(L, breaker_state_name(state));
  return 3;
}

static int cell_set_mode(lua_State *L) {
  struct breaker *cell = check_cell(L);
  breaker_set_mode(cell, (enum breaker_mode)luaL_checkoption(L, 2, NULL, mode_words), now_of(L));
  return 0;
}

static int cell_mode(lua_State *L) {
  lua_pushstring(L, breaker_mode_name(breaker_read(check_cell(L), now_of(L)).mode));
  return 1;
}

static void set_integer(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static void set_seconds(lua_State *L, const char *name, double seconds) {
  lua_pushnumber(L, seconds);
  lua_setfield(L, -2, name);
}

/* When it was `ago_ns` ago, in seconds since 1970. */
static double wall_seconds(lua_State *L, uint64_t ago_ns) {
  return (double)clock_wall_ms(worker_clock(worker_of(L))) / 1e3 - (double)ago_ns / 1e9;
}

static int cell_info(lua_State *L) {
  struct breaker_info info = breaker_read(check_cell(L), now_of(L));
  lua_createtable(L, 0, 11);
  set_text(L, "state", breaker_state_name(info.state));
  set_text(L, "mode", breaker_mode_name(info.mode));
  set_integer(L, "consecutive_failures", info.consecutive_failures);
  set_integer(L, "calls", info.calls);
  set_integer(L, "failures", info.failures);
  set_integer(L, "slow", info.slow);
  set_integer(L, "probes_out", info.probes_out);
  set_integer(L, "opened_total", info.opened_total);
  set_integer(L, "refused_total", info.refused_total);
  if (info.retry_after_ns > 0) set_seconds(L, "retry_after", (double)info.retry_after_ns / 1e9);
  if (info.has_opened) set_seconds(L, "opened_at", wall_seconds(L, info.opened_ago_ns));
  return 1;
}

/* --- surviving a restart --- */

static int cell_save(lua_State *L) {
  struct breaker_memory memory = breaker_save(check_cell(L), now_of(L));
  lua_createtable(L, 0, 4);
  set_text(L, "state", breaker_state_name(memory.state));
  set_text(L, "mode", breaker_mode_name(memory.mode));
  set_integer(L, "consecutive_failures", memory.consecutive_failures);
  if (memory.has_opened) set_seconds(L, "opened_ago_seconds", (double)memory.opened_ago_ns / 1e9);
  return 1;
}

/* The word of a field of the table at 2 as its place in `words`; 0 for an unknown one. */
static int word_field(lua_State *L, const char *name, const char *const *words) {
  int found = 0;
  if (lua_getfield(L, 2, name) == LUA_TSTRING)
    for (int i = 0; words[i] != NULL; i++) {
      lua_pushstring(L, words[i]);
      if (lua_rawequal(L, -1, -2)) found = i;
      lua_pop(L, 1);
    }
  lua_pop(L, 1);
  return found;
}

static int cell_restore(lua_State *L) {
  struct breaker *cell = check_cell(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  double failures = number_field(L, "consecutive_failures", 0);
  double ago = number_field(L, "opened_ago_seconds", -1);
  struct breaker_memory memory = {
      .state = (enum breaker_state)word_field(L, "state", state_words),
      .mode = (enum breaker_mode)word_field(L, "mode", mode_words),
      .consecutive_failures = failures > 0 && failures < UINT32_MAX ? (uint32_t)failures : 0,
      .has_opened = ago >= 0,
      .opened_ago_ns = to_ns(ago),
  };
  breaker_restore(cell, &memory, to_ns(luaL_optnumber(L, 3, 0)), now_of(L));
  return 0;
}

/* --- changes --- */

struct listener {
  struct breaker_changes *changes; /* NULL when it does not listen */
  struct notice *notice;
};

static void stop_listening(void *pointer) {
  struct listener *listener = pointer;
  if (listener->changes != NULL) breaker_changes_leave(listener->changes);
  notice_close(listener->notice);
  free(listener);
}

static int push_change(lua_State *L, const struct breaker_change *change) {
  uint64_t now_ns = now_of(L);
  uint64_t ago_ns = now_ns > change->at_ns ? now_ns - change->at_ns : 0;
  lua_createtable(L, 0, 6);
  set_text(L, "name", change->name);
  set_text(L, "from", breaker_state_name(change->from));
  set_text(L, "to", breaker_state_name(change->to));
  set_text(L, "mode", breaker_mode_name(change->mode));
  set_text(L, "reason", breaker_reason_text(change->reason));
  set_seconds(L, "at", wall_seconds(L, ago_ns));
  return 1;
}

static int next_change(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct listener *listener = operation_check(L, (int)context)->pointer;
  struct breaker_change change;
  if (breaker_changes_take(listener->changes, &change)) return push_change(L, &change);
  return task_await(L, next_change, context);
}

static struct breaker_changes *changes_of(lua_State *L) {
  return breakers_changes(shared_of(L)->breakers);
}

static int l_next_change(lua_State *L) {
  lua_settop(L, 0);
  struct operation *operation = operation_open(L, stop_listening);
  struct notice *notice = notice_new(L);
  struct listener *listener = notice_hold(notice, sizeof *listener);
  if (listener == NULL) return luaL_error(L, "no memory to listen");
  *listener = (struct listener){.notice = notice};
  operation_hold(L, operation, listener);
  if (!breaker_changes_listen(changes_of(L), notice_send, notice))
    return luaL_error(L, "another task waits for changes of breakers already");
  listener->changes = changes_of(L);
  return next_change(L, LUA_OK, 1);
}

static int l_dropped(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)breaker_changes_dropped(changes_of(L)));
  return 1;
}

static int l_cell(lua_State *L) {
  size_t length;
  const char *name = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length > 0 && length <= NAME_TABLE_NAME_MAX && strlen(name) == length, 1,
                "a name has 1 to 127 bytes, none of them zero");
  struct breaker **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = breakers_cell(shared_of(L)->breakers, name);
  if (*handle == NULL) return luaL_error(L, "no breaker for '%s': there are too many", name);
  luaL_setmetatable(L, BREAKER_TYPE);
  return 1;
}

static const luaL_Reg cell_methods[] = {
    {"configure", cell_configure}, {"state", cell_state},
    {"blocks", cell_blocks},       {"permit", cell_permit},
    {"set_mode", cell_set_mode},   {"mode", cell_mode},
    {"info", cell_info},           {"save", cell_save},
    {"restore", cell_restore},     {NULL, NULL},
};

static const luaL_Reg permit_methods[] = {
    {"success", permit_success},
    {"failure", permit_failure},
    {"release", permit_release},
    {"extend", permit_extend},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"cell", l_cell},
    {"next_change", l_next_change},
    {"dropped", l_dropped},
    {NULL, NULL},
};

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
}

int luaopen_tide_state_breaker(lua_State *L) {
  new_type(L, BREAKER_TYPE, cell_methods);
  new_type(L, PERMIT_TYPE, permit_methods);
  lua_pushcfunction(L, permit_release);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, permit_release);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, module_functions);
  return 1;
}
