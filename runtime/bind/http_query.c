#include "bind/http_query.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bind/operation.h"
#include "io/url.h"

#define QUERY_KEYS_MAX 10000
#define QUERY_BYTES_MAX (1024 * 1024)
#define NUMBER_TEXT_MAX 64

/* --- URLs --------------------------------------------------------------------------------- */

int http_query_parse_url(lua_State *L) {
  size_t length;
  struct url url;
  struct err err;
  char origin[URL_ORIGIN_MAX];
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *text = lua_tolstring(L, 1, &length);
  if (url_parse(&url, text, length, &err) != 0) return bind_fail(L, &err);
  url_origin(&url, origin);
  lua_createtable(L, 0, 6);
  lua_pushstring(L, url.secure ? "https" : "http");
  lua_setfield(L, -2, "scheme");
  lua_pushlstring(L, url.host, url.host_length);
  lua_setfield(L, -2, "host");
  lua_pushinteger(L, url.port);
  lua_setfield(L, -2, "port");
  lua_pushlstring(L, url.path.length > 0 ? url.path.data : "/",
                  url.path.length > 0 ? url.path.length : 1);
  lua_setfield(L, -2, "path");
  if (url.query.data != NULL) {
    lua_pushlstring(L, url.query.data, url.query.length);
    lua_setfield(L, -2, "query");
  }
  lua_pushstring(L, origin);
  lua_setfield(L, -2, "origin");
  return 1;
}

static void add_encoded(luaL_Buffer *buffer, const char *text, size_t length) {
  char *out = luaL_prepbuffsize(buffer, 3 * length);
  luaL_addsize(buffer, url_encode(out, text, length));
}

int http_query_encode(lua_State *L) {
  size_t length;
  luaL_Buffer buffer;
  lua_settop(L, 1);
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length <= QUERY_BYTES_MAX, 1, "text of more than 1 MiB");
  luaL_buffinit(L, &buffer);
  add_encoded(&buffer, text, length);
  luaL_pushresult(&buffer);
  return 1;
}

/* --- encoding a query --------------------------------------------------------------------- */

/* A value as text. Strings stay anchored in the table that they came from; numbers are copied,
 * because a luaL_Buffer wants nothing above it on the stack. */
struct text {
  const char *data;
  size_t length;
  char number[NUMBER_TEXT_MAX];
};

/* Pops the value. */
static void take_text(lua_State *L, struct text *text, const char *what) {
  switch (lua_type(L, -1)) {
    case LUA_TSTRING:
      text->data = lua_tolstring(L, -1, &text->length);
      break;
    case LUA_TNUMBER: {
      const char *number = lua_tolstring(L, -1, &text->length); /* converts the copy */
      if (text->length > NUMBER_TEXT_MAX) text->length = NUMBER_TEXT_MAX;
      memcpy(text->number, number, text->length);
      text->data = text->number;
      break;
    }
    case LUA_TBOOLEAN:
      text->data = lua_toboolean(L, -1) ? "true" : "false";
      text->length = strlen(text->data);
      break;
    default:
      luaL_argerror(L, 1,
                    lua_pushfstring(L,
                                    "%s of a query must be a string, number or boolean, "
                                    "not %s",
                                    what, luaL_typename(L, -1)));
  }
  luaL_argcheck(L, text->length <= QUERY_BYTES_MAX, 1, "text of more than 1 MiB");
  lua_pop(L, 1);
}

static void add_pair(luaL_Buffer *buffer, bool *is_first, const struct text *name,
                     const struct text *value) {
  if (!*is_first) luaL_addchar(buffer, '&');
  *is_first = false;
  add_encoded(buffer, name->data, name->length);
  luaL_addchar(buffer, '=');
  add_encoded(buffer, value->data, value->length);
}

/* A list of { name, value } in its order. */
static void add_list(lua_State *L, luaL_Buffer *buffer) {
  bool is_first = true;
  lua_Integer count = luaL_len(L, 1);
  for (lua_Integer i = 1; i <= count; i++) {
    struct text name, value;
    if (lua_rawgeti(L, 1, i) != LUA_TTABLE) luaL_argerror(L, 1, "a list of pairs expected");
    /* The pair itself stays in the list, so its strings do too. */
    lua_rawgeti(L, -1, 1);
    take_text(L, &name, "a name");
    lua_rawgeti(L, -1, 2);
    take_text(L, &value, "a value");
    lua_pop(L, 1);
    add_pair(buffer, &is_first, &name, &value);
  }
}

