/* The keys of objects that were decoded before: documents of one kind repeat theirs, and
 * finding one here costs less than hashing it anew (5 % of a decode of 1 KB).
 *
 * JSON_KEYS_SLOTS short strings per lua_State; a new key replaces the one in its slot. */
#ifndef TIDEGATE_BIND_JSON_KEYS_H
#define TIDEGATE_BIND_JSON_KEYS_H

#include <lua.h>
#include <stddef.h>

#define JSON_KEYS_SLOTS 512

struct json_keys;

/* Pushes the table that holds the strings and returns what describes them; both made at the
 * first use. May raise for memory. */
struct json_keys *json_keys_open(lua_State *L);

/* Pushes the string. `table` is the index of what json_keys_open pushed. May raise for
 * memory. */
void json_keys_push(lua_State *L, struct json_keys *keys, int table, const char *text,
                    size_t length);

#endif
