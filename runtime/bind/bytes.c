#include "bind/bytes.h"

#include <lauxlib.h>

#define BYTES_TYPE "tidegate.bytes"

static int l_free(lua_State *L) {
  buf_deinit(luaL_checkudata(L, 1, BYTES_TYPE));
  return 0;
}

static const luaL_Reg metamethods[] = {{"__gc", l_free}, {"__close", l_free}, {NULL, NULL}};

struct buf *bytes_open(lua_State *L, size_t ceiling) {
  struct buf *bytes = lua_newuserdatauv(L, sizeof *bytes, 0);
  buf_init(bytes, ceiling);
  if (luaL_newmetatable(L, BYTES_TYPE)) luaL_setfuncs(L, metamethods, 0);
  lua_setmetatable(L, -2);
  lua_toclose(L, -1);
  return bytes;
}

void bytes_push(lua_State *L, const struct buf *bytes) {
  lua_pushlstring(L, bytes->length == 0 ? "" : bytes->data, bytes->length);
}
