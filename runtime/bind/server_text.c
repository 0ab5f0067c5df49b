#include "bind/server_text.h"

#include <string.h>

/* The bytes are those of the string at the same place of the list, which keeps them. */
struct place {
  const char *data;
  size_t length; /* 0: empty */
};

struct server_texts {
  struct place places[SERVER_TEXT_PLACES];
};

void server_texts_push_new(lua_State *L) {
  struct server_texts *texts = lua_newuserdatauv(L, sizeof *texts, 0);
  *texts = (struct server_texts){0};
  lua_createtable(L, SERVER_TEXT_PLACES, 0);
  /* Filled, so that storing a string never grows the list, which could fail. */
  for (lua_Integer i = 1; i <= SERVER_TEXT_PLACES; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, i);
  }
}

/* By the length, the ends and the middle: names of headers differ there. */
static unsigned place_of(struct http_text text) {
  const unsigned char *bytes = (const unsigned char *)text.data;
  uint32_t hash = (uint32_t)text.length << 24 | (uint32_t)bytes[0] << 16 |
                  (uint32_t)bytes[text.length / 2] << 8 | bytes[text.length - 1];
  return (hash * 2654435769u) >> 24;
}

void server_texts_push(lua_State *L, struct server_texts *texts, int list, struct http_text text) {
  if (text.length == 0 || text.length > SERVER_TEXT_LENGTH_MAX) {
    lua_pushlstring(L, text.data, text.length);
    return;
  }
  unsigned at = place_of(text) % SERVER_TEXT_PLACES;
  struct place *place = &texts->places[at];
  if (place->length == text.length && memcmp(place->data, text.data, text.length) == 0) {
    lua_rawgeti(L, list, (lua_Integer)at + 1);
    return;
  }
  const char *data = lua_pushlstring(L, text.data, text.length);
  lua_pushvalue(L, -1);
  lua_rawseti(L, list, (lua_Integer)at + 1);
  *place = (struct place){.data = data, .length = text.length};
}
