#include "bind/cache.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "state/cache.h"
#include "state/cache_scan.h"

#define HIT_TYPE "tidegate.cache_hit"
#define SECONDS_MAX 3e9
#define KEYS_MAX 10000

static uint64_t now_of(lua_State *L) {
  return clock_monotonic_ns(worker_clock(worker_of(L)));
}

/* The metatable is at hand, as upvalue 2 of each method: luaL_checkudata, which looks for it by
 * name, would take a quarter of the time of a look-up. */
static struct cache_space *check_space(lua_State *L) {
  struct cache_space **handle = lua_touserdata(L, 1);
  if (handle == NULL || !lua_getmetatable(L, 1)) luaL_typeerror(L, 1, CACHE_SPACE_TYPE);
  if (!lua_rawequal(L, -1, lua_upvalueindex(2))) luaL_typeerror(L, 1, CACHE_SPACE_TYPE);
  lua_pop(L, 1);
  return *handle;
}

static uint64_t check_duration(lua_State *L, int index) {
  double seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0 && seconds <= SECONDS_MAX, index,
                "seconds, at least 0 and at most 3e9, expected");
  return (uint64_t)llround(seconds * 1e9);
}

/* --- looking up --- */

/* What this worker holds while it copies the value into Lua (upvalue 1). Without memory for the
 * copy the look-up raises; the hit is released by the next one. No finalizer looks up. */
static struct cache_hit *hit_of(lua_State *L) {
  struct cache_hit *hit = lua_touserdata(L, lua_upvalueindex(1));
  cache_hit_release(hit);
  return hit;
}

static int hit_gc(lua_State *L) {
  cache_hit_release(luaL_checkudata(L, 1, HIT_TYPE));
  return 0;
}

static int space_get(lua_State *L) {
  size_t length;
  struct cache_space *space = check_space(L);
  const char *key = luaL_checklstring(L, 2, &length);
  struct cache_hit *hit = hit_of(L);
  if (!cache_get(space, key, length, now_of(L), hit)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, hit->bytes, hit->length);
  lua_pushnumber(L, (double)hit->age_ns / 1e9);
  lua_pushnumber(L, (double)hit->expires_in_ns / 1e9);
  lua_pushboolean(L, hit->is_negative);
  cache_hit_release(hit);
  return 4;
}

static int space_count(lua_State *L) {
  static const char *const kinds[] = {"hit", "miss", "stale", "negative", NULL};
  static const enum cache_count counts[] = {CACHE_HITS, CACHE_MISSES, CACHE_STALE_HITS,
                                            CACHE_NEGATIVE_HITS};
  struct cache_space *space = check_space(L);
  cache_count(space, counts[luaL_checkoption(L, 2, NULL, kinds)]);
  return 0;
}

static int space_epoch(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)cache_epoch(check_space(L)));
  return 1;
}

/* --- storing --- */

static void check_item(lua_State *L, struct cache_item *item) {
  *item = (struct cache_item){.has_epoch = !lua_isnoneornil(L, 6)};
  item->key = luaL_checklstring(L, 2, &item->key_length);
  item->value = luaL_checklstring(L, 3, &item->value_length);
  item->ttl_ns = check_duration(L, 4);
  item->keep_ns = check_duration(L, 5);
  if (item->has_epoch) item->epoch = (uint64_t)luaL_checkinteger(L, 6);
  item->is_negative = lua_toboolean(L, 7);
}

static int space_put(lua_State *L) {
  static const char *const reasons[] = {
      [CACHE_TOO_LARGE] = "too_large", [CACHE_OLD_EPOCH] = "epoch", [CACHE_FULL] = "full"};
  struct cache_item item;
  struct cache_space *space = check_space(L);
  check_item(L, &item);
  enum cache_outcome outcome = cache_put(space, &item, now_of(L));
  lua_pushboolean(L, outcome == CACHE_STORED);
  if (outcome == CACHE_STORED) return 1;
  lua_pushstring(L, reasons[outcome]);
  return 2;
}

/* --- deleting --- */

static int space_delete(lua_State *L) {
  size_t length;
  struct cache_space *space = check_space(L);
  const char *key = luaL_checklstring(L, 2, &length);
  lua_pushboolean(L, cache_delete(space, key, length, now_of(L)));
  return 1;
}

static void scan_close(void *pointer) {
  cache_scan_free(pointer);
}

/* Others come in between the steps. */
static int scan_on(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct cache_scan *scan = operation_check(L, (int)context)->pointer;
  if (cache_scan_step(scan, now_of(L))) {
    task_yield(L);
    return lua_yieldk(L, 0, context, scan_on);
  }
  lua_pushinteger(L, (lua_Integer)cache_scan_count(scan));
  return 1;
}

/* The operation is at index 3. */
static struct cache_scan *open_scan(lua_State *L, const char *pattern, size_t length,
                                    bool deletes) {
  struct cache_space *space = check_space(L);
  luaL_argcheck(L, length <= CACHE_PATTERN_MAX, 2, "a pattern of at most 4,096 bytes expected");
  lua_settop(L, 2);
  struct operation *operation = operation_open(L, scan_close);
  struct cache_scan *scan = cache_scan_new(space, pattern, length, deletes);
  if (scan == NULL) luaL_error(L, "no memory to look through the cache");
  operation_hold(L, operation, scan);
  return scan;
}