static int compare_keys(const void *a, const void *b) {
  const struct url_slice *left = a, *right = b;
  size_t shorter = left->length < right->length ? left->length : right->length;
  int order = memcmp(left->data, right->data, shorter);
  if (order != 0) return order;
  return left->length < right->length ? -1 : left->length > right->length;
}

/* Pushes a userdata with the keys in the order of their bytes. */
static struct url_slice *push_sorted_keys(lua_State *L, size_t *count) {
  size_t total = 0;
  lua_pushnil(L);
  while (lua_next(L, 1) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_argerror(L, 1, "the keys of a query must be strings");
    total++;
  }
  luaL_argcheck(L, total <= QUERY_KEYS_MAX, 1, "more than 10000 keys");
  struct url_slice *keys = lua_newuserdatauv(L, (total + 1) * sizeof *keys, 0);
  *count = 0;
  lua_pushnil(L);
  while (lua_next(L, 1) != 0) {
    lua_pop(L, 1);
    struct url_slice *key = &keys[(*count)++];
    key->data = lua_tolstring(L, -1, &key->length);
  }
  qsort(keys, total, sizeof *keys, compare_keys);
  return keys;
}

static void add_values(lua_State *L, luaL_Buffer *buffer, bool *is_first, const struct text *name) {
  struct text value;
  lua_pushlstring(L, name->data, name->length);
  if (lua_rawget(L, 1) != LUA_TTABLE) {
    take_text(L, &value, "a value");
    add_pair(buffer, is_first, name, &value);
    return;
  }
  size_t count = lua_rawlen(L, -1);
  lua_pop(L, 1);
  for (size_t i = 1; i <= count; i++) {
    lua_pushlstring(L, name->data, name->length);
    lua_rawget(L, 1);
    lua_rawgeti(L, -1, (lua_Integer)i);
    lua_remove(L, -2);
    take_text(L, &value, "a value");
    add_pair(buffer, is_first, name, &value);
  }
}

int http_query_encode_query(lua_State *L) {
  luaL_Buffer buffer;
  bool is_first = true;
  size_t count;
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lua_rawlen(L, 1) > 0) {
    luaL_argcheck(L, lua_rawlen(L, 1) <= QUERY_KEYS_MAX, 1, "more than 10000 pairs");
    luaL_buffinit(L, &buffer);
    add_list(L, &buffer);
  } else {
    const struct url_slice *keys = push_sorted_keys(L, &count);
    luaL_buffinit(L, &buffer);
    for (size_t i = 0; i < count; i++) {
      struct text name = {.data = keys[i].data, .length = keys[i].length};
      add_values(L, &buffer, &is_first, &name);
    }
  }
  luaL_pushresult(&buffer);
  return 1;
}

/* --- decoding one ------------------------------------------------------------------------- */

/* Pushes the decoded text, or nil, message, code. */
static bool push_decoded(lua_State *L, char *scratch, const struct url_slice *text) {
  struct err err;
  size_t length;
  if (url_decode_query(scratch, &length, text->data, text->length, &err) != 0) {
    bind_fail(L, &err);
    return false;
  }
  lua_pushlstring(L, scratch, length);
  return true;
}

/* stack: text, scratch, result, name, value -> text, scratch, result */
static void store_pair(lua_State *L) {
  lua_pushvalue(L, 4);
  int type = lua_rawget(L, 3);
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    lua_rawset(L, 3);
    return;
  }
  if (type != LUA_TTABLE) {
    lua_createtable(L, 2, 0);
    lua_insert(L, 6);
    lua_rawseti(L, 6, 1); /* stack: …, name, value, list */
    lua_pushvalue(L, 4);
    lua_pushvalue(L, 6);
    lua_rawset(L, 3);
  }
  lua_pushvalue(L, 5);
  lua_rawseti(L, 6, (lua_Integer)lua_rawlen(L, 6) + 1);
  lua_settop(L, 3);
}

int http_query_decode_query(lua_State *L) {
  struct url_slice query, name, value;
  lua_settop(L, 1);
  query.data = luaL_checklstring(L, 1, &query.length);
  luaL_argcheck(L, query.length <= QUERY_BYTES_MAX, 1, "text of more than 1 MiB");
  char *scratch = lua_newuserdatauv(L, query.length + 1, 0);
  lua_newtable(L);
  while (url_query_next(&query, &name, &value)) {
    if (!push_decoded(L, scratch, &name)) return 3;
    if (!push_decoded(L, scratch, &value)) return 3;
    store_pair(L);
  }
  return 1;
}
