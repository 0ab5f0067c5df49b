#include "bind/uuid.h"

#include <lauxlib.h>
#include <lua.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "engine/worker.h"

static struct uuid_source *source_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int64_t wall_ms(lua_State *L) {
  return clock_wall_ms(worker_clock(worker_of(L)));
}

static int push_made(lua_State *L, int status, const char *text, size_t length) {
  if (status != 0) return luaL_error(L, "the kernel gives no random bytes (getrandom failed)");
  lua_pushlstring(L, text, length);
  return 1;
}

static int l_v7(lua_State *L) {
  char text[UUID_TEXT_LENGTH + 1];
  int status = uuid_v7(source_of(L), wall_ms(L), text);
  return push_made(L, status, text, UUID_TEXT_LENGTH);
}

static int l_v4(lua_State *L) {
  char text[UUID_TEXT_LENGTH + 1];
  int status = uuid_v4(source_of(L), text);
  return push_made(L, status, text, UUID_TEXT_LENGTH);
}

static int l_trace_id(lua_State *L) {
  char text[UUID_TRACE_LENGTH + 1];
  int status = uuid_trace_id(source_of(L), wall_ms(L), text);
  return push_made(L, status, text, UUID_TRACE_LENGTH);
}

static int l_span_id(lua_State *L) {
  char text[UUID_SPAN_LENGTH + 1];
  int status = uuid_span_id(source_of(L), text);
  return push_made(L, status, text, UUID_SPAN_LENGTH);
}

static int l_is_valid(lua_State *L) {
  size_t length;
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING) {
    lua_pushboolean(L, 0);
    return 1;
  }
  const char *text = lua_tolstring(L, 1, &length);
  lua_pushboolean(L, uuid_is_valid(text, length));
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"v7", l_v7},
    {"v4", l_v4},
    {"trace_id", l_trace_id},
    {"span_id", l_span_id},
    {"is_valid", l_is_valid},
    {NULL, NULL},
};

int luaopen_tide_uuid(lua_State *L) {
  luaL_newlibtable(L, module_functions);
  uuid_source_init(lua_newuserdatauv(L, sizeof(struct uuid_source), 0));
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
