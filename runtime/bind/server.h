/* `tide.server` (docs/api/server.lua). */
#ifndef TIDEGATE_BIND_SERVER_H
#define TIDEGATE_BIND_SERVER_H

struct lua_State;
int luaopen_tide_server(struct lua_State *L);

#endif
