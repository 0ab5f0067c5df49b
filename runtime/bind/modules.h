/* Every module that Lua can require from C: one line each.
 *
 * modules_open fills package.preload with them and adds a searcher for the framework's own
 * Lua files ("tide.call" is scripts/tide/call.lua). */
#ifndef TIDEGATE_BIND_MODULES_H
#define TIDEGATE_BIND_MODULES_H

struct lua_State;

/* A lua_CFunction: runs inside a new state, protected; opens the standard library too. */
int modules_open(struct lua_State *L);

#endif
