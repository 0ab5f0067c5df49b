/* Reads a list of migrations from Lua. */
#ifndef TIDEGATE_BIND_STORE_MIGRATION_H
#define TIDEGATE_BIND_STORE_MIGRATION_H

#include <lua.h>

#include "io/store_request.h"

/* The STORE_MIGRATE request of the list { { number, name, sql }, … } at `index`, for the name space
 * `space`. Its bytes stay Lua's: of the list, and of values that are pushed. Raises argument
 * errors. */
struct store_spec store_migration_check(lua_State *L, int index, const char *space);

#endif
