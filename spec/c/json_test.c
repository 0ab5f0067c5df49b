/* bind/json from C: what a spec in Lua cannot reach. */
#include "bind/json.h"

#include <lauxlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct json_decode_options plain = {0};

#define ARRAY_ELEMENTS 1000000

static int open_state(void **state) {
  *state = luaL_newstate();
  return *state == NULL;
}

static int close_state(void **state) {
  lua_close(*state);
  return 0;
}

static void assert_refused(lua_State *L, const char *text, size_t length, const char *message) {
  struct err err;
  int top = lua_gettop(L);
  assert_int_equal(json_decode_push(L, text, length, &plain, &err), -1);
  assert_int_equal(lua_gettop(L), top);
  assert_string_equal(err.code, "invalid_json");
  assert_string_equal(err.message, message);
}

static void text_that_does_not_end_in_nul_is_read_up_to_its_length(void **state) {
  lua_State *L = *state;
  struct err err;
  /* Exactly as long as the text, so that a read beyond it is seen by the sanitizer. */
  static const char document[] = "{\"key\":[\"value\",12345,true,null,\"\\u00e9\"]}";
  for (size_t length = 1; length < sizeof document; length++) {
    char *text = malloc(length);
    assert_non_null(text);
    memcpy(text, document, length);
    bool whole = length == sizeof document - 1;
    assert_int_equal(json_decode_push(L, text, length, &plain, &err), whole ? 0 : -1);
    free(text);
  }
  assert_int_equal(lua_gettop(L), 1);
  assert_int_equal(json_decode_push(L, "12345", 3, &plain, &err), 0);
  assert_int_equal(lua_tointeger(L, -1), 123);
  assert_refused(L, "", 0, "invalid JSON: unexpected end, expected a value at byte 1");
  assert_refused(L, "trueX", 3, "invalid JSON: expected a value at byte 1");
}

static void a_refusal_leaves_the_stack_as_it_was(void **state) {
  lua_State *L = *state;
  lua_pushinteger(L, 7);
  assert_refused(L, "[1,{\"a\":[2,}]", 13, "invalid JSON: expected a value at byte 12");
  struct err err;
  lua_newtable(L);
  lua_newtable(L);
  lua_pushboolean(L, true);
  lua_rawseti(L, -2, 2);
  lua_setfield(L, -2, "list");
  assert_int_equal(json_encode_push(L, -1, NULL, &err), -1);
  assert_int_equal(lua_gettop(L), 2);
  assert_string_equal(err.code, "not_encodable");
  assert_non_null(strstr(err.message, "value.list: "));
}

static void an_error_value_is_optional(void **state) {
  lua_State *L = *state;
  assert_int_equal(json_decode_push(L, "[", 1, &plain, NULL), -1);
  lua_pushnil(L);
  assert_int_equal(json_encode_push(L, -1, NULL, NULL), -1);
}

static void a_million_elements_need_no_million_slots(void **state) {
  lua_State *L = *state;
  size_t length = 2 * ARRAY_ELEMENTS + 1;
  char *text = malloc(length);
  assert_non_null(text);
  for (size_t i = 0; i < length; i++) text[i] = i % 2 ? '1' : ',';
  text[0] = '[';
  text[length - 1] = ']';
  struct err err;
  assert_int_equal(json_decode_push(L, text, length, &plain, &err), 0);
  assert_int_equal(lua_rawlen(L, -1), ARRAY_ELEMENTS);
  assert_int_equal(json_encode_push(L, -1, NULL, &err), 0);
  size_t written;
  const char *again = lua_tolstring(L, -1, &written);
  assert_int_equal(written, length);
  assert_memory_equal(again, text, length);
  free(text);
}

static void a_full_lua_stack_is_an_error_not_a_crash(void **state) {
  lua_State *L = *state;
  struct err err;
  int used = LUAI_MAXSTACK - 300;
  assert_true(lua_checkstack(L, used));
  lua_settop(L, used);
  char text[1024] = "[";
  for (size_t i = 1; i < sizeof text - 2; i += 2) memcpy(text + i, "1,", 2);
  memcpy(text + sizeof text - 3, "1]", 2);
  assert_int_equal(json_decode_push(L, text, sizeof text - 1, &plain, &err), -1);
  assert_string_equal(err.code, "out_of_memory");
  assert_int_equal(lua_gettop(L), used);
}

