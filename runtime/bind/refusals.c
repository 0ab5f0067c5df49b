#include "bind/refusals.h"

#include <lauxlib.h>
#include <lua.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "bind/shared.h"
#include "engine/worker.h"
#include "io/ip_address.h"
#include "state/refusals.h"

#define PREFIX_BYTES 8 /* of an IPv6 address: who has one has all that begin with these */

static int l_note(lua_State *L) {
  size_t length;
  const char *key = luaL_checklstring(L, 1, &length);
  struct ip_address address;
  if (ip_address_parse(&address, key, length) == 0) {
    key = (const char *)address.bytes;
    length = address.family == AF_INET6 ? PREFIX_BYTES : 4;
  }
  uint64_t now_ns = clock_monotonic_ns(worker_clock(worker_of(L)));
  lua_pushboolean(L, refusals_note(shared_of(L)->refusals, key, length, now_ns));
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"note", l_note},
    {NULL, NULL},
};

int luaopen_tide_state_refusals(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
