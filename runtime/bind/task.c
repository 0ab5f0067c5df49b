#include "bind/task.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>

#include "base/timer.h"
#include "base/waiter.h"
#include "bind/operation.h"
#include "engine/budget.h"
#include "engine/task.h"
#include "engine/worker.h"

#define TASK_TYPE "tidegate.task"
#define SECONDS_MAX 31536000.0 /* a year; more is a mistake */

/* --- handles --- */

struct task *bind_task_check(lua_State *L, int index) {
  return *(struct task **)luaL_checkudata(L, index, TASK_TYPE);
}

static int handle_gc(lua_State *L) {
  struct task **handle = luaL_checkudata(L, 1, TASK_TYPE);
  if (*handle != NULL) task_release(*handle);
  *handle = NULL;
  return 0;
}

static struct task *checked(lua_State *L, int index) {
  struct task *task = bind_task_check(L, index);
  luaL_argcheck(L, task != NULL, index, "a task that was released");
  return task;
}

static int spawn(lua_State *L, bool child) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  struct task *parent = child ? task_current(L) : NULL;
  struct task **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = NULL;
  luaL_setmetatable(L, TASK_TYPE);
  lua_insert(L, 1);
  *handle = task_spawn(L, lua_gettop(L) - 2, parent);
  return 1;
}

static int l_spawn(lua_State *L) {
  return spawn(L, true);
}
static int l_detach(lua_State *L) {
  return spawn(L, false);
}

static int handle_cancel(lua_State *L) {
  struct task *task = bind_task_check(L, 1);
  if (task != NULL) task_cancel(task);
  return 0;
}

static int handle_status(lua_State *L) {
  static const char *const names[] = {"ready", "running", "waiting", "done"};
  lua_pushstring(L, names[task_state(checked(L, 1))]);
  return 1;
}

/* --- join --- */

static const char *stop_name(const struct task *task) {
  switch (budget_stop_reason(task)) {
    case BUDGET_TIME:
      return "script_timeout";
    case BUDGET_MEMORY:
      return "out_of_memory";
    default:
      return NULL;
  }
}

/* Pushes what became of a task that is done: true, results… or false, error, kind. The
 * values are copied, so that a second join sees them too. */
static int push_outcome(lua_State *L, const struct task *task) {
  lua_State *stack = task_stack(task);
  if (task_outcome(task) == TASK_CANCELLED) {
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "the task was cancelled");
    lua_pushliteral(L, "cancelled");
    return 3;
  }
  int count = task_outcome(task) == TASK_RAISED ? 1 : lua_gettop(stack);
  luaL_checkstack(L, count + 3, "too many results of a task");
  if (!lua_checkstack(stack, count)) return luaL_error(L, "too many results of a task");
  lua_pushboolean(L, task_outcome(task) == TASK_RETURNED);
  int first = lua_gettop(stack) - count + 1;
  for (int i = 0; i < count; i++) lua_pushvalue(stack, first + i);
  lua_xmove(stack, L, count);
  if (task_outcome(task) == TASK_RETURNED) return count + 1;
  lua_pushstring(L, stop_name(task));
  return 3;
}

struct joining {
  struct waiter waiter;
  struct task *task; /* a reference */
};

static void joining_close(void *pointer) {
  struct joining *joining = pointer;
  waiter_remove(&joining->waiter);
  task_release(joining->task);
  free(joining);
}

static int join_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct task *task = checked(L, 1);
  if (task_state(task) != TASK_DONE) return task_await(L, join_done, context);
  return push_outcome(L, task);
}

static int handle_join(lua_State *L) {
  lua_settop(L, 1);
  struct task *task = checked(L, 1);
  if (task_state(task) == TASK_DONE) return push_outcome(L, task);
  struct task *self = task_current(L);
  luaL_argcheck(L, task != self, 1, "a task cannot wait for itself");
  struct operation *operation = operation_open(L, joining_close);
  struct joining *joining = calloc(1, sizeof *joining);
  if (joining == NULL) return luaL_error(L, "no memory to wait for a task");
  joining->task = task;
  task_retain(task);
  operation_hold(L, operation, joining);
  task_watch(task, &joining->waiter, task_wake, self);
  return task_await(L, join_done, 0);
}

