/* The closed-first handle that every waiting primitive holds (style: the handle exists, in a
 * closed state, before the resource does, so that an error in between leaks nothing).
 *
 * Also the two helpers that every binding ends with. */
#ifndef TIDEGATE_BIND_OPERATION_H
#define TIDEGATE_BIND_OPERATION_H

#include <lua.h>

#include "base/err.h"

struct operation {
  void *pointer;                /* NULL: closed */
  void (*close)(void *pointer); /* called once, with a pointer that is not NULL */
};

/* Pushes a closed handle and marks its slot to be closed when the function ends, however it
 * ends (return, error, cancel). While open it counts as one live operation of the worker. */
struct operation *operation_open(lua_State *L, void (*close)(void *pointer));
struct operation *operation_check(lua_State *L, int index);
/* Fills an opened handle. */
void operation_hold(lua_State *L, struct operation *operation, void *pointer);

/* Pushes nil, message, code; returns 3. */
int bind_fail(lua_State *L, const struct err *err);

#endif
