#include "bind/pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>

#include "bind/pattern_match.h"

/* The offset from 0 that the argument means: from the end when it is negative. */
static size_t check_init(lua_State *L, int index, size_t length) {
  lua_Integer init = luaL_optinteger(L, index, 1);
  if (init > 0) return (size_t)init - 1;
  if (init == 0 || init < -(lua_Integer)length) return 0;
  return length - (size_t)-init;
}

static bool has_specials(const char *pattern, size_t length) {
  for (size_t index = 0; index < length; index++)
    if (pattern[index] != '\0' && strchr("^$*+?.([%-", pattern[index]) != NULL) return true;
  return false;
}

static int find_plain(lua_State *L, const char *subject, size_t length, size_t init,
                      const char *text, size_t text_length) {
  /* Linear, whatever the texts: the only search here that needs no budget. */
  const char *found = memmem(subject + init, length - init, text, text_length);
  if (found == NULL) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushinteger(L, found - subject + 1);
  lua_pushinteger(L, found - subject + (lua_Integer)text_length);
  return 2;
}

static int find_pattern(struct pattern_search *search, size_t init, bool places) {
  lua_State *L = search->L;
  bool anchored = *search->pattern == '^';
  if (anchored) search->pattern++;
  for (const char *at = search->subject + init; at <= search->subject_end; at++) {
    const char *end = pattern_match(search, at);
    if (end != NULL) {
      if (!places) return pattern_push_captures(search, at, end);
      lua_pushinteger(L, at - search->subject + 1);
      lua_pushinteger(L, end - search->subject);
      return pattern_push_captures(search, NULL, NULL) + 2;
    }
    if (anchored) break;
  }
  luaL_pushfail(L);
  return 1;
}

static int find(lua_State *L, bool places) {
  struct pattern_search search;
  size_t length, pattern_length;
  const char *subject = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  size_t init = check_init(L, 3, length);
  if (init > length) {
    luaL_pushfail(L);
    return 1;
  }
  if (places && (lua_toboolean(L, 4) || !has_specials(pattern, pattern_length)))
    return find_plain(L, subject, length, init, pattern, pattern_length);
  pattern_search_init(&search, L, subject, length, pattern, pattern_length);
  return find_pattern(&search, init, places);
}

static int l_find(lua_State *L) {
  return find(L, true);
}

static int l_match(lua_State *L) {
  return find(L, false);
}

/* ---- gmatch ---- */

struct walk {
  struct pattern_search search;
  const char *at;
  const char *last; /* the end of the last match: an empty one there is none of its own */
};

/* Upvalues: subject, pattern (both only held), walk. */
static int walk_next(lua_State *L) {
  struct walk *walk = lua_touserdata(L, lua_upvalueindex(3));
  walk->search.L = L;
  for (const char *at = walk->at; at <= walk->search.subject_end; at++) {
    const char *end = pattern_match(&walk->search, at);
    if (end == NULL || end == walk->last) continue;
    walk->at = walk->last = end;
    return pattern_push_captures(&walk->search, at, end);
  }
  return 0;
}

static int l_gmatch(lua_State *L) {
  size_t length, pattern_length;
  const char *subject = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  size_t init = check_init(L, 3, length);
  lua_settop(L, 2);
  struct walk *walk = lua_newuserdatauv(L, sizeof *walk, 0);
  pattern_search_init(&walk->search, L, subject, length, pattern, pattern_length);
  walk->at = subject + (init > length ? length + 1 : init);
  walk->last = NULL;
  lua_pushcclosure(L, walk_next, 3);
  return 1;
}

/* ---- gsub ---- */

static void add_template(struct pattern_search *search, luaL_Buffer *buffer, const char *start,
                         const char *end) {
  lua_State *L = search->L;
  size_t length;
  const char *at = lua_tolstring(L, 3, &length), *stop = at + length, *sign;
  while ((sign = memchr(at, '%', (size_t)(stop - at))) != NULL) {
    luaL_addlstring(buffer, at, (size_t)(sign - at));
    at = sign + 2;
    if (sign[1] == '%') {
      luaL_addchar(buffer, '%');
    } else if (sign[1] == '0') {
      luaL_addlstring(buffer, start, (size_t)(end - start));
    } else if (isdigit((unsigned char)sign[1])) {
      pattern_push_capture(search, sign[1] - '1', start, end);
      luaL_addvalue(buffer);
    } else {
      luaL_error(L, "invalid use of '%c' in replacement string", '%');
    }
  }
  luaL_addlstring(buffer, at, (size_t)(stop - at));
}

/* Pushes what a function or table says for the match. */
static void push_replacement(struct pattern_search *search, const char *start, const char *end) {
  lua_State *L = search->L;
  if (lua_type(L, 3) == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, pattern_push_captures(search, start, end), 1);
  } else {
    pattern_push_capture(search, 0, start, end);
    lua_gettable(L, 3);
  }
}

/* Whether something else than the match was added. */
static bool add_replacement(struct pattern_search *search, luaL_Buffer *buffer, const char *start,
                            const char *end) {
  lua_State *L = search->L;
  int type = lua_type(L, 3);
  if (type != LUA_TFUNCTION && type != LUA_TTABLE) {
    add_template(search, buffer, start, end);
    return true;
  }
  push_replacement(search, start, end);
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(buffer, start, (size_t)(end - start));
    return false;
  }
  if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(buffer);
  return true;
}

/* Adds the subject with its replacements; sets their number. Whether anything was changed. */
static bool replace_all(struct pattern_search *search, luaL_Buffer *buffer, lua_Integer most,
                        lua_Integer *count) {
  const char *at = search->subject, *last = NULL;
  bool anchored = *search->pattern == '^', changed = false;
  if (anchored) search->pattern++;
  while (*count < most) {
    const char *end = pattern_match(search, at);
    if (end != NULL && end != last) {
      ++*count;
      changed = add_replacement(search, buffer, at, end) || changed;
      pattern_spend(search, 16);
      at = last = end;
    } else if (at < search->subject_end) {
      luaL_addchar(buffer, *at++);
    } else {
      break;
    }
    if (anchored) break;
  }
  luaL_addlstring(buffer, at, (size_t)(search->subject_end - at));
  return changed;
}

static int l_gsub(lua_State *L) {
  struct pattern_search search;
  luaL_Buffer buffer;
  size_t length, pattern_length;
  lua_Integer count = 0;
  const char *subject = luaL_checklstring(L, 1, &length);
  const char *pattern = luaL_checklstring(L, 2, &pattern_length);
  int type = lua_type(L, 3);
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1);
  luaL_argexpected(
      L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
      3, "string/function/table");
  luaL_buffinit(L, &buffer);
  pattern_search_init(&search, L, subject, length, pattern, pattern_length);
  bool changed = replace_all(&search, &buffer, most, &count);
  luaL_pushresult(&buffer);
  if (!changed) lua_pushvalue(L, 1);
  lua_pushinteger(L, count);
  return 2;
}

void pattern_set_functions(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"find", l_find}, {"match", l_match}, {"gmatch", l_gmatch}, {"gsub", l_gsub}, {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
