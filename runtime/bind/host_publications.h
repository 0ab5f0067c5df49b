/* Adds to tide.host what workers tell each other: publish, published, changes, wait_changes
 * (docs/api/host.lua). */
#ifndef TIDEGATE_BIND_HOST_PUBLICATIONS_H
#define TIDEGATE_BIND_HOST_PUBLICATIONS_H

#include <lua.h>

/* Adds its functions to the table on the top of the stack. */
void host_publications_register(lua_State *L);

#endif
