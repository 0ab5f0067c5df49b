#include "bind/kept.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/time_format.h"
#include "base/uuid.h"
#include "bind/breaker.h"
#include "bind/cache.h"
#include "bind/counters.h"
#include "bind/json_decode.h"
#include "bind/shared.h"
#include "bind/statistics.h"
#include "bind/store_value.h"
#include "engine/worker.h"
#include "io/store.h"
#include "state/breaker.h"
#include "state/cache.h"
#include "state/call_statistics.h"
#include "state/counters.h"

static const struct json_decode_options plain = {0};

#define KEPT_TYPE "tidegate.kept"
#define ROW_VALUES_MAX 40
#define META_MAX 640

/* What differs from row to row. */
enum hole {
  HOLE_ID,
  HOLE_TIME,
  HOLE_DURATION,
  HOLE_USER,
  HOLE_CALLER,
  HOLE_TRACE,
  HOLE_STATE,
  HOLES
};

static const char *const hole_names[HOLES] = {
    "id", "created_at", "duration_ms", "user_id", "caller", "trace_id", "circuit_breaker_state"};

struct kept {
  struct cache_space *space;
  struct breaker *breaker;
  struct counter_cell *outcome, *hits, *duration;
  struct call_cell *statistics;
  const char *integration, *operation;
  bool mock;
  const char *sql; /* NULL: no row */
  bool is_sql_lasting;
  size_t sql_length;
  size_t value_count;
  int holes[HOLES];
  struct store_value values[ROW_VALUES_MAX]; /* bytes are Lua's, anchored in the user value */
  struct uuid_source uuids;
  int64_t shown_ms; /* the instant that `shown` tells: many rows share one */
  char shown[TIME_FORMAT_RFC3339_LENGTH + 1];
  struct cache_hit hit; /* released by the next look-up when a copy into Lua raised */
};

/* --- making one --- */

static void *cell_field(lua_State *L, const char *name, const char *type) {
  lua_getfield(L, 1, name);
  void **handle = luaL_testudata(L, -1, type);
  if (handle == NULL) luaL_argerror(L, 1, lua_pushfstring(L, "%s must be a %s", name, type));
  lua_pop(L, 1);
  return *handle;
}

/* Stays Lua's: the table that holds it is kept. */
static const char *text_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_argerror(L, 1, lua_pushfstring(L, "%s must be text", name));
  const char *text = lua_tostring(L, -1);
  lua_pop(L, 1);
  return text;
}

static void read_row(lua_State *L, struct kept *kept) {
  if (lua_getfield(L, 1, "sql") != LUA_TSTRING) {
    lua_pop(L, 1);
    return;
  }
  kept->sql = lua_tolstring(L, -1, &kept->sql_length);
  lua_getfield(L, 1, "columns");
  lua_Integer count = lua_tointeger(L, -1);
  luaL_argcheck(L, count >= 1 && count <= ROW_VALUES_MAX, 1, "too many columns");
  kept->value_count = (size_t)count;
  lua_getfield(L, 1, "row");
  luaL_argcheck(L, lua_istable(L, -1), 1, "row must be a table");
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, -1, i);
    kept->values[i - 1] = store_value_check(L, -1, 1);
    lua_pop(L, 1);
  }
  lua_pop(L, 3);
}

