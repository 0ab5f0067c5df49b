#include "bind/slots.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bind/notice.h"
#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "state/slots.h"

#define CELL_TYPE "tidegate.slots"
#define SLOT_TYPE "tidegate.slot"
#define SECONDS_MAX 1e9 /* beyond any sensible span; keeps nanoseconds in 64 bits */

static struct slots *check_cell(lua_State *L) {
  return *(struct slots **)luaL_checkudata(L, 1, CELL_TYPE);
}

static int cell_configure(lua_State *L) {
  struct slots *cell = check_cell(L);
  lua_Integer max = luaL_optinteger(L, 2, 0);
  lua_Integer queue = luaL_optinteger(L, 3, SLOTS_QUEUE_DEFAULT);
  luaL_argcheck(L, lua_isnoneornil(L, 2) || max >= 1, 2, "at least 1, or nil for no limit");
  luaL_argcheck(L, queue >= 0, 3, "at least 0");
  slots_configure(cell, (size_t)max, (size_t)queue);
  return 0;
}

/* --- slots that are taken --- */

/* A handle whose slot is not taken yet: leaving it does nothing. */
static struct slots **new_slot(lua_State *L) {
  struct slots **slot = lua_newuserdatauv(L, sizeof *slot, 0);
  *slot = NULL;
  luaL_setmetatable(L, SLOT_TYPE);
  return slot;
}

static int slot_leave(lua_State *L) {
  struct slots **slot = luaL_checkudata(L, 1, SLOT_TYPE);
  if (*slot != NULL) slots_leave(*slot);
  *slot = NULL;
  return 0;
}

/* --- entering --- */

struct place {
  struct notice *notice;
  struct slot_waiter *waiter; /* NULL once it has what it waited for */
  uint64_t give_up_ns;
};

static void leave(void *pointer) {
  struct place *place = pointer;
  if (place->waiter != NULL) slot_waiter_leave(place->waiter, false);
  notice_close(place->notice);
  free(place);
}

static uint64_t now_of(lua_State *L) {
  return clock_monotonic_ns(worker_clock(worker_of(L)));
}

static int push_refused(lua_State *L) {
  lua_pushnil(L);
  lua_pushnumber(L, 1);
  return 2;
}

/* Stack: cell, seconds, slot, operation. */
static int waited(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct place *place = operation_check(L, (int)context)->pointer;
  if (slot_waiter_is_in(place->waiter)) {
    slot_waiter_leave(place->waiter, true);
    place->waiter = NULL;
    *(struct slots **)luaL_checkudata(L, 3, SLOT_TYPE) = check_cell(L);
    lua_pushvalue(L, 3);
    return 1;
  }
  if (now_of(L) >= place->give_up_ns) return push_refused(L);
  return task_await(L, waited, context);
}

static int enter_in_line(lua_State *L, struct slots *cell, double seconds) {
  struct operation *operation = operation_open(L, leave);
  struct notice *notice = notice_new(L);
  struct place *place = notice_hold(notice, sizeof *place);
  if (place == NULL) return luaL_error(L, "no memory to wait");
  uint64_t wait_ns = (uint64_t)((seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * 1e9);
  *place = (struct place){.notice = notice, .give_up_ns = now_of(L) + wait_ns};
  operation_hold(L, operation, place);
  place->waiter = slots_wait(cell, notice_send, notice);
  if (place->waiter == NULL) return push_refused(L);
  if (notice_after(notice, wait_ns) != 0) return luaL_error(L, "no memory for a timer");
  return waited(L, LUA_OK, 4);
}

static int cell_enter(lua_State *L) {
  struct slots *cell = check_cell(L);
  double seconds = luaL_checknumber(L, 2);
  lua_settop(L, 2);
  struct slots **slot = new_slot(L);
  if (slots_try(cell)) {
    *slot = cell;
    return 1;
  }
  return seconds > 0 ? enter_in_line(L, cell, seconds) : push_refused(L);
}

static int cell_state(lua_State *L) {
  struct slots_state state = slots_read(check_cell(L));
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, (lua_Integer)state.used);
  lua_setfield(L, -2, "used");
  lua_pushinteger(L, (lua_Integer)state.waiting);
  lua_setfield(L, -2, "waiting");
  if (state.max == 0) return 1;
  lua_pushinteger(L, (lua_Integer)state.max);
  lua_setfield(L, -2, "max");
  return 1;
}

static int l_of(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  struct slots **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = slots_cell(shared_of(L)->slots, name);
  if (*handle == NULL) return luaL_error(L, "no slots for '%s': bad name, or too many", name);
  luaL_setmetatable(L, CELL_TYPE);
  return 1;
}

static const luaL_Reg cell_methods[] = {
    {"configure", cell_configure},
    {"enter", cell_enter},
    {"state", cell_state},
    {NULL, NULL},
};

static const luaL_Reg slot_methods[] = {
    {"leave", slot_leave},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"of", l_of},
    {NULL, NULL},
};

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
}

int luaopen_tide_state_slots(lua_State *L) {
  new_type(L, CELL_TYPE, cell_methods);
  new_type(L, SLOT_TYPE, slot_methods);
  lua_pushcfunction(L, slot_leave);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, slot_leave);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, module_functions);
  return 1;
}
