/* A `struct buf` that Lua frees: a function fills it, pushes it as a string and returns;
 * an error in between leaks nothing. */
#ifndef TIDEGATE_BIND_BYTES_H
#define TIDEGATE_BIND_BYTES_H

#include <lua.h>

#include "base/buf.h"

/* Pushes an empty buffer and marks its slot to be closed when the function ends. */
struct buf *bytes_open(lua_State *L, size_t ceiling);
/* Pushes the content as a string. */
void bytes_push(lua_State *L, const struct buf *bytes);

#endif
