/* tide.state.cache: see docs/api/cache.lua. */
#ifndef TIDEGATE_BIND_CACHE_H
#define TIDEGATE_BIND_CACHE_H

struct lua_State;

int luaopen_tide_state_cache(struct lua_State *L);

#endif
