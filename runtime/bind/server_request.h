/* The userdata `ServerRequest` of docs/api/server.lua: one inbound request. */
#ifndef TIDEGATE_BIND_SERVER_REQUEST_H
#define TIDEGATE_BIND_SERVER_REQUEST_H

#include <lua.h>

struct http_exchange;

/* Makes the metatable; once a state, before the first push. Leaves the stack as it was. */
void server_request_register(lua_State *L);

/* Pushes one request, which holds the exchange until it is collected. */
void server_request_push(lua_State *L, struct http_exchange *exchange);

#endif