static int scan(lua_State *L, const char *pattern, size_t length, bool deletes) {
  open_scan(L, pattern, length, deletes);
  return scan_on(L, LUA_OK, 3);
}

static int space_delete_matching(lua_State *L) {
  size_t length;
  const char *pattern = luaL_checklstring(L, 2, &length);
  return scan(L, pattern, length, true);
}

static int space_count_matching(lua_State *L) {
  size_t length;
  const char *pattern = luaL_checklstring(L, 2, &length);
  return scan(L, pattern, length, false);
}

static void push_names(lua_State *L, const struct buf *names) {
  lua_newtable(L);
  size_t at = 0;
  for (lua_Integer index = 1; at < names->length; index++) {
    size_t length = strlen(names->data + at);
    lua_pushlstring(L, names->data + at, length);
    lua_rawseti(L, -2, index);
    at += length + 1;
  }
}

static int keys_on(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct cache_scan *scan = operation_check(L, (int)context)->pointer;
  if (cache_scan_step(scan, now_of(L))) {
    task_yield(L);
    return lua_yieldk(L, 0, context, keys_on);
  }
  push_names(L, cache_scan_names(scan));
  lua_pushinteger(L, (lua_Integer)cache_scan_count(scan));
  return 2;
}

static int space_keys(lua_State *L) {
  size_t length;
  const char *pattern = luaL_checklstring(L, 2, &length);
  lua_Integer most = luaL_checkinteger(L, 3);
  luaL_argcheck(L, most >= 0 && most <= KEYS_MAX, 3, "0 to 10000 keys expected");
  cache_scan_list(open_scan(L, pattern, length, false), (size_t)most);
  return keys_on(L, LUA_OK, 3);
}

static int space_clear(lua_State *L) {
  return scan(L, "*", 1, true);
}

/* --- counts --- */

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static int space_stats(lua_State *L) {
  static const char *const names[CACHE_COUNTS] = {
      [CACHE_HITS] = "hits",           [CACHE_STALE_HITS] = "stale_hits",
      [CACHE_MISSES] = "misses",       [CACHE_NEGATIVE_HITS] = "negative_hits",
      [CACHE_STORES] = "stores",       [CACHE_REFUSED] = "refused",
      [CACHE_EVICTIONS] = "evictions", [CACHE_DELETES] = "deletes",
      [CACHE_ENTRIES] = "entries",     [CACHE_BYTES] = "bytes",
  };
  const struct cache_space *space = check_space(L);
  lua_createtable(L, 0, CACHE_COUNTS);
  for (int kind = 0; kind < CACHE_COUNTS; kind++)
    set_count(L, names[kind], cache_counted(space, (enum cache_count)kind));
  return 1;
}

static int l_stats(lua_State *L) {
  struct cache_totals totals = cache_totals(shared_of(L)->cache);
  lua_createtable(L, 0, 5);
  set_count(L, "bytes", totals.bytes);
  set_count(L, "max_bytes", totals.max_bytes);
  set_count(L, "entries", totals.entries);
  set_count(L, "evictions", totals.evictions);
  set_count(L, "refused", totals.refused);
  return 1;
}

/* --- the module --- */

static int l_set_limit(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes >= 0, 1, "a number of bytes expected");
  cache_set_limit(shared_of(L)->cache, (size_t)bytes);
  return 0;
}

static int push_full(lua_State *L) {
  lua_pushnil(L);
  lua_pushfstring(L, "no room for another cache: there are %d", CACHE_SPACES_MAX);
  lua_pushliteral(L, "overloaded");
  return 3;
}

/* This worker's handles are kept in upvalue 1 by name. */
static int l_space(lua_State *L) {
  size_t length;
  const char *name = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length > 0 && length <= CACHE_SPACE_NAME_MAX, 1,
                "a name of 1 to 127 bytes expected");
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  struct cache_space **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = cache_space_of(shared_of(L)->cache, name, length);
  if (*handle == NULL) return push_full(L);
  luaL_setmetatable(L, CACHE_SPACE_TYPE);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(1));
  return 1;
}

static const luaL_Reg space_methods[] = {
    {"get", space_get},
    {"count", space_count},
    {"epoch", space_epoch},
    {"put", space_put},
    {"delete", space_delete},
    {"delete_matching", space_delete_matching},
    {"count_matching", space_count_matching},
    {"keys", space_keys},
    {"clear", space_clear},
    {"stats", space_stats},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"space", l_space}, {"stats", l_stats}, {"set_limit", l_set_limit}, {NULL, NULL}};

static void push_hit(lua_State *L) {
  struct cache_hit *hit = lua_newuserdatauv(L, sizeof *hit, 0);
  memset(hit, 0, sizeof *hit);
  luaL_newmetatable(L, HIT_TYPE);
  lua_pushcfunction(L, hit_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
}

static void register_spaces(lua_State *L) {
  luaL_newmetatable(L, CACHE_SPACE_TYPE);
  luaL_newlibtable(L, space_methods);
  push_hit(L);
  lua_pushvalue(L, -3);
  luaL_setfuncs(L, space_methods, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_tide_state_cache(lua_State *L) {
  register_spaces(L);
  luaL_newlibtable(L, module_functions);
  lua_newtable(L);
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
