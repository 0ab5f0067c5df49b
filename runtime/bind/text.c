#include "bind/text.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"
#include "bind/operation.h"
#include "io/text.h"

static const char *check_text(lua_State *L, size_t *length) {
  lua_settop(L, 1);
  return luaL_checklstring(L, 1, length);
}

static bool is_ascii(const char *text, size_t length) {
  unsigned char all = 0;
  for (size_t index = 0; index < length; index++) all |= (unsigned char)text[index];
  return all < 0x80;
}

static int normalize(lua_State *L, enum text_form form) {
  struct err err;
  size_t length, code_points, result_length;
  const char *text = check_text(L, &length);
  /* ASCII is its own normal form. */
  if (form != TEXT_FOLD && is_ascii(text, length)) return 1;
  if (text_normalize_room(form, text, length, &code_points, &err) != 0) return bind_fail(L, &err);
  int32_t *room = lua_newuserdatauv(L, (code_points + 1) * sizeof *room, 0);
  if (text_normalize(form, text, length, room, code_points, &result_length, &err) != 0)
    return bind_fail(L, &err);
  lua_pushlstring(L, (const char *)room, result_length);
  return 1;
}

static int l_nfc(lua_State *L) {
  return normalize(L, TEXT_NFC);
}

static int l_nfkc(lua_State *L) {
  return normalize(L, TEXT_NFKC);
}

static int l_fold(lua_State *L) {
  return normalize(L, TEXT_FOLD);
}

static int l_trim(lua_State *L) {
  size_t length;
  const char *text = check_text(L, &length);
  const char *start = text_trim(text, &length);
  lua_pushlstring(L, start, length);
  return 1;
}

static int l_length(lua_State *L) {
  struct err err;
  size_t length, code_points;
  const char *text = check_text(L, &length);
  if (text_count(text, length, &code_points, &err) != 0) return bind_fail(L, &err);
  lua_pushinteger(L, (lua_Integer)code_points);
  return 1;
}

static int l_is_utf8(lua_State *L) {
  size_t length;
  const char *text = check_text(L, &length);
  lua_pushboolean(L, utf8_is_valid(text, length));
  return 1;
}

static int l_is_euc_kr(lua_State *L) {
  size_t length;
  const char *text = check_text(L, &length);
  lua_pushboolean(L, text_is_euc_kr(text, length));
  return 1;
}

static int l_truncate(lua_State *L) {
  size_t length;
  lua_settop(L, 2);
  const char *text = luaL_checklstring(L, 1, &length);
  lua_Integer bytes = luaL_checkinteger(L, 2);
  luaL_argcheck(L, bytes >= 0, 2, "a length of 0 or more expected");
  lua_pushlstring(L, text, text_truncated_length(text, length, (size_t)bytes));
  return 1;
}

static int l_split(lua_State *L) {
  size_t length, separator_length;
  lua_settop(L, 2);
  const char *at = luaL_checklstring(L, 1, &length);
  const char *separator = luaL_checklstring(L, 2, &separator_length);
  luaL_argcheck(L, separator_length > 0, 2, "a separator that is not empty expected");
  const char *end = at + length;
  lua_newtable(L);
  for (lua_Integer count = 1;; count++) {
    const char *next = memmem(at, (size_t)(end - at), separator, separator_length);
    lua_pushlstring(L, at, (size_t)((next == NULL ? end : next) - at));
    lua_rawseti(L, -2, count);
    if (next == NULL) return 1;
    at = next + separator_length;
  }
}

static const luaL_Reg module_functions[] = {
    {"nfc", l_nfc},
    {"nfkc", l_nfkc},
    {"fold", l_fold},
    {"trim", l_trim},
    {"length", l_length},
    {"is_utf8", l_is_utf8},
    {"is_euc_kr", l_is_euc_kr},
    {"truncate", l_truncate},
    {"split", l_split},
    {NULL, NULL},
};

int luaopen_tide_text(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
