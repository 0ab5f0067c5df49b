#include "bind/tls.h"

#include <lauxlib.h>
#include <lua.h>

#include "bind/operation.h"
#include "bind/shared.h"
#include "io/tls_identity.h"

static struct tls_identity *identity_of(lua_State *L) {
  return shared_of(L)->tls_identity;
}

static int push_expiry(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tls_identity_expiry(identity_of(L)));
  return 1;
}

static int l_load(lua_State *L) {
  struct err err;
  lua_settop(L, 2);
  const char *certificate = luaL_checkstring(L, 1);
  const char *key = luaL_checkstring(L, 2);
  if (tls_identity_load(identity_of(L), certificate, key, &err) != 0) return bind_fail(L, &err);
  return push_expiry(L);
}

static int l_refresh(lua_State *L) {
  struct err err;
  int status = tls_identity_refresh(identity_of(L), &err);
  if (status < 0) return bind_fail(L, &err);
  if (status > 0) return push_expiry(L);
  lua_pushboolean(L, 0);
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"load", l_load},
    {"refresh", l_refresh},
    {NULL, NULL},
};

int luaopen_tide_tls(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