/* --- sleep, yield, timeout --- */

static uint64_t check_seconds(lua_State *L, int index) {
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0 && seconds <= SECONDS_MAX, index, "seconds must be 0 to 31536000");
  return (uint64_t)llround(seconds * 1e9);
}

struct alarm {
  struct timer timer;
  struct timer_heap *timers;
  struct task *sleeper; /* woken when the time is up */
  struct task *child;   /* of timeout: a reference, cancelled when the alarm is closed */
  struct waiter ending; /* of the child */
  bool rang;
};

static void on_alarm(struct timer *timer) {
  struct alarm *alarm = (struct alarm *)timer; /* its first member */
  alarm->rang = true;
  task_wake(alarm->sleeper);
}

static void alarm_close(void *pointer) {
  struct alarm *alarm = pointer;
  timer_stop(alarm->timers, &alarm->timer);
  if (alarm->child != NULL) {
    waiter_remove(&alarm->ending);
    task_cancel(alarm->child);
    task_release(alarm->child);
  }
  free(alarm);
}

/* Opens an operation with a started alarm in it; its slot is the top of the stack. */
static struct alarm *open_alarm(lua_State *L, uint64_t nanoseconds, struct timer_heap *timers) {
  struct task *self = task_current(L);
  struct operation *operation = operation_open(L, alarm_close);
  struct alarm *alarm = calloc(1, sizeof *alarm);
  if (alarm == NULL) luaL_error(L, "no memory for a timer");
  alarm->timers = timers;
  alarm->sleeper = self;
  operation_hold(L, operation, alarm);
  if (timer_start(alarm->timers, &alarm->timer, nanoseconds, on_alarm) != 0)
    luaL_error(L, "no memory for a timer");
  return alarm;
}

static struct alarm *alarm_at(lua_State *L, int index) {
  return operation_check(L, index)->pointer;
}

static int sleep_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  if (!alarm_at(L, (int)context)->rang) return task_await(L, sleep_done, context);
  return 0;
}

static int l_sleep(lua_State *L) {
  lua_settop(L, 1);
  open_alarm(L, check_seconds(L, 1), worker_timers(worker_of(L)));
  return task_await(L, sleep_done, 2);
}

static int yield_done(lua_State *L, int status, lua_KContext context) {
  (void)L;
  (void)status;
  (void)context;
  return 0;
}

/* Waits for an unpark, or any other wake: the caller looks again at what it waits for. */
static int l_park(lua_State *L) {
  return task_await(L, yield_done, 0);
}

static int l_unpark(lua_State *L) {
  task_wake(checked(L, 1));
  return 0;
}

static int l_current(lua_State *L) {
  struct task *task = task_current(L);
  struct task **handle = lua_newuserdatauv(L, sizeof *handle, 0);
  *handle = task;
  task_retain(task);
  luaL_setmetatable(L, TASK_TYPE);
  return 1;
}

static int l_yield(lua_State *L) {
  task_yield(L);
  return lua_yieldk(L, 0, 0, yield_done);
}

static int timeout_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct alarm *alarm = alarm_at(L, (int)context);
  if (task_state(alarm->child) == TASK_DONE) return push_outcome(L, alarm->child);
  if (!alarm->rang) return task_await(L, timeout_done, context);
  lua_pushnil(L);
  lua_pushliteral(L, "timeout");
  return 2;
}

static int timeout(lua_State *L, struct timer_heap *timers) {
  uint64_t nanoseconds = check_seconds(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  int arguments = lua_gettop(L) - 2;
  struct alarm *alarm = open_alarm(L, nanoseconds, timers);
  /* The operation must lie below what the child takes: a slot to be closed cannot move, so
   * the function and its arguments are pushed again above it. */
  int slot = arguments + 3;
  luaL_checkstack(L, arguments + 1, "too many arguments");
  for (int i = 0; i <= arguments; i++) lua_pushvalue(L, 2 + i);
  alarm->child = task_spawn(L, arguments, alarm->sleeper);
  task_watch(alarm->child, &alarm->ending, task_wake, alarm->sleeper);
  return task_await(L, timeout_done, slot);
}

static int l_timeout(lua_State *L) {
  return timeout(L, worker_timers(worker_of(L)));
}

static int l_real_timeout(lua_State *L) {
  return timeout(L, worker_real_timers(worker_of(L)));
}

/* --- guard, budget, stats --- */

static const char guard_mark; /* tells our wrapped error from a table that was raised */

/* Wraps the error with its traceback, which is gone once the stack is unwound. */
static int guard_handler(lua_State *L) {
  lua_settop(L, 1);
  lua_createtable(L, 3, 0);
  lua_insert(L, 1);
  lua_rawseti(L, 1, 1);
  luaL_traceback(L, L, NULL, 1);
  lua_rawseti(L, 1, 2);
  lua_pushlightuserdata(L, (void *)&guard_mark);
  lua_rawseti(L, 1, 3);
  return 1;
}

static bool is_wrapped(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE) return false;
  lua_rawgeti(L, index, 3);
  bool wrapped = lua_touserdata(L, -1) == &guard_mark;
  lua_pop(L, 1);
  return wrapped;
}

