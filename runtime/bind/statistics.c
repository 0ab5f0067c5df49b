#include "bind/statistics.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "bind/shared.h"
#include "engine/worker.h"
#include "state/call_statistics.h"

#define SNAPSHOT_TYPE "tidegate.call_snapshot"

/* --- cells --- */

static struct call_cell *check_cell(lua_State *L) {
  return *(struct call_cell **)luaL_checkudata(L, 1, CALL_CELL_TYPE);
}

/* The number of the word at 2, from the table of words in upvalue 1. */
static int check_word(lua_State *L, const char *what) {
  luaL_checktype(L, 2, LUA_TSTRING);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNUMBER) return (int)lua_tointeger(L, -1);
  return luaL_argerror(L, 2, lua_pushfstring(L, "unknown %s '%s'", what, lua_tostring(L, 2)));
}

static int cell_record(lua_State *L) {
  struct call_cell *cell = check_cell(L);
  double seconds = luaL_checknumber(L, 3);
  luaL_argcheck(L, isfinite(seconds), 3, "a finite number expected");
  call_cell_record(cell, (enum call_outcome)check_word(L, "outcome"), seconds);
  return 0;
}

static int cell_count(lua_State *L) {
  struct call_cell *cell = check_cell(L);
  call_cell_count(cell, (enum call_event)check_word(L, "event"));
  return 0;
}

/* --- snapshots --- */

static struct call_cell *check_snapshot(lua_State *L, int index) {
  return luaL_checkudata(L, index, SNAPSHOT_TYPE);
}

static struct call_cell *new_snapshot(lua_State *L) {
  struct call_cell *snapshot = lua_newuserdatauv(L, sizeof *snapshot, 0);
  memset(snapshot, 0, sizeof *snapshot);
  luaL_setmetatable(L, SNAPSHOT_TYPE);
  return snapshot;
}

static int snapshot_since(lua_State *L) {
  const struct call_cell *newer = check_snapshot(L, 1);
  const struct call_cell *older = check_snapshot(L, 2);
  struct call_cell *difference = new_snapshot(L);
  memcpy(difference, newer, sizeof *newer);
  call_cell_subtract(difference, older);
  return 1;
}

static int snapshot_quantile(lua_State *L) {
  const struct call_cell *snapshot = check_snapshot(L, 1);
  double q = luaL_checknumber(L, 2);
  luaL_argcheck(L, q >= 0 && q <= 1, 2, "a number from 0 to 1 expected");
  double seconds = histogram_quantile(&snapshot->durations, q);
  if (isnan(seconds))
    lua_pushnil(L);
  else
    lua_pushnumber(L, seconds);
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static void set_events(lua_State *L, const struct call_cell *snapshot) {
  uint64_t timeouts = call_cell_outcomes(snapshot, CALL_TIMEOUT);
  set_count(L, "timeouts", timeouts + call_cell_events(snapshot, CALL_EVENT_TIMEOUT));
  set_count(L, "rate_limited", call_cell_events(snapshot, CALL_EVENT_RATE_LIMITED));
  set_count(L, "breaker_opened", call_cell_events(snapshot, CALL_EVENT_BREAKER_OPENED));
  set_count(L, "cache_hits", call_cell_events(snapshot, CALL_EVENT_CACHE_HIT));
  set_count(L, "cache_misses", call_cell_events(snapshot, CALL_EVENT_CACHE_MISS));
}

static void set_totals(lua_State *L, const struct call_cell *snapshot) {
  uint64_t total = call_cell_total(snapshot);
  uint64_t cached = call_cell_outcomes(snapshot, CALL_CACHED);
  cached += call_cell_outcomes(snapshot, CALL_STALE);
  uint64_t successful = cached + call_cell_outcomes(snapshot, CALL_OK);
  successful += call_cell_outcomes(snapshot, CALL_FALLBACK);
  set_count(L, "total", total);
  set_count(L, "successful", successful);
  set_count(L, "failed", total - successful);
  set_count(L, "cached", cached);
}

static void set_durations(lua_State *L, const struct histogram *durations) {
  uint64_t count = histogram_count(durations);
  if (count == 0) return;
  lua_pushnumber(L, histogram_sum(durations) * 1000 / (double)count);
  lua_setfield(L, -2, "avg_ms");
  lua_pushnumber(L, histogram_max(durations) * 1000);
  lua_setfield(L, -2, "max_ms");
}

static void set_by_outcome(lua_State *L, const struct call_cell *snapshot) {
  lua_newtable(L);
  for (int outcome = 0; outcome < CALL_OUTCOMES; outcome++) {
    uint64_t count = call_cell_outcomes(snapshot, (enum call_outcome)outcome);
    if (count > 0) set_count(L, call_outcome_name((enum call_outcome)outcome), count);
  }
  lua_setfield(L, -2, "by_outcome");
}

static int snapshot_get(lua_State *L) {
  const struct call_cell *snapshot = check_snapshot(L, 1);
  lua_createtable(L, 0, 12);
  set_totals(L, snapshot);
  set_events(L, snapshot);
  set_durations(L, &snapshot->durations);
  set_by_outcome(L, snapshot);
  return 1;
}

/* --- the module --- */

static const char *check_name(lua_State *L) {
  size_t length;
  const char *name = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length > 0 && length <= CALL_STATISTICS_NAME_MAX && strlen(name) == length, 1,
                "the name of an integration expected");
  return name;
}

