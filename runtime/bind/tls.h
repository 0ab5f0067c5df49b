/* `tide.tls` (docs/api/tls.lua). */
#ifndef TIDEGATE_BIND_TLS_H
#define TIDEGATE_BIND_TLS_H

struct lua_State;

int luaopen_tide_tls(struct lua_State *L);

#endif
