/* tide.state.counters: see docs/api/counters.lua. */
#ifndef TIDEGATE_BIND_COUNTERS_H
#define TIDEGATE_BIND_COUNTERS_H

/* The metatable of its handles, each a `struct counter_cell * *`. */
#define COUNTER_TYPE "tidegate.counter"

struct lua_State;

int luaopen_tide_state_counters(struct lua_State *L);

#endif
