#include "bind/store_value.h"

#include <lauxlib.h>

#include "bind/json_value.h"
#include "io/sql_text.h"

int store_value_blob(lua_State *L) {
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_newuserdatauv(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_newmetatable(L, STORE_BLOB_TYPE);
  lua_setmetatable(L, -2);
  return 1;
}

static struct store_value bytes_at(lua_State *L, int index, enum store_type type) {
  struct store_value value = {.type = type};
  value.bytes.data = lua_tolstring(L, index, &value.bytes.length);
  return value;
}

static struct store_value number_at(lua_State *L, int index) {
  if (lua_isinteger(L, index))
    return (struct store_value){.type = STORE_INTEGER, .integer = lua_tointeger(L, index)};
  return (struct store_value){.type = STORE_FLOAT, .real = lua_tonumber(L, index)};
}

/* The string stays anchored in the blob. */
static struct store_value blob_at(lua_State *L, int index) {
  lua_getiuservalue(L, index, 1);
  struct store_value value = bytes_at(L, -1, STORE_BLOB);
  lua_pop(L, 1);
  return value;
}

struct store_value store_value_check(lua_State *L, int index, int argument) {
  switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
      return (struct store_value){.type = STORE_NULL};
    case LUA_TBOOLEAN:
      return (struct store_value){.type = STORE_BOOLEAN, .integer = lua_toboolean(L, index)};
    case LUA_TNUMBER:
      return number_at(L, index);
    case LUA_TSTRING:
      return bytes_at(L, index, STORE_TEXT);
    default:
      break;
  }
  if (luaL_testudata(L, index, STORE_BLOB_TYPE) != NULL) return blob_at(L, index);
  if (!json_is_null(L, index)) {
    const char *type = luaL_typename(L, index);
    luaL_argerror(L, argument,
                  lua_pushfstring(L,
                                  "nil, boolean, number, string or store.blob(bytes) expected, "
                                  "got %s",
                                  type));
  }
  return (struct store_value){.type = STORE_NULL};
}

void store_value_check_statement(lua_State *L, int first, struct store_statement *statement,
                                 struct store_value *few) {
  luaL_checktype(L, first, LUA_TSTRING);
  int count = lua_gettop(L) - first;
  luaL_argcheck(L, count <= SQL_TEXT_PARAMETERS_MAX, first + 1, "too many values");
  struct store_value *values = few;
  if (count > STORE_VALUES_ON_STACK)
    values = lua_newuserdatauv(L, (size_t)count * sizeof *values, 0);
  for (int i = 0; i < count; i++) values[i] = store_value_check(L, first + 1 + i, first + 1 + i);
  *statement = (struct store_statement){.values = values, .value_count = (size_t)count};
  statement->sql = lua_tolstring(L, first, &statement->sql_length);
}

static void push_value(lua_State *L, const struct store_value *value) {
  switch (value->type) {
    case STORE_NULL:
      lua_pushnil(L);
      return;
    case STORE_BOOLEAN:
    case STORE_INTEGER:
      lua_pushinteger(L, value->integer);
      return;
    case STORE_FLOAT:
      lua_pushnumber(L, value->real);
      return;
    case STORE_TEXT:
    case STORE_BLOB:
      lua_pushlstring(L, value->bytes.data, value->bytes.length);
      return;
  }
}

/* Stack on entry: the names from `names` on; pushes one row. */
static void push_row(lua_State *L, struct store_cursor *cursor, int names, int count) {
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    struct store_value value;
    if (!store_cursor_next(cursor, &value)) return;
    if (value.type == STORE_NULL) continue;
    lua_pushvalue(L, names + i);
    push_value(L, &value);
    lua_rawset(L, -3);
  }
}

void store_value_push_rows(lua_State *L, const struct store_result *result) {
  int count = (int)result->column_count;
  int names = lua_gettop(L) + 2;
  struct store_cursor cursor;
  struct store_value name;
  luaL_checkstack(L, count + 8, "too many columns");
  lua_createtable(L, (int)result->row_count, 0); /* below the names */
  json_mark_array(L, -1);
  store_cursor_init(&cursor, result);
  for (int i = 0; i < count && store_cursor_next(&cursor, &name); i++) push_value(L, &name);
  for (size_t row = 0; row < result->row_count; row++) {
    push_row(L, &cursor, names, count);
    lua_rawseti(L, names - 1, (lua_Integer)row + 1);
  }
  lua_settop(L, names - 1);
}

void store_value_push_result(lua_State *L, const struct store_result *result) {
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, result->changes);
  lua_setfield(L, -2, "changes");
  store_value_push_rows(L, result);
  lua_setfield(L, -2, "rows");
}
