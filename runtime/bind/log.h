/* tide.engine.log: queues ready lines; scripts/tide/log.lua makes them (docs/api/log.lua). */
#ifndef TIDEGATE_BIND_LOG_H
#define TIDEGATE_BIND_LOG_H

struct lua_State;

int luaopen_tide_engine_log(struct lua_State *L);

#endif
