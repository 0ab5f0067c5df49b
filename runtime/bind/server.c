#include "bind/server.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "bind/operation.h"
#include "bind/server_problem.h"
#include "bind/server_request.h"
#include "bind/shared.h"
#include "engine/worker.h"
#include "io/http_server.h"

#define LISTENER_NAME "tide.server.listener"
#define BODY_BYTES_MAX (1ll << 30)
#define CONNECTIONS_MAX 1000000

/* One per worker, made by the first require, freed by the worker. */
struct service {
  struct worker *worker;
  struct http_server *server;
  struct uuid_source ids;
};

/* What a listener's handle and its requests share. Freed when the handle is collected and
 * the server has let go of it, whichever is later. */
struct bound {
  struct service *service;
  struct http_listener *listener; /* NULL: closed */
  int handler;                    /* in the registry; LUA_NOREF once closed */
  bool is_draining;               /* cancelled tasks are the doing of the end of the service */
  unsigned references;
  char address[ADDRESS_TEXT_MAX];
};

static void release_bound(struct bound *bound) {
  if (--bound->references == 0) free(bound);
}

/* --- a request ------------------------------------------------------------------------ */

static int64_t wall_ms(const struct service *service) {
  return clock_wall_ms(worker_clock(service->worker));
}

static int serve_done(lua_State *L, int status, lua_KContext context) {
  (void)L;
  (void)status;
  (void)context;
  return 0;
}

/* The body of a request's task. */
static int serve(lua_State *L) {
  struct http_exchange *exchange = lua_touserdata(L, 1);
  const struct bound *bound = http_exchange_context(exchange);
  lua_settop(L, 0);
  /* The listener was closed, and the client with it, before the task's first turn. */
  if (bound->handler == LUA_NOREF) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, bound->handler);
  server_request_push(L, exchange);
  lua_callk(L, 1, 0, 0, serve_done);
  return 0;
}

static void on_task_end(void *argument) {
  struct http_exchange *exchange = argument;
  const struct bound *bound = http_exchange_context(exchange);
  if (!http_exchange_is_answered(exchange) && !http_exchange_is_gone(exchange)) {
    if (bound->is_draining || bound->listener == NULL)
      server_problem_stopped(exchange, &bound->service->ids, wall_ms(bound->service));
    else
      server_problem_answer(exchange, 500, "the handler of this request failed",
                            &bound->service->ids, wall_ms(bound->service));
  }
  http_exchange_release(exchange);
}

static void on_request(void *context, struct http_exchange *exchange) {
  struct bound *bound = context;
  struct task *task = task_start(bound->service->worker, serve, exchange);
  if (task != NULL) {
    task_on_end(task, on_task_end, exchange);
    return;
  }
  server_problem_answer(exchange, 503, "too many requests are being handled; try again",
                        &bound->service->ids, wall_ms(bound->service));
  http_exchange_release(exchange);
}

static void on_refuse(void *context, int status, const char *reason, struct http_refusal *refusal) {
  struct bound *bound = context;
  server_problem_fill(refusal, status, reason, &bound->service->ids, wall_ms(bound->service));
}

static void on_listener_closed(void *context) {
  release_bound(context);
}

/* --- listen --------------------------------------------------------------------------- */

static lua_Integer check_count(lua_State *L, const char *name, lua_Integer most) {
  luaL_argcheck(L, lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0 && lua_tointeger(L, -1) <= most,
                3, lua_pushfstring(L, "%s must be an integer from 1 to %I", name, most));
  return lua_tointeger(L, -1);
}

/* The option whose name is at -2 and whose value is at -1. */
static void check_option(lua_State *L, struct http_listen_options *options) {
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
  if (strcmp(name, "max_body_bytes") == 0) {
    options->limits.body_bytes = (size_t)check_count(L, name, BODY_BYTES_MAX);
  } else if (strcmp(name, "max_connections") == 0) {
    options->limits.connections = (unsigned)check_count(L, name, CONNECTIONS_MAX);
  } else if (strcmp(name, "reuse_port") == 0) {
    luaL_argcheck(L, lua_isboolean(L, -1), 3, "reuse_port must be true or false");
    options->reuse_port = lua_toboolean(L, -1);
  } else if (strcmp(name, "tls") == 0) {
    luaL_argcheck(L, lua_isboolean(L, -1), 3, "tls must be true or false");
    options->tls = lua_toboolean(L, -1) ? shared_of(L)->tls_identity : NULL;
  } else {
    luaL_argerror(L, 3, lua_pushfstring(L, "there is no option \"%s\"", name));
  }
}

static void check_options(lua_State *L, struct http_listen_options *options) {
  *options = (struct http_listen_options){0};
  if (lua_isnil(L, 3)) return;
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, 3) != 0) {
    check_option(L, options);
    lua_pop(L, 1);
  }
}

/* Pushes a handle, closed for now, and gives it what it will share. */
static struct bound *push_handle(lua_State *L, struct service *service) {
  struct bound **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = NULL;
  luaL_setmetatable(L, LISTENER_NAME);
  struct bound *bound = calloc(1, sizeof *bound);
  if (bound == NULL) luaL_error(L, "not enough memory");
  bound->service = service;
  bound->handler = LUA_NOREF;
  bound->references = 1;
  *handle = bound;
  return bound;
}

static void drop_handler(lua_State *L, struct bound *bound) {
  luaL_unref(L, LUA_REGISTRYINDEX, bound->handler);
  bound->handler = LUA_NOREF;
}

