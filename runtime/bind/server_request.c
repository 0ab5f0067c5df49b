#include "bind/server_request.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/server_text.h"
#include "io/http_exchange.h"

#define REQUEST_NAME "tide.server.request"
#define RESPONSE_HEADERS_MAX 64

struct request {
  struct http_exchange *exchange; /* NULL: closed */
};

/* Upvalue 1 of every function here is the metatable's address (the registry keeps the table):
 * comparing it costs a fraction of luaL_checkudata, which looks the table up by name and still
 * says what is wrong. */
static struct request *check_request(lua_State *L, int index) {
  if (lua_getmetatable(L, index)) {
    bool is_request = lua_topointer(L, -1) == lua_touserdata(L, lua_upvalueindex(1));
    lua_pop(L, 1);
    if (is_request) return lua_touserdata(L, index);
  }
  return luaL_checkudata(L, index, REQUEST_NAME);
}

static struct http_exchange *check_exchange(lua_State *L, int index) {
  struct request *request = check_request(L, index);
  if (request->exchange == NULL) luaL_argerror(L, index, "the request is closed");
  return request->exchange;
}

static int push_text(lua_State *L, struct http_text text) {
  lua_pushlstring(L, text.data, text.length);
  return 1;
}

/* --- fields --------------------------------------------------------------------------- */

static int push_method(lua_State *L, const struct http_exchange *exchange) {
  lua_pushstring(L, http_exchange_method(exchange));
  return 1;
}

static int push_target(lua_State *L, const struct http_exchange *exchange) {
  return push_text(L, http_exchange_target(exchange));
}

static int push_path(lua_State *L, const struct http_exchange *exchange) {
  return push_text(L, http_exchange_path(exchange));
}

static int push_query(lua_State *L, const struct http_exchange *exchange) {
  if (http_exchange_message(exchange)->has_query)
    return push_text(L, http_exchange_query(exchange));
  lua_pushnil(L);
  return 1;
}

static int push_body(lua_State *L, const struct http_exchange *exchange) {
  return push_text(L, http_exchange_body(exchange));
}

