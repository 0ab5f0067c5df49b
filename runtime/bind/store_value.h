/* Translates between Lua values and those of the store. */
#ifndef TIDEGATE_BIND_STORE_VALUE_H
#define TIDEGATE_BIND_STORE_VALUE_H

#include <lua.h>

#include "io/store_request.h"

#define STORE_BLOB_TYPE "tidegate.blob"

/* store.blob(bytes): pushes a value that is stored as bytes. */
int store_value_blob(lua_State *L);

/* Reads the value at `index`: nil, json.null, boolean, number, string or blob. Bytes stay
 * the Lua value's. Raises an argument error for `argument` when it is something else. */
struct store_value store_value_check(lua_State *L, int index, int argument);

/* Values of a statement that need no memory of their own. */
#define STORE_VALUES_ON_STACK 48

/* Reads the arguments from `first` on, a text and its values, as a statement whose bytes stay
 * Lua's; `few` has room for STORE_VALUES_ON_STACK values. May push. Raises argument errors. */
void store_value_check_statement(lua_State *L, int first, struct store_statement *statement,
                                 struct store_value *few);

/* Pushes the rows as a list of tables by column name, marked as an array. May raise. */
void store_value_push_rows(lua_State *L, const struct store_result *result);
/* Pushes { changes = n, rows = list }. May raise. */
void store_value_push_result(lua_State *L, const struct store_result *result);

#endif
