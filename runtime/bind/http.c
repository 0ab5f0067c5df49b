#include "bind/http.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bind/http_query.h"
#include "bind/operation.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "io/http_client.h"

#define TIMEOUT_SECONDS 30.0
#define CONNECT_TIMEOUT_SECONDS 10.0
#define TIMEOUT_SECONDS_MAX 86400.0
#define RESPONSE_BYTES (8 * 1024 * 1024)
#define RESPONSE_BYTES_MAX (1024 * 1024 * 1024)

/* For tests and unusual set-ups: the name servers, "127.0.0.1:5353,[::1]:53". */
#define SERVERS_VARIABLE "TIDEGATE_DNS_SERVERS"

/* Places on the stack while a request runs. */
enum { AT_REQUEST = 1, AT_BODY = 2, AT_OPERATION = 3 };

/* What a Lua table describes, with room for its lists. */
struct description {
  struct http_request request;
  struct http_pair headers[HTTP_REQUEST_HEADERS_MAX];
  struct url_slice hosts[HTTP_REQUEST_HOSTS_MAX];
};

/* --- the request -------------------------------------------------------------------------- */

/* Fields are read without metamethods: the strings stay anchored in the tables that hold them
 * until the client has copied them. */
static int push_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, table);
}

static int wrong_field(lua_State *L, const char *name, const char *expected) {
  return luaL_argerror(
      L, AT_REQUEST,
      lua_pushfstring(L, "%s: %s expected, got %s", name, expected, luaL_typename(L, -1)));
}

/* NULL when absent and not `required`. */
static const char *string_field(lua_State *L, int table, const char *name, bool required,
                                size_t *length) {
  int type = push_field(L, table, name);
  if (type != LUA_TSTRING && (required || type != LUA_TNIL)) wrong_field(L, name, "string");
  const char *text = type == LUA_TSTRING ? lua_tolstring(L, -1, length) : NULL;
  if (text != NULL && strlen(text) != *length)
    luaL_argerror(L, AT_REQUEST, lua_pushfstring(L, "%s holds a NUL", name));
  lua_pop(L, 1);
  return text;
}

static uint64_t seconds_field(lua_State *L, const char *name, double seconds) {
  int type = push_field(L, AT_REQUEST, name);
  if (type != LUA_TNIL) {
    if (type != LUA_TNUMBER) wrong_field(L, name, "number");
    seconds = lua_tonumber(L, -1);
    if (!(seconds > 0))
      luaL_argerror(L, AT_REQUEST, lua_pushfstring(L, "%s must be above 0", name));
    if (seconds > TIMEOUT_SECONDS_MAX) seconds = TIMEOUT_SECONDS_MAX;
  }
  lua_pop(L, 1);
  return (uint64_t)ceil(seconds * 1000);
}

static size_t bytes_field(lua_State *L, const char *name, lua_Integer bytes) {
  int is_integer = 1;
  int type = push_field(L, AT_REQUEST, name);
  if (type != LUA_TNIL) bytes = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || bytes < 0 || bytes > RESPONSE_BYTES_MAX)
    luaL_argerror(L, AT_REQUEST, lua_pushfstring(L, "%s must be an integer up to 2^30", name));
  lua_pop(L, 1);
  return (size_t)bytes;
}

static bool boolean_field(lua_State *L, const char *name) {
  int type = push_field(L, AT_REQUEST, name);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN) wrong_field(L, name, "boolean");
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static enum address_policy policy_field(lua_State *L) {
  size_t length = 0;
  const char *name = string_field(L, AT_REQUEST, "private", false, &length);
  if (name == NULL || strcmp(name, "literal") == 0) return ADDRESS_POLICY_LITERAL;
  if (strcmp(name, "allow") == 0) return ADDRESS_POLICY_ALLOW;
  if (strcmp(name, "deny") == 0) return ADDRESS_POLICY_DENY;
  luaL_argerror(L, AT_REQUEST, "private must be \"allow\", \"literal\" or \"deny\"");
  return ADDRESS_POLICY_DENY;
}

/* The table on top of the stack is a pair of strings. */
static void read_pair(lua_State *L, struct http_pair *pair, lua_Integer index) {
  int pair_at = lua_gettop(L);
  bool is_pair = lua_type(L, pair_at) == LUA_TTABLE;
  if (is_pair) {
    is_pair = lua_rawgeti(L, pair_at, 1) == LUA_TSTRING;
    is_pair = lua_rawgeti(L, pair_at, 2) == LUA_TSTRING && is_pair;
  }
  if (!is_pair)
    luaL_argerror(L, AT_REQUEST,
                  lua_pushfstring(L, "headers[%I] must be a pair of strings", (long long)index));
  pair->name = lua_tolstring(L, pair_at + 1, &pair->name_length);
  pair->value = lua_tolstring(L, pair_at + 2, &pair->value_length);
  lua_settop(L, pair_at - 1);
}