static void read_holes(lua_State *L, struct kept *kept) {
  if (kept->sql == NULL) return;
  lua_getfield(L, 1, "holes");
  luaL_argcheck(L, lua_istable(L, -1), 1, "holes must be a table");
  for (int i = 0; i < HOLES; i++) {
    lua_getfield(L, -1, hole_names[i]);
    lua_Integer place = lua_tointeger(L, -1);
    luaL_argcheck(L, place >= 1 && (size_t)place <= kept->value_count, 1, "no such column");
    kept->holes[i] = (int)place - 1;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static int l_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  struct kept *kept = lua_newuserdatauv(L, sizeof *kept, 1);
  memset(kept, 0, sizeof *kept);
  luaL_setmetatable(L, KEPT_TYPE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 2, 1);
  uuid_source_init(&kept->uuids);
  kept->space = cell_field(L, "cache", CACHE_SPACE_TYPE);
  kept->breaker = cell_field(L, "breaker", BREAKER_TYPE);
  kept->outcome = cell_field(L, "outcome", COUNTER_TYPE);
  kept->hits = cell_field(L, "hits", COUNTER_TYPE);
  kept->duration = cell_field(L, "duration", COUNTER_TYPE);
  kept->statistics = cell_field(L, "statistics", CALL_CELL_TYPE);
  kept->integration = text_field(L, "integration");
  kept->operation = text_field(L, "operation");
  lua_getfield(L, 1, "mock");
  kept->mock = lua_toboolean(L, -1);
  lua_pop(L, 1);
  read_row(L, kept);
  read_holes(L, kept);
  return 1;
}

static int kept_gc(lua_State *L) {
  struct kept *kept = luaL_checkudata(L, 1, KEPT_TYPE);
  cache_hit_release(&kept->hit);
  return 0;
}

/* --- using one --- */

/* Looks the key at 2 up; false when nothing fresh is kept. */
static bool look_up(lua_State *L, struct kept *kept, uint64_t now_ns) {
  size_t length;
  const char *key = luaL_checklstring(L, 2, &length);
  cache_hit_release(&kept->hit);
  if (!cache_get(kept->space, key, length, now_ns, &kept->hit)) return false;
  if (kept->hit.expires_in_ns > 0 && !kept->hit.is_negative) return true;
  cache_hit_release(&kept->hit);
  return false;
}

static enum breaker_state count(struct kept *kept, uint64_t now_ns, double seconds) {
  enum breaker_state state;
  uint64_t retry_after_ns;
  breaker_blocks(kept->breaker, now_ns, &state, &retry_after_ns);
  cache_count(kept->space, CACHE_HITS);
  counter_add(kept->hits, 1);
  counter_add(kept->outcome, 1);
  counter_observe(kept->duration, seconds);
  call_cell_count(kept->statistics, CALL_EVENT_CACHE_HIT);
  call_cell_record(kept->statistics, CALL_CACHED, seconds);
  return state;
}

static struct store_value text_value(const char *text, size_t length) {
  return (struct store_value){.type = STORE_TEXT, .bytes = {.data = text, .length = length}};
}

static struct store_value argument(lua_State *L, int index) {
  return store_value_check(L, index, index);
}

static bool show_time(struct kept *kept, int64_t wall_ms) {
  if (kept->shown_ms == wall_ms && kept->shown[0] != '\0') return true;
  kept->shown_ms = wall_ms;
  return time_format_rfc3339(wall_ms, kept->shown) == 0;
}

static void find_lasting(struct kept *kept, struct store *store) {
  const char *lasting = store_lasting_text(store, kept->sql, kept->sql_length);
  if (lasting == NULL) return;
  kept->sql = lasting;
  kept->is_sql_lasting = true;
}

/* Queues the row of a call; what cannot be queued is counted by the store. */
static void write_row(lua_State *L, struct kept *kept, enum breaker_state state, int64_t wall_ms) {
  struct store *store = shared_of(L)->store;
  char id[UUID_TEXT_LENGTH + 1];
  if (kept->sql == NULL || store == NULL || uuid_v7(&kept->uuids, wall_ms, id) != 0 ||
      !show_time(kept, wall_ms))
    return;
  const char *state_name = breaker_state_name(state);
  struct store_value *values = kept->values;
  values[kept->holes[HOLE_ID]] = text_value(id, UUID_TEXT_LENGTH);
  values[kept->holes[HOLE_TIME]] = text_value(kept->shown, TIME_FORMAT_RFC3339_LENGTH);
  values[kept->holes[HOLE_DURATION]] = (struct store_value){.type = STORE_INTEGER};
  values[kept->holes[HOLE_TRACE]] = argument(L, 3);
  values[kept->holes[HOLE_CALLER]] = argument(L, 4);
  values[kept->holes[HOLE_USER]] = argument(L, 5);
  values[kept->holes[HOLE_STATE]] = text_value(state_name, strlen(state_name));
  if (!kept->is_sql_lasting) find_lasting(kept, store);
  struct store_statement statement = {.sql = kept->sql,
                                      .sql_length = kept->sql_length,
                                      .values = values,
                                      .value_count = kept->value_count,
                                      .is_lasting = kept->is_sql_lasting};
  struct err err;
  (void)store_enqueue(store, &statement, &err);
}

static struct kept *check_kept(lua_State *L) {
  struct kept *kept = luaL_checkudata(L, 1, KEPT_TYPE);
  lua_settop(L, 5);
  luaL_checktype(L, 3, LUA_TSTRING);
  return kept;
}

/* Everything but the answer itself; false when nothing fresh is kept. */
static bool serve(lua_State *L, struct kept *kept, enum breaker_state *state) {
  const struct clock *clock = worker_clock(worker_of(L));
  uint64_t began_ns = clock_monotonic_ns(clock);
  if (!look_up(L, kept, began_ns)) return false;
  double seconds = (double)(clock_monotonic_ns(clock) - began_ns) / 1e9;
  *state = count(kept, began_ns, seconds);
  write_row(L, kept, *state, clock_wall_ms(clock));
  return true;
}

/* The text that the long way makes of the meta (scripts/tide/call.lua). */
static size_t write_meta(lua_State *L, const struct kept *kept, enum breaker_state state,
                         char meta[META_MAX]) {
  int length = snprintf(
      meta, META_MAX,
      ",\"meta\":{\"integration\":\"%s\",\"operation\":\"%s\",\"trace_id\":\"%s\","
      "\"duration_ms\":0,\"attempts\":0,\"from_cache\":true,\"age_seconds\":%" PRIu64
      ",\"stale\":false,\"fallback\":false,\"mock\":%s,\"circuit_breaker_state\":\"%s\"}}",
      kept->integration, kept->operation, lua_tostring(L, 3), kept->hit.age_ns / 1000000000u,
      kept->mock ? "true" : "false", breaker_state_name(state));
  if (length < 0 || length >= META_MAX) luaL_error(L, "the names of a call are too long");
  return (size_t)length;
}

static int kept_answer(lua_State *L) {
  struct kept *kept = check_kept(L);
  enum breaker_state state;
  if (!serve(L, kept, &state)) return 0;
  char meta[META_MAX];
  size_t length = write_meta(L, kept, state, meta);
  luaL_Buffer body;
  luaL_buffinitsize(L, &body, kept->hit.length + length + 8);
  luaL_addlstring(&body, "{\"data\":", 8);
  luaL_addlstring(&body, kept->hit.bytes, kept->hit.length);
  luaL_addlstring(&body, meta, length);
  luaL_pushresult(&body);
  cache_hit_release(&kept->hit);
  return 1;
}

static int kept_data(lua_State *L) {
  struct kept *kept = check_kept(L);
  enum breaker_state state;
  struct err err;
  if (!serve(L, kept, &state)) return 0;
  if (json_decode_push(L, kept->hit.bytes, kept->hit.length, &plain, &err) != 0)
    return luaL_error(L, "what is kept is no JSON: %s", err.message);
  lua_pushinteger(L, (lua_Integer)(kept->hit.age_ns / 1000000000u));
  lua_pushstring(L, breaker_state_name(state));
  lua_pushinteger(L, 0);
  cache_hit_release(&kept->hit);
  return 4;
}

static const luaL_Reg kept_methods[] = {
    {"answer", kept_answer},
    {"data", kept_data},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"new", l_new},
    {NULL, NULL},
};

int luaopen_tide_engine_kept(lua_State *L) {
  luaL_newmetatable(L, KEPT_TYPE);
  luaL_newlib(L, kept_methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, kept_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newlib(L, module_functions);
  return 1;
}
