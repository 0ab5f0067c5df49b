#include "bind/singleflight.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bind/operation.h"
#include "bind/shared.h"
#include "engine/task.h"
#include "engine/worker.h"
#include "state/singleflight.h"

#define FLIGHT_TYPE "tidegate.flight"

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

/* Opens an operation with the seat of the running task, which has joined nothing yet. */
static struct seat *open_seat(lua_State *L) {
  struct task *task = task_current(L);
  struct operation *operation = operation_open(L, seat_close);
  struct seat *seat = calloc(1, sizeof *seat);
  if (seat == NULL) luaL_error(L, "no memory for a flight");
  seat->worker = worker_of(L);
  seat->task = task;
  atomic_init(&seat->references, 1);
  operation_hold(L, operation, seat);
  return seat;
}

static int push_full(lua_State *L) {
  lua_pushboolean(L, 0);
  lua_pushliteral(L, "too many flights, or too many wait for this one");
  lua_pushliteral(L, "overloaded");
  return 3;
}

static const char *check_key(lua_State *L, size_t *length) {
  const char *key = luaL_checklstring(L, 1, length);
  luaL_argcheck(L, *length <= SINGLEFLIGHT_KEY_MAX, 1, "longer than 256 bytes");
  return key;
}

static int l_run(lua_State *L) {
  size_t length;
  const char *key = check_key(L, &length);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  struct seat *seat = open_seat(L);
  seat->member = flight_join(shared_of(L)->singleflight, key, length, on_notice, seat);
  return seat->member != NULL ? waited(L, LUA_OK, 0) : push_full(L);
}

/* --- share: the flight is a task of its own --- */

/* The task that computes, from when it is made to its end. The notice that all have left may come
 * from another thread and after the end, and the script may keep its handle: it is counted. */
struct flight_task {
  struct worker *worker;
  struct task *task;            /* a reference; NULL once it has ended */
  struct flight_runner *runner; /* NULL once the waiters have their result */
  struct mailbox_letter letter;
  atomic_int references; /* the task's, the handle's, the letter's while it is on its way */
};

static void release_flight_task(struct flight_task *flight) {
  if (atomic_fetch_sub(&flight->references, 1) == 1) free(flight);
}

/* On the worker's thread. */
static void on_abandoned_letter(void *argument) {
  struct flight_task *flight = argument;
  if (flight->task != NULL) task_cancel(flight->task);
  release_flight_task(flight);
}

/* On any thread, under the flight's lock. */
static void on_abandoned(void *argument) {
  struct flight_task *flight = argument;
  atomic_fetch_add(&flight->references, 1);
  if (worker_post_letter(flight->worker, &flight->letter, on_abandoned_letter, flight) != 0)
    release_flight_task(flight);
}

static void land(struct flight_task *flight, const struct flight_result *result) {
  flight_land(flight->runner, result);
  flight->runner = NULL;
}

static void land_without_result(struct flight_task *flight, const char *message, const char *code) {
  land(flight, &(struct flight_result){false, message, strlen(message), code});
}

/* However the task ends: cancelled before it ran too. */
static void on_flight_end(void *argument) {
  struct flight_task *flight = argument;
  if (flight->runner != NULL)
    land_without_result(flight, "the computation was stopped", "internal");
  task_release(flight->task);
  flight->task = NULL;
  release_flight_task(flight);
}

/* A flight that has not ended. */
static struct flight_task *check_flight(lua_State *L, int index) {
  struct flight_task *flight = *(struct flight_task **)luaL_checkudata(L, index, FLIGHT_TYPE);
  luaL_argcheck(L, flight != NULL && flight->runner != NULL, index, "a flight that has ended");
  return flight;
}

static int flight_gc(lua_State *L) {
  struct flight_task **handle = luaL_checkudata(L, 1, FLIGHT_TYPE);
  if (*handle != NULL) release_flight_task(*handle);
  *handle = NULL;
  return 0;
}

static int l_flight_deadline(lua_State *L) {
  lua_pushnumber(L, flight_deadline(check_flight(L, 1)->runner));
  return 1;
}

static int l_flight_waiters(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)flight_waiters(check_flight(L, 1)->runner));
  return 1;
}