static void read_headers(lua_State *L, struct description *description) {
  int type = push_field(L, AT_REQUEST, "headers");
  if (type != LUA_TNIL && type != LUA_TTABLE) wrong_field(L, "headers", "list of pairs");
  size_t count = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
  luaL_argcheck(L, count <= HTTP_REQUEST_HEADERS_MAX, AT_REQUEST, "more than 100 headers");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    read_pair(L, &description->headers[i], (lua_Integer)i + 1);
  }
  lua_pop(L, 1);
  description->request.headers = description->headers;
  description->request.header_count = count;
}

static void read_hosts(lua_State *L, struct description *description) {
  int type = push_field(L, AT_REQUEST, "hosts");
  if (type != LUA_TNIL && type != LUA_TTABLE) wrong_field(L, "hosts", "list of host names");
  size_t count = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
  luaL_argcheck(L, count <= HTTP_REQUEST_HOSTS_MAX, AT_REQUEST, "more than 100 hosts");
  for (size_t i = 0; i < count; i++) {
    struct url_slice *host = &description->hosts[i];
    if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING) wrong_field(L, "hosts", "string");
    host->data = lua_tolstring(L, -1, &host->length);
    if (!address_policy_pattern_is_valid(host->data, host->length))
      luaL_argerror(L, AT_REQUEST,
                    lua_pushfstring(L,
                                    "hosts: \"%s\" is no host name, address or "
                                    "\"*.suffix\"",
                                    host->data));
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  description->request.hosts = type == LUA_TTABLE ? description->hosts : NULL;
  description->request.host_count = count;
}

static struct http_pem pem_field(lua_State *L, int table, const char *name) {
  struct http_pem pem = {0};
  pem.data = string_field(L, table, name, false, &pem.length);
  return pem;
}

static void read_tls(lua_State *L, struct http_request *request) {
  int type = push_field(L, AT_REQUEST, "tls");
  if (type != LUA_TNIL && type != LUA_TTABLE) wrong_field(L, "tls", "table");
  if (type == LUA_TTABLE) {
    int table = lua_gettop(L);
    request->certificate = pem_field(L, table, "certificate");
    request->key = pem_field(L, table, "key");
    request->ca = pem_field(L, table, "ca");
  }
  lua_pop(L, 1);
}

/* Leaves the body, or nil, at AT_BODY: libcurl reads it from there. */
static void read_body(lua_State *L, struct http_request *request) {
  int type = push_field(L, AT_REQUEST, "body");
  if (type != LUA_TNIL && type != LUA_TSTRING) wrong_field(L, "body", "string");
  request->body = lua_tolstring(L, AT_BODY, &request->body_length);
}

static void read_request(lua_State *L, struct description *description) {
  struct http_request *request = &description->request;
  size_t length;
  memset(request, 0, sizeof *request);
  lua_settop(L, 1);
  luaL_checktype(L, AT_REQUEST, LUA_TTABLE);
  read_body(L, request);
  request->method = string_field(L, AT_REQUEST, "method", true, &length);
  request->url = string_field(L, AT_REQUEST, "url", true, &request->url_length);
  request->timeout_ms = seconds_field(L, "timeout_seconds", TIMEOUT_SECONDS);
  request->connect_timeout_ms =
      seconds_field(L, "connect_timeout_seconds", CONNECT_TIMEOUT_SECONDS);
  request->response_max = bytes_field(L, "max_response_bytes", RESPONSE_BYTES);
  request->policy = policy_field(L);
  request->fresh_connection = boolean_field(L, "fresh_connection");
  request->http2 = boolean_field(L, "http2");
  request->unix_socket = string_field(L, AT_REQUEST, "unix_socket", false, &length);
  read_headers(L, description);
  read_hosts(L, description);
  read_tls(L, request);
}

/* --- the answer --------------------------------------------------------------------------- */

static void push_headers(lua_State *L, const struct http_response *response) {
  lua_createtable(L, (int)response->field_count, 0);
  for (size_t i = 0; i < response->field_count; i++) {
    struct http_pair pair = http_response_header(response, i);
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, pair.name, pair.name_length);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, pair.value, pair.value_length);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

