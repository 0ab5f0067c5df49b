/* tide.state.statistics: see docs/api/statistics.lua. */
#ifndef TIDEGATE_BIND_STATISTICS_H
#define TIDEGATE_BIND_STATISTICS_H

struct lua_State;

int luaopen_tide_state_statistics(struct lua_State *L);

#endif
