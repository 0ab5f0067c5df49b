/* Lua's module tide.store (docs/api/store.lua). */
#ifndef TIDEGATE_BIND_STORE_H
#define TIDEGATE_BIND_STORE_H

struct lua_State;

int luaopen_tide_store(struct lua_State *L);

#endif
