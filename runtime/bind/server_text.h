/* The strings of headers that come again and again: a request of a kept-alive client repeats its
 * header lines, and making a Lua string that exists costs three times as much as finding it here.
 *
 * One per Lua state; two values on the stack of whoever uses it (as upvalues), so that it goes
 * with the state. Holds at most SERVER_TEXT_PLACES strings of SERVER_TEXT_LENGTH_MAX bytes. */
#ifndef TIDEGATE_BIND_SERVER_TEXT_H
#define TIDEGATE_BIND_SERVER_TEXT_H

#include <lua.h>

#include "io/http_message.h"

#define SERVER_TEXT_PLACES 256    /* a power of two */
#define SERVER_TEXT_LENGTH_MAX 40 /* what Lua shares; longer ones are copied anyway */

struct server_texts;

/* Pushes an empty one and, above it, the list of its strings. */
void server_texts_push_new(lua_State *L);
/* Pushes the string. `list` is the index of the list that came with `texts`. */
void server_texts_push(lua_State *L, struct server_texts *texts, int list, struct http_text text);

#endif
