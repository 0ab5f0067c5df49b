/* tide.state.cache: see docs/api/cache.lua. */
#ifndef TIDEGATE_BIND_CACHE_H
#define TIDEGATE_BIND_CACHE_H

/* The metatable of its handles, each a `struct cache_space * *`. */
#define CACHE_SPACE_TYPE "tidegate.cache_space"

struct lua_State;

int luaopen_tide_state_cache(struct lua_State *L);

#endif
