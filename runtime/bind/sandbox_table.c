#include "bind/sandbox_table.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "engine/budget.h"

#define ELEMENTS_MAX (1 << 23) /* more than fit into a worker's memory */
#define SORTED_MAX 20000       /* without a look at the budget: a few milliseconds */
#define LOOK_COMPARISONS 10000

/* Upvalue 1 is the function of the standard library, a plain C function: run in this frame, it
 * names itself in its messages as ever. */
static int original(lua_State *L) {
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int l_move(lua_State *L) {
  int is_first, is_last;
  lua_Integer first = lua_tointegerx(L, 2, &is_first), last = lua_tointegerx(L, 3, &is_last);
  if (is_first && is_last && last >= first &&
      (lua_Unsigned)last - (lua_Unsigned)first >= ELEMENTS_MAX)
    return luaL_error(L, "table.move: more than %d elements", ELEMENTS_MAX);
  return original(L);
}

/* insert and remove. Only __len can name more elements than there are. */
static int l_shift(lua_State *L) {
  if (lua_istable(L, 1) && luaL_getmetafield(L, 1, "__len") != LUA_TNIL) {
    lua_pop(L, 1);
    if (luaL_len(L, 1) > ELEMENTS_MAX)
      return luaL_error(L, "the list has more than %d elements", ELEMENTS_MAX);
  }
  return original(L);
}

/* The order of `<`. Upvalue 1: comparisons until the budget is looked at. */
static int less(lua_State *L) {
  int *left = lua_touserdata(L, lua_upvalueindex(1));
  if (--*left <= 0) {
    *left = LOOK_COMPARISONS;
    budget_look(L);
  }
  lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
  return 1;
}

static int l_sort(lua_State *L) {
  bool by_less = lua_istable(L, 1) && lua_isnoneornil(L, 2);
  if (by_less && luaL_len(L, 1) > SORTED_MAX) {
    lua_settop(L, 1);
    int *left = lua_newuserdatauv(L, sizeof *left, 0);
    *left = LOOK_COMPARISONS;
    lua_pushcclosure(L, less, 1);
  }
  return original(L);
}

void sandbox_table_set_functions(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"move", l_move}, {"insert", l_shift}, {"remove", l_shift}, {"sort", l_sort}, {NULL, NULL},
  };
  lua_getglobal(L, "table");
  for (const luaL_Reg *function = functions; function->name != NULL; function++) {
    lua_getfield(L, -1, function->name);
    lua_pushcclosure(L, function->func, 1);
    lua_setfield(L, -3, function->name);
  }
  lua_pop(L, 1);
}
