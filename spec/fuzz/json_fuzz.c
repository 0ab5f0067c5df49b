/* Any bytes: what decodes must encode, decode again to an equal value, and be canonical once
 * it was made so. */
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/json.h"

static const struct json_decode_options no_options = {0};
static const struct json_decode_options null_absent = {.null_absent = true};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_that(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "json_fuzz: %s\n", what);
  abort();
}

static bool values_equal(lua_State *L, int a, int b);

/* Whether each member of `a` is in `b` and equal. */
static bool members_equal(lua_State *L, int a, int b) {
  lua_pushnil(L);
  while (lua_next(L, a)) {
    lua_pushvalue(L, -2);
    lua_rawget(L, b);
    if (!values_equal(L, lua_gettop(L) - 1, lua_gettop(L))) return false;
    lua_pop(L, 2);
  }
  return true;
}

/* Absolute indexes. */
static bool values_equal(lua_State *L, int a, int b) {
  if (lua_type(L, a) != LUA_TTABLE || lua_type(L, b) != LUA_TTABLE) return lua_rawequal(L, a, b);
  luaL_checkstack(L, 10, NULL);
  if (json_is_array(L, a) != json_is_array(L, b)) return false;
  return members_equal(L, a, b) && members_equal(L, b, a);
}

static void encode(lua_State *L, int index, const struct json_encode_options *options) {
  struct err err;
  bool encoded = json_encode_push(L, index, options, &err) == 0;
  require_that(encoded, encoded ? "" : err.message);
}

static void decode(lua_State *L, int index) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  struct err err;
  bool decoded = json_decode_push(L, text, length, &no_options, &err) == 0;
  require_that(decoded, decoded ? "" : err.message);
}

/* The value is at index 1. */
static void check_round_trip(lua_State *L, const struct json_encode_options *options) {
  encode(L, 1, options);
  decode(L, 2);
  require_that(values_equal(L, 1, 3), "the value changed on its way through text");
  lua_settop(L, 1);
}

static void check_canonical(lua_State *L) {
  const struct json_encode_options canonical = {.canonical = true};
  encode(L, 1, &canonical);
  decode(L, 2);
  encode(L, 3, &canonical);
  require_that(lua_rawequal(L, 2, 4), "canonical text is not stable");
  lua_settop(L, 1);
}

static void check_absent(lua_State *L, const char *text, size_t length) {
  struct err err;
  require_that(json_decode_push(L, text, length, &null_absent, &err) == 0,
               "only null members decode");
  encode(L, 2, NULL);
  lua_settop(L, 1);
}

static void check(lua_State *L, const char *text, size_t length) {
  struct err err;
  if (json_decode_push(L, text, length, &no_options, &err) != 0) {
    require_that(lua_gettop(L) == 0, "a refusal left something on the stack");
    require_that(strstr(err.message, " at byte ") != NULL, "a refusal names no byte");
    return;
  }
  const struct json_encode_options plain = {.max_bytes = 0}, pretty = {.pretty = true};
  check_round_trip(L, &plain);
  check_round_trip(L, &pretty);
  check_canonical(L);
  check_absent(L, text, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A state for many inputs, so that what one leaves behind meets the next. */
  static lua_State *L;
  static unsigned inputs;
  if (L == NULL) L = luaL_newstate();
  require_that(L != NULL, "no Lua state");
  /* In a block of its own: the sanitizer sees a read beyond the end. */
  char *text = malloc(size ? size : 1);
  require_that(text != NULL, "no memory");
  if (size) memcpy(text, data, size);
  check(L, text, size);
  free(text);
  lua_settop(L, 0);
  if (++inputs % 1000 == 0) {
    lua_close(L);
    L = NULL;
  }
  return 0;
}
