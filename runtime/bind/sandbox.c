#include "bind/sandbox.h"

#include <lauxlib.h>
#include <lua.h>

#include "bind/pattern.h"
#include "bind/sandbox_table.h"
#include "engine/budget.h"
#include "engine/task.h"

/* `context` is the number of values below the results that are not the script's. */
static int protected_done(lua_State *L, int status, lua_KContext context) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)context;
  if (status == LUA_ERRMEM) budget_note_refusal(task_current(L));
  budget_check(L);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, -2);
  return 2;
}

static int l_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, protected_done);
  return protected_done(L, status, 0);
}

/* upvalue 1: the script's handler. */
static int handler(lua_State *L) {
  lua_settop(L, 1);
  if (budget_stop_reason(task_current(L)) != BUDGET_GOES_ON) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

static int l_xpcall(lua_State *L) {
  luaL_checkany(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, handler, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1); /* stack: f, handler, arguments…, true */
  lua_pushvalue(L, 1);   /* … true, f */
  lua_rotate(L, 3, 2);   /* f, handler, true, f, arguments… */
  int status = lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, 2, 2, protected_done);
  return protected_done(L, status, 2);
}

static int l_setmetatable(lua_State *L) {
  int type = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
    return luaL_error(L, "cannot change a protected metatable");
  lua_settop(L, 2);
  if (type == LUA_TTABLE) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL)
      return luaL_error(L, "scripts cannot set __gc: use a <close> variable");
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"pcall", l_pcall},
    {"xpcall", l_xpcall},
    {"setmetatable", l_setmetatable},
    {NULL, NULL},
};

int luaopen_tide_engine_sandbox(lua_State *L) {
  luaL_newlib(L, module_functions);
  lua_newtable(L);
  pattern_set_functions(L);
  lua_setfield(L, -2, "string");
  lua_newtable(L);
  sandbox_table_set_functions(L);
  lua_setfield(L, -2, "table");
  return 1;
}