static int start(struct bound *bound, const struct address *address,
                 const struct http_listen_options *options, struct err *err) {
  struct http_handler handler = {.on_request = on_request,
                                 .on_refuse = on_refuse,
                                 .on_closed = on_listener_closed,
                                 .context = bound};
  bound->listener = http_server_listen(bound->service->server, address, &handler, options, err);
  if (bound->listener == NULL) return -1;
  bound->references++;
  address_format(http_listener_address(bound->listener), bound->address, sizeof bound->address);
  return 0;
}

static int l_listen(lua_State *L) {
  struct service *service = lua_touserdata(L, lua_upvalueindex(1));
  struct address address;
  struct http_listen_options options;
  struct err err;
  lua_settop(L, 3);
  const char *text = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  check_options(L, &options);
  if (address_parse(&address, text, &err) != 0) return bind_fail(L, &err);
  struct bound *bound = push_handle(L, service); /* 4 */
  lua_pushvalue(L, 2);
  bound->handler = luaL_ref(L, LUA_REGISTRYINDEX);
  if (start(bound, &address, &options, &err) != 0) {
    drop_handler(L, bound);
    return bind_fail(L, &err);
  }
  return 1;
}

/* --- a listener ----------------------------------------------------------------------- */

static struct bound *check_bound(lua_State *L) {
  struct bound **handle = luaL_checkudata(L, 1, LISTENER_NAME);
  luaL_argcheck(L, *handle != NULL, 1, "the listener was never bound");
  return *handle;
}

static int l_drain(lua_State *L) {
  struct bound *bound = check_bound(L);
  bound->is_draining = true;
  if (bound->listener != NULL) http_listener_drain(bound->listener);
  return 0;
}

static int l_close(lua_State *L) {
  struct bound *bound = check_bound(L);
  if (bound->listener == NULL) return 0;
  struct http_listener *listener = bound->listener;
  bound->listener = NULL;
  drop_handler(L, bound);
  http_listener_close(listener);
  return 0;
}

static int l_limit_body(lua_State *L) {
  struct bound *bound = check_bound(L);
  lua_Integer bytes = luaL_checkinteger(L, 2);
  luaL_argcheck(L, bytes > 0 && bytes <= BODY_BYTES_MAX, 2, "not a size of a body");
  if (bound->listener != NULL) http_listener_limit_body(bound->listener, (size_t)bytes);
  return 0;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static int l_stats(lua_State *L) {
  struct bound *bound = check_bound(L);
  struct http_listener_stats stats = {0};
  if (bound->listener != NULL) stats = http_listener_stats(bound->listener);
  lua_createtable(L, 0, 9);
  set_count(L, "connections", stats.connections);
  set_count(L, "requests", stats.exchanges);
  set_count(L, "accepted", stats.accepted);
  set_count(L, "handled", stats.requests);
  set_count(L, "refused", stats.refused);
  set_count(L, "handshakes", stats.handshakes);
  set_count(L, "failed_handshakes", stats.failed_handshakes);
  set_count(L, "full", stats.full);
  set_count(L, "starved", stats.starved);
  return 1;
}

/* Upvalue 1: the methods. */
static int l_listener_index(lua_State *L) {
  struct bound *bound = check_bound(L);
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "address") == 0) {
    lua_pushstring(L, bound->address);
    return 1;
  }
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

/* A handle that is dropped goes on serving, as a server should; the worker ends it. */
static int l_listener_gc(lua_State *L) {
  struct bound **handle = luaL_checkudata(L, 1, LISTENER_NAME);
  if (*handle != NULL) release_bound(*handle);
  *handle = NULL;
  return 0;
}

static void stop_service(void *argument) {
  struct service *service = argument;
  /* Only closes: nothing of the service is used by the callbacks that follow but the
   * listeners' own `struct bound`. */
  http_server_free(service->server);
  free(service);
}

static struct service *new_service(lua_State *L) {
  struct worker *worker = worker_of(L);
  struct service *service = calloc(1, sizeof *service);
  if (service == NULL) luaL_error(L, "not enough memory");
  service->worker = worker;
  uuid_source_init(&service->ids);
  service->server =
      http_server_new(worker_loop(worker), worker_real_timers(worker), worker_clock(worker));
  if (service->server == NULL) {
    free(service);
    luaL_error(L, "not enough memory");
  }
  if (worker_attach(worker, service, stop_service) != 0) {
    stop_service(service);
    luaL_error(L, "the worker has no room for tide.server");
  }
  return service;
}

static const luaL_Reg listener_methods[] = {
    {"limit_body", l_limit_body}, {"drain", l_drain}, {"close", l_close},
    {"stats", l_stats},           {NULL, NULL},
};

static const luaL_Reg listener_metamethods[] = {
    {"__gc", l_listener_gc},
    {"__close", l_close},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"listen", l_listen},
    {NULL, NULL},
};

static void register_listener(lua_State *L) {
  luaL_newmetatable(L, LISTENER_NAME);
  luaL_setfuncs(L, listener_metamethods, 0);
  luaL_newlib(L, listener_methods);
  lua_pushcclosure(L, l_listener_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_tide_server(lua_State *L) {
  server_request_register(L);
  register_listener(L);
  luaL_newlibtable(L, module_functions);
  lua_pushlightuserdata(L, new_service(L));
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
