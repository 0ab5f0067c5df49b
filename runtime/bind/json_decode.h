/* JSON text straight into Lua values. */
#ifndef TIDEGATE_BIND_JSON_DECODE_H
#define TIDEGATE_BIND_JSON_DECODE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Arrays and objects inside each other; the next one is refused. Also the encoder's. */
#define JSON_DEPTH_MAX 128

struct json_decode_options {
  bool null_absent; /* leaves out the members of objects that are null */
  int only; /* stack index of a table: of the outermost object, members that are no keys of it
             * are checked and left out; 0: all are wanted */
};

/* Pushes the value of the one document in `text`, which need not end in a NUL and must stay
 * as it is meanwhile (keep it on the stack when it is Lua's). Needs five free stack slots of its
 * caller. On failure pushes nothing, returns -1 and says what is wrong "at byte N", counted from 1
 * (code "invalid_json"; "out_of_memory" when the Lua stack cannot grow). Raises only for
 * memory. */
int json_decode_push(lua_State *L, const char *text, size_t length,
                     const struct json_decode_options *options, struct err *err);

#endif
