/* tide.state.breaker: see docs/api/breaker.lua. */
#ifndef TIDEGATE_BIND_BREAKER_H
#define TIDEGATE_BIND_BREAKER_H

struct lua_State;

int luaopen_tide_state_breaker(struct lua_State *L);

#endif
