#include "bind/log.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/log.h"
#include "bind/operation.h"
#include "bind/shared.h"

static const char *const level_names[] = {"debug", "info", "warn", "error", "off", NULL};

static int l_write(lua_State *L) {
  size_t length;
  const char *line = luaL_checklstring(L, 1, &length);
  lua_pushboolean(L, log_write(shared_of(L)->log, line, length));
  return 1;
}

static int l_set_level(lua_State *L) {
  log_set_level(shared_of(L)->log, (enum log_level)luaL_checkoption(L, 1, NULL, level_names));
  return 0;
}

static int l_write_to(lua_State *L) {
  struct err err;
  const char *path = luaL_checkstring(L, 1);
  int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    err_set(&err, "io", "cannot write the log to %s: %s", path, strerror(errno));
    return bind_fail(L, &err);
  }
  log_redirect(shared_of(L)->log, descriptor);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_enabled(lua_State *L) {
  int level = luaL_checkoption(L, 1, NULL, level_names);
  lua_pushboolean(L, log_is_enabled(shared_of(L)->log, (enum log_level)level));
  return 1;
}

static int l_stats(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushinteger(L, (lua_Integer)log_dropped(shared_of(L)->log));
  lua_setfield(L, -2, "dropped");
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"write", l_write},     {"set_level", l_set_level}, {"write_to", l_write_to},
    {"enabled", l_enabled}, {"stats", l_stats},         {NULL, NULL},
};

int luaopen_tide_engine_log(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
