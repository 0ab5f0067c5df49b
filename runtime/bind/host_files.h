/* The part of tide.host that deals with files and streams: see docs/api/host.lua.
 *
 * Blocking, and therefore for the start, the command line and specs. */
#ifndef TIDEGATE_BIND_HOST_FILES_H
#define TIDEGATE_BIND_HOST_FILES_H

#include <stdbool.h>

struct lua_State;

/* Adds the functions to the table on top of the stack. */
void host_files_register(struct lua_State *L);

/* Pushes the bytes of a framework file and returns true, or pushes nothing. A development
 * build reads the source tree first. May raise for memory. */
bool host_files_push_asset(struct lua_State *L, const char *name);

#endif