static void push_timings(lua_State *L, const struct http_timings *timings) {
  lua_createtable(L, 0, 5);
  set_number(L, "total_ms", timings->total);
  set_number(L, "dns_ms", timings->dns);
  set_number(L, "connect_ms", timings->connect);
  set_number(L, "tls_ms", timings->tls);
  set_number(L, "first_byte_ms", timings->first_byte);
}

static void push_answer(lua_State *L, const struct http_operation *operation) {
  const struct http_response *response = http_operation_response(operation);
  const struct buf *body = http_operation_body(operation);
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, response->status);
  lua_setfield(L, -2, "status");
  push_headers(L, response);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, body->length > 0 ? body->data : "", body->length);
  lua_setfield(L, -2, "body");
  push_timings(L, http_operation_timings(operation));
  lua_setfield(L, -2, "timings");
  lua_pushboolean(L, http_operation_reused(operation));
  lua_setfield(L, -2, "reused");
  lua_pushstring(L, http_operation_remote_address(operation));
  lua_setfield(L, -2, "remote_address");
}

static int fail(lua_State *L, const struct err *err, bool sent) {
  bind_fail(L, err);
  lua_pushboolean(L, sent);
  return 4;
}

static int l_request_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  const struct operation *handle = operation_check(L, (int)context);
  const struct http_operation *operation = handle->pointer;
  if (!http_operation_is_done(operation)) return task_await(L, l_request_done, context);
  const struct err *err = http_operation_error(operation);
  if (err != NULL) return fail(L, err, http_operation_sent(operation));
  push_answer(L, operation);
  return 1;
}

static void close_operation(void *operation) {
  http_operation_free(operation);
}

static struct http_client *client_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int l_request(lua_State *L) {
  struct description description;
  struct err err;
  read_request(L, &description);
  struct task *task = task_current(L);
  struct operation *handle = operation_open(L, close_operation);
  struct http_operation *operation =
      http_client_start(client_of(L), &description.request, task_wake, task, &err);
  if (operation == NULL) {
    if (strcmp(err.code, "invalid_input") == 0) return luaL_argerror(L, AT_REQUEST, err.message);
    return fail(L, &err, false);
  }
  operation_hold(L, handle, operation);
  return task_await(L, l_request_done, AT_OPERATION);
}

/* --- the module --------------------------------------------------------------------------- */

static void set_count(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static int l_stats(lua_State *L) {
  const struct http_client *client = client_of(L);
  const struct http_client_counters *counters = http_client_counters(client);
  const struct resolver_counters *names = resolver_counters(http_client_resolver(client));
  lua_settop(L, 0);
  lua_createtable(L, 0, 13);
  set_count(L, "in_flight", http_client_in_flight(client));
  set_count(L, "connections", http_client_connections(client));
  set_count(L, "started", counters->started);
  set_count(L, "failed", counters->failed);
  set_count(L, "cancelled", counters->cancelled);
  set_count(L, "timed_out", counters->timed_out);
  set_count(L, "refused", counters->refused);
  set_count(L, "reused", counters->reused);
  set_count(L, "dns_lookups", names->lookups);
  set_count(L, "dns_kept", names->kept);
  set_count(L, "dns_shared", names->shared);
  set_count(L, "dns_failures", names->failures);
  set_count(L, "dns_refused", names->refused);
  return 1;
}

static void stop_client(void *client) {
  http_client_free(client);
}

static void push_client(lua_State *L) {
  struct err err;
  struct worker *worker = worker_of(L);
  struct http_client_options options = {.resolver.servers = getenv(SERVERS_VARIABLE)};
  struct http_client *client =
      http_client_new(worker_loop(worker), worker_timers(worker), &options, &err);
  if (client == NULL) luaL_error(L, "%s", err.message);
  if (worker_attach(worker, client, stop_client) != 0) {
    http_client_free(client);
    luaL_error(L, "the worker holds too many services");
  }
  lua_pushlightuserdata(L, client);
}

static const luaL_Reg module_functions[] = {
    {"request", l_request},
    {"stats", l_stats},
    {"parse_url", http_query_parse_url},
    {"encode", http_query_encode},
    {"encode_query", http_query_encode_query},
    {"decode_query", http_query_decode_query},
    {NULL, NULL},
};

int luaopen_tide_http(lua_State *L) {
  luaL_newlibtable(L, module_functions);
  push_client(L);
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
