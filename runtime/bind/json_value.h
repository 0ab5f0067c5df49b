/* What JSON has and Lua has not: null, and arrays that are told from objects. Also the memory
 * that decoder and encoder share. All of it belongs to one lua_State and its thread.
 *
 * Tables are marked by a metatable that scripts cannot reach; it carries no metamethods that
 * act. Bindings that make lists for scripts mark them, so that empty ones stay arrays. */
#ifndef TIDEGATE_BIND_JSON_VALUE_H
#define TIDEGATE_BIND_JSON_VALUE_H

#include <lua.h>
#include <stdbool.h>

#include "base/buf.h"

/* Pushes json.null, a light userdata. Cannot fail. */
void json_push_null(lua_State *L);
bool json_is_null(lua_State *L, int index);

/* Pushes the metatable that marks arrays, made at the first use. May raise for memory. */
void json_push_mark(lua_State *L);
/* Marks the table at `index`, replacing any metatable. May raise for memory. */
void json_mark_array(lua_State *L, int index);
/* Whether the value at `index` is a table with the mark. May raise for memory. */
bool json_is_array(lua_State *L, int index);

/* Memory that lasts as long as the lua_State and belongs to whoever runs without calling Lua
 * code: its content is undefined after anything that may run a finalizer. */
struct json_scratch {
  struct buf text;
  struct buf keys;
  bool closed; /* the lua_State is being closed: nothing may be put in */
};

/* The scratch of this state, empty, made at the first use. May raise for memory. */
struct json_scratch *json_scratch(lua_State *L);
/* Gives unusually large memory back. Cannot fail. */
void json_scratch_trim(struct json_scratch *scratch);

#endif
