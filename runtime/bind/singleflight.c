#include "bind/singleflight.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "state/singleflight.h"

/* A task in a flight. A notice from another thread travels through the mailbox of the
 * worker, so the struct lives until the last notice has arrived: it is counted. */
struct seat {
  struct worker *worker;
  struct task *task; /* NULL once the task has left */
  struct flight_member *member;
  struct mailbox_letter letter; /* there is one notice: a role changes once from waiting */
  atomic_int references;        /* the operation's, and the letter's while it is on its way */
};

static void release_seat(struct seat *seat) {
  if (atomic_fetch_sub(&seat->references, 1) == 1) free(seat);
}

/* On the worker's thread. */
static void on_letter(void *argument) {
  struct seat *seat = argument;
  if (seat->task != NULL) task_wake(seat->task);
  release_seat(seat);
}

/* On any thread, under the flight's lock. */
static void on_notice(void *argument) {
  struct seat *seat = argument;
  atomic_fetch_add(&seat->references, 1);
  if (worker_post_letter(seat->worker, &seat->letter, on_letter, seat) != 0) release_seat(seat);
}

static void seat_close(void *pointer) {
  struct seat *seat = pointer;
  seat->task = NULL;
  if (seat->member != NULL) flight_leave(seat->member);
  release_seat(seat);
}

static int push_result(lua_State *L, struct flight_member *member) {
  struct flight_result result = flight_result_of(member);
  lua_pushboolean(L, result.ok);
  lua_pushlstring(L, result.bytes, result.length);
  if (result.ok)
    lua_pushboolean(L, flight_is_shared(member));
  else
    lua_pushstring(L, result.code);
  return 3;
}

/* stack: key, fn, operation, then what fn returned: bytes, or nil, message, code. */
static int led(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  struct seat *seat = operation_check(L, 3)->pointer;
  lua_settop(L, 6);
  struct flight_result result = {.ok = lua_type(L, 4) == LUA_TSTRING};
  const char *fallback = "the computation returned no text";
  int value = result.ok ? 4 : 5;
  result.bytes = lua_tolstring(L, value, &result.length);
  if (result.bytes == NULL) {
    lua_pushstring(L, fallback);
    result.bytes = lua_tolstring(L, -1, &result.length);
  }
  result.code = result.ok ? NULL : lua_tostring(L, 6);
  flight_finish(seat->member, &result);
  return push_result(L, seat->member);
}

static int lead(lua_State *L) {
  lua_pushvalue(L, 2);
  lua_callk(L, 0, 3, 0, led);
  return led(L, LUA_OK, 0);
}

static int waited(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct seat *seat = operation_check(L, 3)->pointer;
  switch (flight_role_of(seat->member)) {
    case FLIGHT_LEADS:
      return lead(L);
    case FLIGHT_ENDED:
      return push_result(L, seat->member);
    default:
      return task_await(L, waited, context);
  }
}

static int l_run(lua_State *L) {
  size_t length;
  const char *key = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length <= SINGLEFLIGHT_KEY_MAX, 1, "longer than 256 bytes");
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  struct worker *worker = worker_of(L);
  struct task *task = task_current(L);
  struct operation *operation = operation_open(L, seat_close);
  struct seat *seat = calloc(1, sizeof *seat);
  if (seat == NULL) return luaL_error(L, "no memory for a flight");
  seat->worker = worker;
  seat->task = task;
  atomic_init(&seat->references, 1);
  operation_hold(L, operation, seat);
  seat->member = flight_join(shared_of(L)->singleflight, key, length, on_notice, seat);
  if (seat->member != NULL) return waited(L, LUA_OK, 0);
  lua_pushboolean(L, 0);
  lua_pushliteral(L, "too many flights, or too many wait for this one");
  lua_pushliteral(L, "overloaded");
  return 3;
}

static const luaL_Reg module_functions[] = {
    {"run", l_run},
    {NULL, NULL},
};

int luaopen_tide_state_singleflight(lua_State *L) {
  luaL_newlib(L, module_functions);
  return 1;
}
