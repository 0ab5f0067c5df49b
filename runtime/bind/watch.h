/* tide.watch: see docs/api/watch.lua. */
#ifndef TIDEGATE_BIND_WATCH_H
#define TIDEGATE_BIND_WATCH_H

struct lua_State;

int luaopen_tide_watch(struct lua_State *L);

#endif
