/* `tide.time` (docs/api/time.lua). */
#ifndef TIDEGATE_BIND_TIME_H
#define TIDEGATE_BIND_TIME_H

struct lua_State;
int luaopen_tide_time(struct lua_State *L);

#endif
