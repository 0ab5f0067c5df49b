/* tide.state.breaker: see docs/api/breaker.lua. */
#ifndef TIDEGATE_BIND_BREAKER_H
#define TIDEGATE_BIND_BREAKER_H

/* The metatable of its handles, each a `struct breaker * *`. */
#define BREAKER_TYPE "tidegate.breaker"

struct lua_State;

int luaopen_tide_state_breaker(struct lua_State *L);

#endif