static void null_and_the_mark_are_the_same_for_all_bindings(void **state) {
  lua_State *L = *state;
  luaL_requiref(L, "tide.json", luaopen_tide_json, 0);
  lua_getfield(L, -1, "null");
  assert_true(json_is_null(L, -1));
  lua_pushlightuserdata(L, NULL);
  assert_false(json_is_null(L, -1));
  lua_newtable(L);
  assert_false(json_is_array(L, -1));
  json_mark_array(L, -1);
  assert_true(json_is_array(L, -1));
  struct err err;
  assert_int_equal(json_encode_push(L, -1, NULL, &err), 0);
  assert_string_equal(lua_tostring(L, -1), "[]");
}

/* ---- memory that runs out ---- */

struct meter {
  size_t blocks; /* live */
  size_t calls;
  size_t fail_at; /* the call that fails, and all after it; 0: none */
};

static void *metered_alloc(void *context, void *block, size_t old_size, size_t new_size) {
  (void)old_size;
  struct meter *meter = context;
  if (new_size == 0) {
    if (block) meter->blocks--;
    free(block);
    return NULL;
  }
  bool shrinks = block != NULL && new_size <= old_size;
  bool fails = meter->fail_at != 0 && ++meter->calls >= meter->fail_at;
  if (fails && !shrinks) return NULL;
  void *moved = realloc(block, new_size);
  if (block == NULL && moved) meter->blocks++;
  return moved;
}

static int decode_and_encode(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, 1, &length);
  struct err err;
  if (json_decode_push(L, text, length, &plain, &err) != 0) return luaL_error(L, "%s", err.message);
  const struct json_encode_options options = {.canonical = true};
  if (json_encode_push(L, -1, &options, &err) != 0) return luaL_error(L, "%s", err.message);
  return 1;
}

static void any_allocation_may_fail_and_nothing_is_lost(void **state) {
  (void)state;
  static const char document[] =
      "{\"escaped\":\"\\u00e9\\n\",\"list\":[[],{},[1,2.5,\"a string too long to be interned, so "
      "that it is an object of its own\"]],\"key\":{\"nested\":null}}";
  int outcome = LUA_ERRMEM;
  size_t failures = 0;
  for (size_t fail_at = 1; outcome != LUA_OK; fail_at++) {
    struct meter meter = {0};
    lua_State *L = lua_newstate(metered_alloc, &meter);
    assert_non_null(L);
    lua_pushcfunction(L, decode_and_encode);
    lua_pushstring(L, document);
    meter.fail_at = fail_at;
    outcome = lua_pcall(L, 1, 1, 0);
    meter.fail_at = 0;
    assert_true(outcome == LUA_OK || outcome == LUA_ERRMEM);
    failures += outcome == LUA_ERRMEM;
    lua_close(L);
    assert_int_equal(meter.blocks, 0);
  }
  assert_true(failures > 10);
}

static int encode_in_finalizer(lua_State *L) {
  struct err err;
  lua_pushliteral(L, "some text");
  /* The scratch may be gone by now: refused or not, nothing may be lost or crash. */
  if (json_encode_push(L, -1, NULL, &err) != 0) assert_string_equal(err.code, "out_of_memory");
  return 0;
}

static void a_finalizer_may_encode_while_the_state_is_closed(void **state) {
  (void)state;
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, encode_in_finalizer);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setglobal(L, "last");
  struct err err;
  lua_pushliteral(L, "first");
  assert_int_equal(json_encode_push(L, -1, NULL, &err), 0);
  lua_close(L);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(text_that_does_not_end_in_nul_is_read_up_to_its_length,
                                      open_state, close_state),
      cmocka_unit_test_setup_teardown(a_refusal_leaves_the_stack_as_it_was, open_state,
                                      close_state),
      cmocka_unit_test_setup_teardown(an_error_value_is_optional, open_state, close_state),
      cmocka_unit_test_setup_teardown(a_million_elements_need_no_million_slots, open_state,
                                      close_state),
      cmocka_unit_test_setup_teardown(a_full_lua_stack_is_an_error_not_a_crash, open_state,
                                      close_state),
      cmocka_unit_test_setup_teardown(null_and_the_mark_are_the_same_for_all_bindings, open_state,
                                      close_state),
      cmocka_unit_test(any_allocation_may_fail_and_nothing_is_lost),
      cmocka_unit_test(a_finalizer_may_encode_while_the_state_is_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