static int push_peer(lua_State *L, const struct http_exchange *exchange) {
  char text[ADDRESS_SOCKET_TEXT_MAX];
  http_exchange_peer(exchange, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

static int push_peer_uid(lua_State *L, const struct http_exchange *exchange) {
  int64_t uid = http_exchange_peer_uid(exchange);
  if (uid < 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, uid);
  return 1;
}

static int push_version(lua_State *L, const struct http_exchange *exchange) {
  lua_pushstring(L, http_exchange_message(exchange)->version_minor == 0 ? "1.0" : "1.1");
  return 1;
}

static int push_gone(lua_State *L, const struct http_exchange *exchange) {
  lua_pushboolean(L, http_exchange_is_gone(exchange));
  return 1;
}

static const struct field {
  const char *name;
  int (*push)(lua_State *L, const struct http_exchange *exchange);
} fields[] = {
    {"method", push_method},     {"target", push_target},   {"path", push_path},
    {"query", push_query},       {"body", push_body},       {"peer", push_peer},
    {"peer_uid", push_peer_uid}, {"version", push_version}, {"gone", push_gone},
};

/* Upvalue 2: the methods, and each field's name with its place in `fields`. */
static int l_index(lua_State *L) {
  struct http_exchange *exchange = check_exchange(L, 1);
  lua_settop(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNUMBER) return 1;
  return fields[lua_tointeger(L, 2)].push(L, exchange);
}

/* --- methods -------------------------------------------------------------------------- */

static int l_header(lua_State *L) {
  struct http_exchange *exchange = check_exchange(L, 1);
  const char *name = luaL_checkstring(L, 2);
  lua_settop(L, 2);
  const struct http_message *message = http_exchange_message(exchange);
  int at = http_message_find(message, name, 0);
  if (at < 0) {
    lua_pushnil(L);
    return 1;
  }
  int next = http_message_find(message, name, (size_t)at + 1);
  if (next < 0) return push_text(L, http_message_header(message, (size_t)at).value);

  luaL_Buffer joined;
  luaL_buffinit(L, &joined);
  for (; at >= 0; at = http_message_find(message, name, (size_t)at + 1)) {
    struct http_text value = http_message_header(message, (size_t)at).value;
    if (luaL_bufflen(&joined) > 0) luaL_addstring(&joined, ", ");
    luaL_addlstring(&joined, value.data, value.length);
  }
  luaL_pushresult(&joined);
  return 1;
}

/* Upvalues 2 and 3: the known strings and their list. */
/* Whether the value of a header may be kept for later requests: an allow list, as any other may
 * be a credential. */
static bool is_kept(struct http_text name) {
  static const char *const kept[] = {"accept",     "accept-encoding", "accept-language",
                                     "connection", "content-length",  "content-type",
                                     "host",       "user-agent"};
  for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
    if (strlen(kept[i]) == name.length && memcmp(kept[i], name.data, name.length) == 0) return true;
  return false;
}

static int l_headers(lua_State *L) {
  struct http_exchange *exchange = check_exchange(L, 1);
  struct server_texts *texts = lua_touserdata(L, lua_upvalueindex(2));
  int list = lua_upvalueindex(3);
  const struct http_message *message = http_exchange_message(exchange);
  lua_settop(L, 1);
  lua_createtable(L, message->field_count, 0); /* 2 */
  for (size_t i = 0; i < message->field_count; i++) {
    struct http_header header = http_message_header(message, i);
    lua_createtable(L, 2, 0);
    server_texts_push(L, texts, list, header.name);
    lua_rawseti(L, -2, 1);
    if (is_kept(header.name))
      server_texts_push(L, texts, list, header.value);
    else
      lua_pushlstring(L, header.value.data, header.value.length);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, 2, (lua_Integer)i + 1);
  }
  return 1;
}

/* Joins the value on top with the one before it of the same name, which is below. */
static void join_values(lua_State *L) {
  lua_pushliteral(L, ", ");
  lua_insert(L, -2);
  lua_concat(L, 3);
}

static int l_header_table(lua_State *L) {
  struct http_exchange *exchange = check_exchange(L, 1);
  struct server_texts *texts = lua_touserdata(L, lua_upvalueindex(2));
  int list = lua_upvalueindex(3);
  const struct http_message *message = http_exchange_message(exchange);
  lua_settop(L, 1);
  lua_createtable(L, 0, (int)message->field_count); /* 2 */
  for (size_t i = 0; i < message->field_count; i++) {
    struct http_header header = http_message_header(message, i);
    server_texts_push(L, texts, list, header.name); /* 3 */
    lua_pushvalue(L, 3);
    bool again = lua_rawget(L, 2) != LUA_TNIL;
    if (!again) lua_pop(L, 1);
    lua_pushlstring(L, header.value.data, header.value.length);
    if (again) join_values(L);
    lua_rawset(L, 2);
  }
  return 1;
}

/* The string at `place` of the list at index 3; the list keeps it alive. */
static struct http_text check_item(lua_State *L, lua_Integer place) {
  struct http_text text;
  if (lua_rawgeti(L, 3, place) != LUA_TSTRING)
    luaL_argerror(L, 3, "a flat list of names and values, all strings, is expected");
  text.data = lua_tolstring(L, -1, &text.length);
  lua_pop(L, 1);
  return text;
}

static size_t check_headers(lua_State *L, struct http_header headers[RESPONSE_HEADERS_MAX]) {
  if (lua_isnoneornil(L, 3)) return 0;
  luaL_checktype(L, 3, LUA_TTABLE);
  size_t count = lua_rawlen(L, 3);
  luaL_argcheck(L, count % 2 == 0, 3, "a name without a value");
  luaL_argcheck(L, count / 2 <= RESPONSE_HEADERS_MAX, 3, "too many headers");
  for (size_t i = 0; i < count / 2; i++) {
    headers[i].name = check_item(L, 2 * (lua_Integer)i + 1);
    headers[i].value = check_item(L, 2 * (lua_Integer)i + 2);
  }
  return count / 2;
}

static int l_respond(lua_State *L) {
  struct http_exchange *exchange = check_exchange(L, 1);
  struct http_header headers[RESPONSE_HEADERS_MAX];
  struct http_response response = {.headers = headers};
  struct err err;
  lua_settop(L, 4);
  lua_Integer status = luaL_checkinteger(L, 2);
  luaL_argcheck(L, status >= 200 && status <= 599, 2, "the status must be 200 to 599");
  response.status = (int)status;
  response.header_count = check_headers(L, headers);
  response.body = luaL_optlstring(L, 4, "", &response.body_length);
  if (http_exchange_respond(exchange, &response, &err) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (strcmp(err.code, "gone") != 0) return luaL_error(L, "%s", err.message);
  lua_pushboolean(L, 0);
  return 1;
}

static int l_tostring(lua_State *L) {
  struct request *request = check_request(L, 1);
  if (request->exchange == NULL) {
    lua_pushliteral(L, "request (closed)");
    return 1;
  }
  lua_pushfstring(L, "request (%s)", http_exchange_method(request->exchange));
  return 1;
}

static int l_gc(lua_State *L) {
  struct request *request = check_request(L, 1);
  struct http_exchange *exchange = request->exchange;
  request->exchange = NULL;
  if (exchange != NULL) http_exchange_release(exchange);
  return 0;
}

/* Its address is the metatable's key in the registry, for the one place that has no upvalue. */
static const char metatable_key;

void server_request_push(lua_State *L, struct http_exchange *exchange) {
  struct request *request = lua_newuserdatauv(L, sizeof *request, 0);
  request->exchange = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
  lua_setmetatable(L, -2);
  http_exchange_retain(exchange);
  request->exchange = exchange;
}

static const luaL_Reg methods[] = {
    {"header", l_header},   {"headers", l_headers}, {"header_table", l_header_table},
    {"respond", l_respond}, {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", l_gc},
    {"__tostring", l_tostring},
    {NULL, NULL},
};

static void push_address(lua_State *L, int table) {
  lua_pushlightuserdata(L, (void *)lua_topointer(L, table));
}

void server_request_register(lua_State *L) {
  luaL_newmetatable(L, REQUEST_NAME);
  int metatable = lua_gettop(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
  push_address(L, metatable);
  luaL_setfuncs(L, metamethods, 1);
  push_address(L, metatable); /* of __index */
  luaL_newlibtable(L, methods);
  push_address(L, metatable);
  server_texts_push_new(L);
  luaL_setfuncs(L, methods, 3);
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    lua_pushinteger(L, (lua_Integer)i);
    lua_setfield(L, -2, fields[i].name);
  }
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
