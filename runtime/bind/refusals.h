/* tide.state.refusals: see docs/api/refusals.lua. */
#ifndef TIDEGATE_BIND_REFUSALS_H
#define TIDEGATE_BIND_REFUSALS_H

struct lua_State;

int luaopen_tide_state_refusals(struct lua_State *L);

#endif
