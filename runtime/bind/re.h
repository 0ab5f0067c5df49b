/* `tide.re` (docs/api/re.lua). */
#ifndef TIDEGATE_BIND_RE_H
#define TIDEGATE_BIND_RE_H

struct lua_State;
int luaopen_tide_re(struct lua_State *L);

#endif
