/* tide.json for Lua, and all of JSON for other bindings. */
#ifndef TIDEGATE_BIND_JSON_H
#define TIDEGATE_BIND_JSON_H

#include "bind/json_decode.h"
#include "bind/json_encode.h"
#include "bind/json_value.h"

/* Pushes the module (docs/api/json.lua). */
int luaopen_tide_json(lua_State *L);

#endif
