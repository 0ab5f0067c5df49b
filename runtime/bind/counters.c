#include "bind/counters.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>

#include "base/buf.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/worker.h"
#include "state/counters.h"

#define RENDER_BYTES_MAX (16 * 1024 * 1024)

static const double default_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                        0.5,   1,      2.5,   5,    10,    30,   60};

/* --- cells --- */

static struct counter_cell *check_cell(lua_State *L) {
  return *(struct counter_cell **)luaL_checkudata(L, 1, COUNTER_TYPE);
}

static double check_finite(lua_State *L, int index) {
  double value = luaL_checknumber(L, index);
  luaL_argcheck(L, isfinite(value), index, "a finite number expected");
  return value;
}

static int cell_add(lua_State *L) {
  struct counter_cell *cell = check_cell(L);
  double amount = lua_isnoneornil(L, 2) ? 1 : check_finite(L, 2);
  enum counter_kind kind = counter_kind_of(cell);
  luaL_argcheck(L, kind != COUNTER_HISTOGRAM, 1, "a counter or gauge expected");
  luaL_argcheck(L, kind == COUNTER_GAUGE || amount >= 0, 2, "a counter only rises");
  counter_add(cell, amount);
  return 0;
}

static int cell_set(lua_State *L) {
  struct counter_cell *cell = check_cell(L);
  luaL_argcheck(L, counter_kind_of(cell) == COUNTER_GAUGE, 1, "a gauge expected");
  counter_set(cell, check_finite(L, 2));
  return 0;
}

static int cell_observe(lua_State *L) {
  struct counter_cell *cell = check_cell(L);
  luaL_argcheck(L, counter_kind_of(cell) == COUNTER_HISTOGRAM, 1, "a histogram expected");
  counter_observe(cell, check_finite(L, 2));
  return 0;
}

static size_t check_bounds(lua_State *L, int index, double *bounds) {
  lua_Integer count = luaL_len(L, index);
  luaL_argcheck(L, count >= 1 && count <= COUNTERS_BOUNDS_MAX, index, "1 to 32 bounds");
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, index, i);
    bounds[i - 1] = luaL_checknumber(L, -1);
    luaL_argcheck(L, isfinite(bounds[i - 1]), index, "bounds must be finite");
    luaL_argcheck(L, i == 1 || bounds[i - 1] > bounds[i - 2], index, "bounds must ascend");
    lua_pop(L, 1);
  }
  return (size_t)count;
}

/* This worker's cells are kept in upvalue 1 under "kind name{labels}", so that asking again
 * gives the same one; but not those of label sets beyond the bound, which have no end. */
static int push_cell(lua_State *L, enum counter_kind kind) {
  const char *name = luaL_checkstring(L, 1);
  const char *labels = luaL_optstring(L, 2, "");
  double bounds[COUNTERS_BOUNDS_MAX];
  size_t bound_count = 0;
  if (kind == COUNTER_HISTOGRAM && !lua_isnoneornil(L, 3)) bound_count = check_bounds(L, 3, bounds);
  lua_settop(L, 2);
  lua_pushfstring(L, "%d %s{%s}", kind, name, labels);
  lua_pushvalue(L, 3);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  struct counter_cell **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  const double *given = bound_count > 0 ? bounds : default_bounds;
  if (bound_count == 0) bound_count = sizeof default_bounds / sizeof default_bounds[0];
  *handle =
      counters_cell(shared_of(L)->counters, worker_of(L), kind, name, labels, given, bound_count);
  if (*handle == NULL)
    return luaL_error(L, "no cell for the metric '%s': bad name or labels, other kind, or too many",
                      name);
  luaL_setmetatable(L, COUNTER_TYPE);
  if (counter_is_other(*handle)) return 1;
  lua_pushvalue(L, 3);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(1));
  return 1;
}

static int l_counter(lua_State *L) {
  return push_cell(L, COUNTER_SUM);
}
static int l_gauge(lua_State *L) {
  return push_cell(L, COUNTER_GAUGE);
}
static int l_histogram(lua_State *L) {
  return push_cell(L, COUNTER_HISTOGRAM);
}

/* --- the whole --- */

/* (name, help) or (name, type, help): the type says what the first cell decides anyway. */
static int l_describe(lua_State *L) {
  static const char *const types[] = {"counter", "gauge", "histogram", NULL};
  const char *name = luaL_checkstring(L, 1);
  luaL_checkoption(L, 2, NULL, types);
  counters_describe(shared_of(L)->counters, name, luaL_checkstring(L, 3));
  return 0;
}

static void close_text(void *text) {
  buf_deinit(text);
}

static int l_render(lua_State *L) {
  lua_settop(L, 0);
  struct buf *text = lua_newuserdatauv(L, sizeof *text, 0);
  struct operation *operation = operation_open(L, close_text);
  buf_init(text, RENDER_BYTES_MAX);
  operation_hold(L, operation, text);
  if (counters_render(shared_of(L)->counters, text) != 0)
    return luaL_error(L, "the metrics are larger than %d bytes", RENDER_BYTES_MAX);
  lua_pushlstring(L, text->data != NULL ? text->data : "", text->length);
  return 1;
}

static int l_dropped_series(lua_State *L) {
  lua_pushnumber(L, counters_dropped_series(shared_of(L)->counters));
  return 1;
}

static const luaL_Reg cell_methods[] = {
    {"add", cell_add},
    {"set", cell_set},
    {"observe", cell_observe},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"counter", l_counter},
    {"gauge", l_gauge},
    {"histogram", l_histogram},
    {"describe", l_describe},
    {"render", l_render},
    {"dropped_series", l_dropped_series},
    {NULL, NULL},
};

int luaopen_tide_state_counters(lua_State *L) {
  luaL_newmetatable(L, COUNTER_TYPE);
  luaL_newlib(L, cell_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlibtable(L, module_functions);
  lua_newtable(L);
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