/* What fn returned lies from index 2: bytes, or nil, message, code. */
static struct flight_result returned_result(lua_State *L) {
  struct flight_result result = {.ok = lua_type(L, 2) == LUA_TSTRING};
  result.bytes = lua_tolstring(L, result.ok ? 2 : 3, &result.length);
  if (result.ok) return result;
  result.code = lua_tostring(L, 4);
  if (result.code == NULL) result.code = "internal";
  if (result.bytes != NULL) return result;
  lua_pushliteral(L, "the computation returned no text");
  result.bytes = lua_tolstring(L, -1, &result.length);
  return result;
}

static struct flight_result raised_result(lua_State *L) {
  struct flight_result result = {.code = "internal"};
  result.bytes = luaL_tolstring(L, 2, &result.length);
  return result;
}

/* stack: the handle, then what fn returned, or what it raised. */
static int flown(lua_State *L, int status, lua_KContext context) {
  (void)context;
  bool returned = status == LUA_OK || status == LUA_YIELD;
  struct flight_result result = returned ? returned_result(L) : raised_result(L);
  land(check_flight(L, 1), &result);
  return 0;
}

/* The body of the task. stack: the handle, fn. When all have left already nothing is begun: the
 * cancellation is on its way. */
static int fly(lua_State *L) {
  if (flight_waiters(check_flight(L, 1)->runner) == 0) return 0;
  lua_pushvalue(L, 1);
  int status = lua_pcallk(L, 1, 3, 0, 0, flown);
  return flown(L, status, 0);
}

/* Protected, as all of it may raise. stack: fn, the flight. */
static int start_flight(lua_State *L) {
  struct flight_task *flight = lua_touserdata(L, 2);
  lua_pushcfunction(L, fly);
  struct flight_task **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = flight;
  atomic_fetch_add(&flight->references, 1);
  luaL_setmetatable(L, FLIGHT_TYPE);
  lua_pushvalue(L, 1);
  flight->task = task_spawn(L, 2, NULL);
  task_on_end(flight->task, on_flight_end, flight);
  flight_watch(flight->runner, on_abandoned, flight);
  return 0;
}

/* A flight that cannot start has a result too: its waiters, the caller among them, are told. */
static void launch(lua_State *L, struct flight_runner *runner, int function) {
  static const char full[] = "no memory, or no room for another task";
  struct flight_task *flight = calloc(1, sizeof *flight);
  if (flight == NULL) {
    flight_land(runner, &(struct flight_result){false, full, sizeof full - 1, "overloaded"});
    return;
  }
  flight->worker = worker_of(L);
  flight->runner = runner;
  atomic_init(&flight->references, 1);
  lua_pushcfunction(L, start_flight);
  lua_pushvalue(L, function);
  lua_pushlightuserdata(L, flight);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return;
  lua_pop(L, 1);
  land_without_result(flight, full, "overloaded");
  release_flight_task(flight);
}

/* stack: key, deadline, fn, operation. */
static int shared_waited(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct seat *seat = operation_check(L, 4)->pointer;
  if (flight_role_of(seat->member) != FLIGHT_ENDED) return task_await(L, shared_waited, context);
  return push_result(L, seat->member);
}

static int l_share(lua_State *L) {
  size_t length;
  const char *key = check_key(L, &length);
  lua_Number deadline = luaL_checknumber(L, 2);
  luaL_argcheck(L, deadline == deadline, 2, "not a number");
  luaL_checktype(L, 3, LUA_TFUNCTION);
  lua_settop(L, 3);
  struct seat *seat = open_seat(L);
  luaL_checkstack(L, LUA_MINSTACK, "no room to share a flight");
  struct flight_runner *runner;
  seat->member =
      flight_share(shared_of(L)->singleflight, key, length, deadline, on_notice, seat, &runner);
  if (seat->member == NULL) return push_full(L);
  if (runner != NULL) launch(L, runner, 3);
  return shared_waited(L, LUA_OK, 0);
}

static int l_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)singleflight_count(shared_of(L)->singleflight));
  return 1;
}

static const luaL_Reg flight_methods[] = {
    {"deadline", l_flight_deadline},
    {"waiters", l_flight_waiters},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"run", l_run},
    {"share", l_share},
    {"count", l_count},
    {NULL, NULL},
};

int luaopen_tide_state_singleflight(lua_State *L) {
  luaL_newmetatable(L, FLIGHT_TYPE);
  lua_pushcfunction(L, flight_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, flight_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, module_functions);
  return 1;
}
