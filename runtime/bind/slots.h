/* tide.state.slots: see docs/api/slots.lua. */
#ifndef TIDEGATE_BIND_SLOTS_H
#define TIDEGATE_BIND_SLOTS_H

struct lua_State;

int luaopen_tide_state_slots(struct lua_State *L);

#endif
