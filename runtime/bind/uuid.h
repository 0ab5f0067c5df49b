/* `tide.uuid` (docs/api/uuid.lua). */
#ifndef TIDEGATE_BIND_UUID_H
#define TIDEGATE_BIND_UUID_H

struct lua_State;
int luaopen_tide_uuid(struct lua_State *L);

#endif
