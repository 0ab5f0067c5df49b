/* tide.state.statistics: see docs/api/statistics.lua. */
#ifndef TIDEGATE_BIND_STATISTICS_H
#define TIDEGATE_BIND_STATISTICS_H

/* The metatable of its handles, each a `struct call_cell * *`. */
#define CALL_CELL_TYPE "tidegate.call_cell"

struct lua_State;

int luaopen_tide_state_statistics(struct lua_State *L);

#endif
