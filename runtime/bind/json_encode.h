/* Lua values to JSON text. */
#ifndef TIDEGATE_BIND_JSON_ENCODE_H
#define TIDEGATE_BIND_JSON_ENCODE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define JSON_BYTES_DEFAULT ((size_t)64 << 20)

struct json_encode_options {
  bool canonical;   /* RFC 8785: members sorted by the UTF-16 code units of their keys */
  bool pretty;      /* sorted too, one member a line, indented by two spaces; not with canonical */
  size_t max_bytes; /* the longest result; 0: JSON_BYTES_DEFAULT */
};

/* Pushes the text of the value at `index` as a string. `options` may be NULL. Consults no
 * metamethods, runs no Lua code. Needs five free stack slots of its caller.
 * On failure pushes nothing, returns -1 and names the path of the value that has no form
 * (code "not_encodable"; "out_of_memory" when the text or the stack cannot grow). Raises only
 * for memory, holding nothing then. */
int json_encode_push(lua_State *L, int index, const struct json_encode_options *options,
                     struct err *err);

#endif
