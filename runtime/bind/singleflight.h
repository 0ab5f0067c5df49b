/* tide.state.singleflight: see docs/api/singleflight.lua. */
#ifndef TIDEGATE_BIND_SINGLEFLIGHT_H
#define TIDEGATE_BIND_SINGLEFLIGHT_H

struct lua_State;

int luaopen_tide_state_singleflight(struct lua_State *L);

#endif