static int push_guard_error(lua_State *L, int status) {
  struct task *task = task_current(L);
  const char *kind = stop_name(task);
  if (kind == NULL && status == LUA_ERRMEM) kind = "out_of_memory";
  if (kind != NULL) budget_renew(task);
  int error = lua_gettop(L);
  lua_pushboolean(L, 0);
  if (is_wrapped(L, error)) {
    lua_rawgeti(L, error, 1);
    lua_pushstring(L, kind);
    lua_rawgeti(L, error, 2);
  } else {
    lua_pushvalue(L, error);
    lua_pushstring(L, kind);
    lua_pushliteral(L, "(no traceback)");
  }
  return 4;
}

static int guard_done(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (status != LUA_OK && status != LUA_YIELD) return push_guard_error(L, status);
  lua_pushboolean(L, 1);
  lua_replace(L, 1);
  return lua_gettop(L);
}

static int l_guard(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  task_current(L);
  lua_pushcfunction(L, guard_handler);
  lua_insert(L, 1);
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, guard_done);
  return guard_done(L, status, 0);
}

static int l_budget(lua_State *L) {
  lua_Integer milliseconds = luaL_optinteger(L, 1, 0);
  const char *label = luaL_optstring(L, 2, NULL);
  luaL_argcheck(L, milliseconds >= 0 && milliseconds <= 3600000, 1, "0 to 3600000 ms");
  budget_limit(task_current(L), (uint64_t)milliseconds, label);
  return 0;
}

static int l_stats(lua_State *L) {
  struct worker_stats stats = worker_stats(worker_of(L));
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, (lua_Integer)stats.live_operations);
  lua_setfield(L, -2, "live_operations");
  lua_pushinteger(L, (lua_Integer)stats.tasks);
  lua_setfield(L, -2, "tasks");
  lua_pushinteger(L, (lua_Integer)stats.ready);
  lua_setfield(L, -2, "ready");
  lua_pushinteger(L, (lua_Integer)stats.memory_bytes);
  lua_setfield(L, -2, "memory_bytes");
  lua_pushinteger(L, (lua_Integer)stats.time_stops);
  lua_setfield(L, -2, "time_stops");
  lua_pushinteger(L, (lua_Integer)stats.memory_stops);
  lua_setfield(L, -2, "memory_stops");
  return 1;
}

static const luaL_Reg handle_methods[] = {
    {"join", handle_join},
    {"cancel", handle_cancel},
    {"status", handle_status},
    {NULL, NULL},
};

static const luaL_Reg handle_metamethods[] = {
    {"__gc", handle_gc},
    {"__close", handle_cancel},
    {NULL, NULL},
};

static const luaL_Reg module_functions[] = {
    {"park", l_park},   {"unpark", l_unpark},   {"current", l_current},
    {"spawn", l_spawn}, {"detach", l_detach},   {"sleep", l_sleep},
    {"yield", l_yield}, {"timeout", l_timeout}, {"real_timeout", l_real_timeout},
    {"guard", l_guard}, {"budget", l_budget},   {"stats", l_stats},
    {NULL, NULL},
};

int luaopen_tide_engine_task(lua_State *L) {
  luaL_newmetatable(L, TASK_TYPE);
  luaL_setfuncs(L, handle_metamethods, 0);
  luaL_newlib(L, handle_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, module_functions);
  return 1;
}