/* This worker's cells are kept in upvalue 1 by name; but not the one that the names beyond the
 * bound share, for they have no end. */
static int l_cell(lua_State *L) {
  const char *name = check_name(L);
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  struct call_statistics *statistics = shared_of(L)->statistics;
  struct call_cell **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = call_statistics_cell(statistics, worker_of(L), name);
  if (*handle == NULL) return luaL_error(L, "no memory for the statistics of '%s'", name);
  luaL_setmetatable(L, CALL_CELL_TYPE);
  if (!call_statistics_has(statistics, name)) return 1;
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(1));
  return 1;
}

static int l_snapshot(lua_State *L) {
  const char *name = check_name(L);
  call_statistics_read(shared_of(L)->statistics, name, new_snapshot(L));
  return 1;
}

static int l_names(lua_State *L) {
  struct call_statistics *statistics = shared_of(L)->statistics;
  lua_newtable(L);
  const char *name;
  for (size_t i = 0; (name = call_statistics_name(statistics, i)) != NULL; i++) {
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int l_refused(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)call_statistics_refused(shared_of(L)->statistics));
  return 1;
}

static const luaL_Reg snapshot_methods[] = {
    {"since", snapshot_since},
    {"get", snapshot_get},
    {"quantile", snapshot_quantile},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"cell", l_cell}, {"snapshot", l_snapshot}, {"names", l_names}, {"refused", l_refused},
    {NULL, NULL},
};

/* Pushes a method that knows the numbers of the table of words on the top, which it takes. */
static void set_method(lua_State *L, int methods, const char *name, lua_CFunction method) {
  lua_pushcclosure(L, method, 1);
  lua_setfield(L, methods, name);
}

static void push_outcomes(lua_State *L) {
  lua_createtable(L, 0, CALL_OUTCOMES);
  for (int outcome = 0; outcome < CALL_OUTCOMES; outcome++) {
    lua_pushinteger(L, outcome);
    lua_setfield(L, -2, call_outcome_name((enum call_outcome)outcome));
  }
}

static void push_events(lua_State *L) {
  lua_createtable(L, 0, CALL_EVENTS);
  for (int event = 0; event < CALL_EVENTS; event++) {
    lua_pushinteger(L, event);
    lua_setfield(L, -2, call_event_name((enum call_event)event));
  }
}

static void register_cells(lua_State *L) {
  luaL_newmetatable(L, CALL_CELL_TYPE);
  lua_newtable(L);
  int methods = lua_gettop(L);
  push_outcomes(L);
  set_method(L, methods, "record", cell_record);
  push_events(L);
  set_method(L, methods, "count", cell_count);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

static void register_snapshots(lua_State *L) {
  luaL_newmetatable(L, SNAPSHOT_TYPE);
  luaL_newlib(L, snapshot_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_tide_state_statistics(lua_State *L) {
  register_cells(L);
  register_snapshots(L);
  luaL_newlibtable(L, module_functions);
  lua_newtable(L);
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
