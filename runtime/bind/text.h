/* `tide.text` (docs/api/text.lua). */
#ifndef TIDEGATE_BIND_TEXT_H
#define TIDEGATE_BIND_TEXT_H

struct lua_State;
int luaopen_tide_text(struct lua_State *L);

#endif
