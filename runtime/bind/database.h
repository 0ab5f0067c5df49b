/* Lua's module tide.database (docs/api/database.lua). */
#ifndef TIDEGATE_BIND_DATABASE_H
#define TIDEGATE_BIND_DATABASE_H

struct lua_State;

int luaopen_tide_database(struct lua_State *L);

#endif
