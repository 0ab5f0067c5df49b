#include "bind/store_migration.h"

#include <lauxlib.h>
#include <stdbool.h>

#include "bind/store_value.h"

/* A field of the migration on top of the stack. Bytes stay anchored in it. */
static struct store_value check_field(lua_State *L, int argument, lua_Integer index,
                                      const char *name, int type) {
  lua_pushstring(L, name);
  bool fits = lua_rawget(L, -2) == type && (type != LUA_TNUMBER || lua_isinteger(L, -1));
  if (!fits)
    luaL_argerror(L, argument,
                  lua_pushfstring(L, "migration %I has no %s", (LUAI_UACINT)index, name));
  struct store_value value = store_value_check(L, -1, argument);
  lua_pop(L, 1);
  return value;
}

static void check_migration(lua_State *L, int argument, lua_Integer index,
                            struct store_statement *statement, struct store_value *values) {
  if (lua_rawgeti(L, argument, index) != LUA_TTABLE)
    luaL_argerror(L, argument, lua_pushfstring(L, "migration %I is no table", (LUAI_UACINT)index));
  struct store_value sql = check_field(L, argument, index, "sql", LUA_TSTRING);
  values[0] = check_field(L, argument, index, "number", LUA_TNUMBER);
  values[1] = check_field(L, argument, index, "name", LUA_TSTRING);
  *statement = (struct store_statement){
      .sql = sql.bytes.data, .sql_length = sql.bytes.length, .values = values, .value_count = 2};
  lua_pop(L, 1);
}

struct store_spec store_migration_check(lua_State *L, int index, const char *space) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Integer count = (lua_Integer)lua_rawlen(L, index);
  luaL_argcheck(L, count <= STORE_STATEMENTS_MAX, index, "at most 1000 migrations");
  struct store_statement *statements =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *statements, 0);
  struct store_value *values = lua_newuserdatauv(L, (size_t)(count + 1) * 2 * sizeof *values, 0);
  for (lua_Integer i = 1; i <= count; i++)
    check_migration(L, index, i, &statements[i - 1], &values[2 * (i - 1)]);
  return (struct store_spec){.kind = STORE_MIGRATE,
                             .statements = statements,
                             .statement_count = (size_t)count,
                             .space = space};
}
