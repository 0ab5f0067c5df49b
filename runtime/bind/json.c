#include "bind/json.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/operation.h"

/* Pushes the option's value, without asking metatables. Returns its type. */
static int push_option(lua_State *L, int options, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, options);
}

static bool null_is_absent(lua_State *L, int options) {
  if (lua_isnoneornil(L, options)) return false;
  luaL_checktype(L, options, LUA_TTABLE);
  if (push_option(L, options, "null") == LUA_TNIL) return false;
  const char *null = lua_tostring(L, -1);
  if (null == NULL || strcmp(null, "absent") != 0) {
    luaL_argerror(L, options, "'null' must be \"absent\" or left out");
  }
  return true;
}

/* Pushes the table of `only`, or nothing. Returns its place, 0 for none. */
static int push_only(lua_State *L, int options) {
  if (lua_isnoneornil(L, options)) return 0;
  int type = push_option(L, options, "only");
  if (type != LUA_TTABLE && type != LUA_TNIL)
    luaL_argerror(L, options, "'only' must be a table with the names of members as keys");
  return type == LUA_TTABLE ? lua_gettop(L) : 0;
}

static int l_decode(lua_State *L) {
  lua_settop(L, 2);
  luaL_checktype(L, 1, LUA_TSTRING);
  struct json_decode_options options = {.null_absent = null_is_absent(L, 2)};
  options.only = push_only(L, 2);
  size_t length;
  const char *text = lua_tolstring(L, 1, &length);
  struct err err;
  if (json_decode_push(L, text, length, &options, &err) != 0) return bind_fail(L, &err);
  return 1;
}

static bool option_is_set(lua_State *L, int options, const char *name) {
  int type = push_option(L, options, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
    luaL_argerror(L, options, lua_pushfstring(L, "'%s' must be a boolean", name));
  }
  return lua_toboolean(L, -1);
}

static size_t max_bytes(lua_State *L, int options) {
  if (push_option(L, options, "max_bytes") == LUA_TNIL) return JSON_BYTES_DEFAULT;
  lua_Integer bytes = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
  luaL_argcheck(L, bytes > 0, options, "'max_bytes' must be a positive integer");
  return (size_t)bytes;
}

static struct json_encode_options encode_options(lua_State *L, int options) {
  struct json_encode_options result = {.max_bytes = JSON_BYTES_DEFAULT};
  if (lua_isnoneornil(L, options)) return result;
  luaL_checktype(L, options, LUA_TTABLE);
  result.canonical = option_is_set(L, options, "canonical");
  result.pretty = option_is_set(L, options, "pretty");
  result.max_bytes = max_bytes(L, options);
  bool both = result.canonical && result.pretty;
  luaL_argcheck(L, !both, options, "'canonical' and 'pretty' exclude each other");
  return result;
}

static int l_encode(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  struct json_encode_options options = encode_options(L, 2);
  struct err err;
  if (json_encode_push(L, 1, &options, &err) != 0) return bind_fail(L, &err);
  return 1;
}

static int l_array(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_createtable(L, 0, 0);
    lua_replace(L, 1);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  bool other = lua_getmetatable(L, 1) && !json_is_array(L, 1);
  luaL_argcheck(L, !other, 1, "the table has a metatable already");
  json_mark_array(L, 1);
  lua_settop(L, 1);
  return 1;
}

static int l_is_array(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, json_is_array(L, 1));
  return 1;
}

static const luaL_Reg functions[] = {
    {"array", l_array}, {"is_array", l_is_array}, {"decode", l_decode}, {"encode", l_encode},
    {NULL, NULL},
};

int luaopen_tide_json(lua_State *L) {
  luaL_newlib(L, functions);
  json_push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
