/* The module `tide.terminal` (docs/api/terminal.lua). */
#ifndef TIDEGATE_BIND_TERMINAL_H
#define TIDEGATE_BIND_TERMINAL_H

#include <lua.h>

int luaopen_tide_terminal(lua_State *L);

#endif
