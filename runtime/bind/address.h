/* The Lua module tide.address (docs/api/address.lua). */
#ifndef TIDEGATE_BIND_ADDRESS_H
#define TIDEGATE_BIND_ADDRESS_H

#include <lua.h>

int luaopen_tide_address(lua_State *L);

#endif
