#include "bind/modules.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <string.h>

#include "bind/address.h"
#include "bind/breaker.h"
#include "bind/bucket.h"
#include "bind/cache.h"
#include "bind/counters.h"
#include "bind/crypto.h"
#include "bind/database.h"
#include "bind/host.h"
#include "bind/host_files.h"
#include "bind/http.h"
#include "bind/json.h"
#include "bind/kept.h"
#include "bind/log.h"
#include "bind/re.h"
#include "bind/refusals.h"
#include "bind/sandbox.h"
#include "bind/secrets.h"
#include "bind/server.h"
#include "bind/shared.h"
#include "bind/singleflight.h"
#include "bind/slots.h"
#include "bind/statistics.h"
#include "bind/store.h"
#include "bind/task.h"
#include "bind/terminal.h"
#include "bind/text.h"
#include "bind/time.h"
#include "bind/tls.h"
#include "bind/trial.h"
#include "bind/uuid.h"
#include "bind/watch.h"
#include "bind/xml.h"
#include "engine/app.h"

#define MODULE_PATH_MAX 256

static const luaL_Reg modules[] = {
    {"tide.address", luaopen_tide_address},
    {"tide.crypto", luaopen_tide_crypto},
    {"tide.database", luaopen_tide_database},
    {"tide.engine.kept", luaopen_tide_engine_kept},
    {"tide.engine.log", luaopen_tide_engine_log},
    {"tide.engine.sandbox", luaopen_tide_engine_sandbox},
    {"tide.engine.task", luaopen_tide_engine_task},
    {"tide.engine.xml", luaopen_tide_engine_xml},
    {"tide.host", luaopen_tide_host},
    {"tide.http", luaopen_tide_http},
    {"tide.json", luaopen_tide_json},
    {"tide.re", luaopen_tide_re},
    {"tide.server", luaopen_tide_server},
    {"tide.state.breaker", luaopen_tide_state_breaker},
    {"tide.state.bucket", luaopen_tide_state_bucket},
    {"tide.state.cache", luaopen_tide_state_cache},
    {"tide.state.counters", luaopen_tide_state_counters},
    {"tide.state.refusals", luaopen_tide_state_refusals},
    {"tide.state.secrets", luaopen_tide_state_secrets},
    {"tide.state.singleflight", luaopen_tide_state_singleflight},
    {"tide.state.slots", luaopen_tide_state_slots},
    {"tide.state.statistics", luaopen_tide_state_statistics},
    {"tide.state.trial", luaopen_tide_state_trial},
    {"tide.store", luaopen_tide_store},
    {"tide.terminal", luaopen_tide_terminal},
    {"tide.text", luaopen_tide_text},
    {"tide.time", luaopen_tide_time},
    {"tide.tls", luaopen_tide_tls},
    {"tide.uuid", luaopen_tide_uuid},
    {"tide.watch", luaopen_tide_watch},
    {NULL, NULL},
};

/* Opens a module the first time; later, also after package.loaded was cleared (as busted does
 * between files), gives the same table: a module owns things of the worker. Upvalues: the
 * opener, the module once open. */
static int open_once(lua_State *L) {
  if (lua_isnil(L, lua_upvalueindex(2))) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_replace(L, lua_upvalueindex(2));
  }
  lua_pushvalue(L, lua_upvalueindex(2));
  return 1;
}

static void preload(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const luaL_Reg *module = modules; module->name != NULL; module++) {
    lua_pushcfunction(L, module->func);
    lua_pushnil(L);
    lua_pushcclosure(L, open_once, 2);
    lua_setfield(L, -2, module->name);
  }
  lua_pop(L, 1);
}

struct shared *shared_of(lua_State *L) {
  return app_shared(worker_app(worker_of(L)));
}

/* "tide.policy.retry" -> "scripts/tide/policy/retry.lua" */
static int search_framework(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (strncmp(name, "tide.", 5) != 0) {
    lua_pushliteral(L, "not a module of the framework");
    return 1;
  }
  luaL_gsub(L, name, ".", "/");
  const char *path = lua_pushfstring(L, "scripts/%s.lua", lua_tostring(L, -1));
  size_t length;
  if (!host_files_push_asset(L, path)) {
    lua_pushfstring(L, "no file '%s' in the binary", path);
    return 1;
  }
  const char *text = lua_tolstring(L, -1, &length);
  const char *chunk_name = lua_pushfstring(L, "@%s", path);
  if (luaL_loadbufferx(L, text, length, chunk_name, "t") != LUA_OK) return lua_error(L);
  lua_pushstring(L, path);
  return 2;
}

static void add_searcher(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_Integer count = luaL_len(L, -1);
  for (lua_Integer i = count; i >= 2; i--) { /* right after the preload table's */
    lua_geti(L, -1, i);
    lua_seti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search_framework);
  lua_seti(L, -2, 2);
  lua_pop(L, 2);
}

int modules_open(lua_State *L) {
  luaL_openlibs(L);
  preload(L);
  add_searcher(L);
  return 0;
}
