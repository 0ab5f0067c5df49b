#include "bind/json_value.h"

#include <lauxlib.h>
#include <stdint.h>

/* Kept between uses: larger than nearly all documents, small beside a Lua state. */
#define SCRATCH_KEPT_BYTES 65536

/* Addresses that nothing else in the process has. */
static const char null_address, mark_key, scratch_key;

void json_push_null(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&null_address);
}

bool json_is_null(lua_State *L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == (void *)&null_address;
}

static void make_mark(lua_State *L) {
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "json.array");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "json.array");
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &mark_key);
}

void json_push_mark(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &mark_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  make_mark(L);
}

void json_mark_array(lua_State *L, int index) {
  int table = lua_absindex(L, index);
  json_push_mark(L);
  lua_setmetatable(L, table);
}

bool json_is_array(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return false;
  json_push_mark(L);
  bool marked = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return marked;
}

static int scratch_close(lua_State *L) {
  struct json_scratch *scratch = lua_touserdata(L, 1);
  scratch->closed = true;
  buf_deinit(&scratch->text);
  buf_deinit(&scratch->keys);
  return 0;
}

static struct json_scratch *make_scratch(lua_State *L) {
  struct json_scratch *scratch = lua_newuserdatauv(L, sizeof *scratch, 0);
  *scratch = (struct json_scratch){.closed = false};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, scratch_close);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);
  return scratch;
}

struct json_scratch *json_scratch(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key);
  struct json_scratch *scratch = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (scratch == NULL) scratch = make_scratch(L);
  buf_clear(&scratch->text);
  buf_clear(&scratch->keys);
  size_t ceiling = scratch->closed ? 0 : SIZE_MAX / 2;
  scratch->text.ceiling = ceiling;
  scratch->keys.ceiling = ceiling;
  return scratch;
}

static void trim(struct buf *buf) {
  if (buf->capacity > SCRATCH_KEPT_BYTES) buf_deinit(buf);
}

void json_scratch_trim(struct json_scratch *scratch) {
  trim(&scratch->text);
  trim(&scratch->keys);
}
