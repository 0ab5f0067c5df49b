#include "bind/trial.h"

#include <lauxlib.h>
#include <lua.h>

#include "bind/shared.h"
#include "state/trial.h"

static struct trial *check_cell(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  struct trial *trial = trial_cell(shared_of(L)->trials, name);
  if (trial == NULL) luaL_error(L, "no trial for '%s': bad name, or too many", name);
  return trial;
}

static uint32_t check_limit(lua_State *L, int argument, lua_Integer otherwise) {
  lua_Integer limit = luaL_optinteger(L, argument, otherwise);
  luaL_argcheck(L, limit >= 1 && limit <= UINT32_MAX, argument, "at least 1");
  return (uint32_t)limit;
}

static int l_begin(lua_State *L) {
  struct trial *trial = check_cell(L);
  const char *version = luaL_checkstring(L, 2);
  struct trial_limits limits = {.calls = check_limit(L, 3, TRIAL_CALLS_DEFAULT),
                                .errors = check_limit(L, 4, TRIAL_ERRORS_DEFAULT)};
  luaL_argcheck(L, trial_begin(trial, version, limits), 2, "a text of 1 to 127 bytes");
  return 0;
}

static int l_note(lua_State *L) {
  struct trial *trial = check_cell(L);
  const char *version = luaL_checkstring(L, 2);
  if (!trial_note(trial, version, lua_toboolean(L, 3))) return 0;
  lua_pushliteral(L, "failing");
  return 1;
}

static int l_stop(lua_State *L) {
  trial_stop(check_cell(L));
  return 0;
}

static int l_read(lua_State *L) {
  struct trial_state state = trial_read(check_cell(L));
  if (state.version[0] == '\0') return 0;
  lua_createtable(L, 0, 4);
  lua_pushstring(L, state.version);
  lua_setfield(L, -2, "version");
  lua_pushinteger(L, state.calls);
  lua_setfield(L, -2, "calls");
  lua_pushinteger(L, state.errors);
  lua_setfield(L, -2, "errors");
  lua_pushboolean(L, state.is_on);
  lua_setfield(L, -2, "is_on");
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"begin", l_begin}, {"note", l_note}, {"stop", l_stop}, {"read", l_read}, {NULL, NULL},
};

int luaopen_tide_state_trial(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
