#include "bind/address.h"

#include <lauxlib.h>
#include <lua.h>

#include "io/ip_network.h"

#define NETWORKS_NAME "tide.address.networks"
#define NETWORKS_MAX 10000

struct networks {
  size_t count;
  struct ip_network list[];
};

static int fail(lua_State *L, const char *text) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s is neither an address nor a network such as 10.0.0.0/8", text);
  lua_pushliteral(L, "invalid_input");
  return 3;
}

static int l_networks(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Unsigned count = lua_rawlen(L, 1);
  luaL_argcheck(L, count <= NETWORKS_MAX, 1, "too many networks");
  size_t size = sizeof(struct networks) + (size_t)count * sizeof(struct ip_network);
  struct networks *networks = lua_newuserdatauv(L, size, 0);
  networks->count = 0;
  for (lua_Unsigned i = 1; i <= count; i++) {
    size_t length;
    lua_rawgeti(L, 1, (lua_Integer)i);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "a list of texts expected");
    const char *text = lua_tolstring(L, -1, &length);
    if (ip_network_parse(&networks->list[i - 1], text, length) != 0) return fail(L, text);
    networks->count++;
    lua_pop(L, 1);
  }
  luaL_setmetatable(L, NETWORKS_NAME);
  return 1;
}

static int l_contain(lua_State *L) {
  const struct networks *networks = luaL_checkudata(L, 1, NETWORKS_NAME);
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  struct ip_address address;
  bool found = false;
  if (ip_address_parse(&address, text, length) == 0)
    for (size_t i = 0; i < networks->count && !found; i++)
      found = ip_network_contains(&networks->list[i], &address);
  lua_pushboolean(L, found);
  return 1;
}

static const luaL_Reg methods[] = {{"contain", l_contain}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"networks", l_networks}, {NULL, NULL}};

int luaopen_tide_address(lua_State *L) {
  luaL_newmetatable(L, NETWORKS_NAME);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
