#include "bind/json_keys.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Two words of eight bytes, which may overlap, hold all of a key of this length. */
#define KEY_BYTES_MAX 16

struct key {
  uint64_t first;
  uint64_t last;
  uint64_t length; /* 0: the slot is empty */
};

struct json_keys {
  struct key slots[JSON_KEYS_SLOTS];
};

static const char registry_key;

static uint64_t load64(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static uint32_t load32(const char *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static inline struct key key_of(const char *text, size_t length) {
  if (length >= 8) return (struct key){load64(text), load64(text + length - 8), length};
  if (length >= 4) return (struct key){load32(text), load32(text + length - 4), length};
  uint64_t middle = (unsigned char)text[length / 2];
  return (struct key){(unsigned char)text[0] | middle << 8, (unsigned char)text[length - 1],
                      length};
}

static inline size_t slot_of(const struct key *key) {
  uint64_t mixed = key->first ^ (key->last << 29 | key->last >> 35) ^ key->length << 56;
  mixed *= UINT64_C(0x9e3779b97f4a7c15);
  return (size_t)(mixed >> 32) % JSON_KEYS_SLOTS;
}

static void make_keys(lua_State *L) {
  struct json_keys *keys = lua_newuserdatauv(L, sizeof *keys, 1);
  memset(keys, 0, sizeof *keys);
  lua_createtable(L, JSON_KEYS_SLOTS, 0);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

struct json_keys *json_keys_open(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) != LUA_TUSERDATA) {
    lua_pop(L, 1);
    make_keys(L);
  }
  struct json_keys *keys = lua_touserdata(L, -1);
  lua_getiuservalue(L, -1, 1);
  lua_remove(L, -2);
  return keys;
}

void json_keys_push(lua_State *L, struct json_keys *keys, int table, const char *text,
                    size_t length) {
  if (length == 0 || length > KEY_BYTES_MAX) {
    lua_pushlstring(L, text, length);
    return;
  }
  struct key key = key_of(text, length);
  size_t slot = slot_of(&key);
  struct key *known = &keys->slots[slot];
  if (known->first == key.first && known->last == key.last && known->length == key.length) {
    lua_rawgeti(L, table, (lua_Integer)slot + 1);
    return;
  }
  lua_pushlstring(L, text, length);
  lua_pushvalue(L, -1);
  lua_rawseti(L, table, (lua_Integer)slot + 1);
  *known = key;
}
