#ifndef TIDEGATE_BIND_HTTP_H
#define TIDEGATE_BIND_HTTP_H

struct lua_State;

/* tide.http; makes the worker's HTTP client. */
int luaopen_tide_http(struct lua_State *L);

#endif
