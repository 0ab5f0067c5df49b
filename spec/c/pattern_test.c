/* bind/pattern beside the functions of the standard library, in a state that has those still. */
#include "bind/pattern.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* The naive way compares a megabyte at each of a million places. */
#define LINEAR                                  \
  "local text = ('a'):rep(1 << 21)\n"           \
  "local wanted = ('a'):rep(1 << 20) .. 'b'\n"  \
  "return ours.find(text, wanted) == nil and\n" \
  "  ours.find(text .. 'b', wanted, 1, true) == (1 << 20) + 1"

static int open_state(void **state) {
  lua_State *L = luaL_newstate();
  if (L == NULL) return -1;
  luaL_openlibs(L);
  lua_newtable(L);
  pattern_set_functions(L);
  lua_setglobal(L, "ours");
  *state = L;
  return 0;
}

static int close_state(void **state) {
  lua_close(*state);
  return 0;
}

/* Calls the chunk that was loaded and `arguments` values above it. */
static void run(lua_State *L, int arguments) {
  int status = lua_pcall(L, arguments, 1, 0);
  if (status != LUA_OK) fail_msg("%s", lua_tostring(L, -1));
}

static void random_patterns_give_what_the_standard_library_gives(void **state) {
  lua_State *L = *state;
  const char *seed = getenv("SEED");
  assert_int_equal(luaL_loadfile(L, "spec/c/pattern_differential.lua"), LUA_OK);
  lua_getglobal(L, "ours");
  lua_pushinteger(L, seed != NULL ? (lua_Integer)strtoll(seed, NULL, 10) : (lua_Integer)time(NULL));
  run(L, 2);
  assert_true(lua_tointeger(L, -1) > 200000);
  lua_pop(L, 1);
}

static void a_plain_search_is_linear(void **state) {
  lua_State *L = *state;
  assert_int_equal(luaL_loadstring(L, LINEAR), LUA_OK);
  run(L, 0);
  assert_true(lua_toboolean(L, -1));
  lua_pop(L, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_patterns_give_what_the_standard_library_gives),
      cmocka_unit_test(a_plain_search_is_linear),
  };
  return cmocka_run_group_tests(tests, open_state, close_state);
}
