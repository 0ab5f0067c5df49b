#include "bind/secrets.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/buf.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "state/secrets.h"

#define LIST_MAX 256
#define REDACT_BYTES_MAX (256 * 1024 * 1024)

static const char *const source_names[] = {"environment", "file", "stored", "token", NULL};

static struct secrets *secrets_of(lua_State *L) {
  return shared_of(L)->secrets;
}

/* A buffer that is wiped and freed however the function ends; its slot is the top. */
static void close_buffer(void *pointer) {
  struct buf *buffer = pointer;
  if (buffer->data != NULL) explicit_bzero(buffer->data, buffer->length);
  buf_deinit(buffer);
}

static struct buf *open_buffer(lua_State *L, size_t ceiling) {
  struct buf *buffer = lua_newuserdatauv(L, sizeof *buffer, 0);
  struct operation *operation = operation_open(L, close_buffer);
  buf_init(buffer, ceiling);
  operation_hold(L, operation, buffer);
  return buffer;
}

static int fail_full(lua_State *L, const char *owner, const char *name) {
  return luaL_error(L,
                    "the secret '%s' of '%s' is too long (64 KB), or the %d secrets or %d bytes "
                    "that the process can hold are reached",
                    name, owner, SECRETS_MAX, SECRETS_BYTES_MAX);
}

static int l_put(lua_State *L) {
  size_t length;
  const char *owner = luaL_checkstring(L, 1);
  const char *name = luaL_checkstring(L, 2);
  const char *value = luaL_checklstring(L, 3, &length);
  int source = luaL_checkoption(L, 4, NULL, source_names);
  double expires_at = luaL_optnumber(L, 5, 0);
  uint64_t version = secrets_put(secrets_of(L), owner, name, value, length,
                                 (enum secret_source)source, expires_at);
  if (version == 0) return fail_full(L, owner, name);
  lua_pushinteger(L, (lua_Integer)version);
  return 1;
}

static int l_rotate(lua_State *L) {
  const char *owner = luaL_checkstring(L, 1);
  struct secret_setting settings[2] = {{.source = SECRET_STORED}, {.source = SECRET_STORED}};
  settings[0].name = luaL_checkstring(L, 2);
  settings[0].value = luaL_checklstring(L, 3, &settings[0].length);
  settings[1].name = luaL_checkstring(L, 4);
  luaL_argcheck(L, strcmp(settings[0].name, settings[1].name) != 0, 4, "the same name");
  if (!lua_isnoneornil(L, 5)) {
    settings[1].value = luaL_checklstring(L, 5, &settings[1].length);
    settings[1].expires_at = luaL_checknumber(L, 6);
  }
  if (!secrets_set(secrets_of(L), owner, settings, 2)) return fail_full(L, owner, settings[0].name);
  return 0;
}

static int l_get(lua_State *L) {
  const char *owner = luaL_checkstring(L, 1);
  const char *name = luaL_checkstring(L, 2);
  struct secret_info info;
  lua_settop(L, 2);
  struct buf *value = open_buffer(L, SECRET_VALUE_MAX);
  if (!secrets_get(secrets_of(L), owner, name, value, &info)) return 0;
  lua_pushlstring(L, value->data != NULL ? value->data : "", value->length);
  lua_pushinteger(L, (lua_Integer)info.version);
  lua_pushstring(L, source_names[info.source]);
  if (info.expires_at == 0) return 3;
  lua_pushnumber(L, info.expires_at);
  return 4;
}

static int l_changes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)secrets_changes(secrets_of(L)));
  return 1;
}

static int l_remove(lua_State *L) {
  const char *owner = luaL_checkstring(L, 1);
  const char *name = luaL_checkstring(L, 2);
  lua_Integer version = luaL_optinteger(L, 3, 0);
  lua_pushboolean(L, secrets_remove(secrets_of(L), owner, name, (uint64_t)version));
  return 1;
}

static void push_info(lua_State *L, const char *owner, const struct secret_info *info) {
  lua_createtable(L, 0, 5);
  lua_pushstring(L, owner);
  lua_setfield(L, -2, "owner");
  lua_pushstring(L, info->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, source_names[info->source]);
  lua_setfield(L, -2, "source");
  lua_pushinteger(L, (lua_Integer)info->version);
  lua_setfield(L, -2, "version");
  if (info->expires_at == 0) return;
  lua_pushnumber(L, info->expires_at);
  lua_setfield(L, -2, "expires_at");
}

static int l_list(lua_State *L) {
  const char *owner = luaL_checkstring(L, 1);
  struct secret_info infos[LIST_MAX];
  size_t count = secrets_list(secrets_of(L), owner, infos, LIST_MAX);
  if (count > LIST_MAX) return luaL_error(L, "'%s' has more than %d secrets", owner, LIST_MAX);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_info(L, owner, &infos[i]);
    lua_seti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int l_usage(lua_State *L) {
  size_t count;
  size_t bytes;
  secrets_usage(secrets_of(L), &count, &bytes);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, "count");
  lua_pushinteger(L, (lua_Integer)bytes);
  lua_setfield(L, -2, "bytes");
  lua_pushinteger(L, SECRETS_MAX);
  lua_setfield(L, -2, "count_max");
  lua_pushinteger(L, SECRETS_BYTES_MAX);
  lua_setfield(L, -2, "bytes_max");
  return 1;
}

/* The same string when nothing in it is secret, which is nearly always. */
static int l_redact(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_settop(L, 1);
  if (!secrets_occur(secrets_of(L), text, length)) return 1;
  struct buf *result = open_buffer(L, REDACT_BYTES_MAX);
  if (secrets_redact(secrets_of(L), text, length, result) != 0)
    lua_pushliteral(L, SECRET_MASK);
  else
    lua_pushlstring(L, result->data != NULL ? result->data : "", result->length);
  return 1;
}

static const luaL_Reg module_functions[] = {
    {"put", l_put},         {"rotate", l_rotate}, {"get", l_get},
    {"changes", l_changes}, {"remove", l_remove}, {"list", l_list},
    {"usage", l_usage},     {"redact", l_redact}, {NULL, NULL},
};

int luaopen_tide_state_secrets(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
