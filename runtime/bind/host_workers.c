#include "bind/host_workers.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/waiter.h"
#include "bind/operation.h"
#include "engine/app.h"
#include "engine/task.h"
#include "engine/worker.h"

#define STOP_KEY "tidegate.worker_stop"
#define PLAN_ARGUMENTS_MAX 16
#define PLAN_KEY "tidegate.worker_plan"

/* What each worker runs: text that lives as long as the main state (anchored there), which
 * outlives the workers. */
struct plan {
  const char *module;
  const char *entry;
  const char *arguments[PLAN_ARGUMENTS_MAX];
  int argument_count;
};

/* --- on the worker --- */

/* The entry may return the function to run at the stop. */
static int worker_started(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  lua_setfield(L, LUA_REGISTRYINDEX, STOP_KEY);
  return 0;
}

static int worker_body(lua_State *L) {
  const struct plan *plan = lua_touserdata(L, 1);
  lua_settop(L, 0);
  luaL_checkstack(L, PLAN_ARGUMENTS_MAX + LUA_MINSTACK, NULL);
  lua_getglobal(L, "require");
  lua_pushstring(L, plan->module);
  lua_call(L, 1, 1);
  lua_getfield(L, 1, plan->entry);
  for (int i = 0; i < plan->argument_count; i++) lua_pushstring(L, plan->arguments[i]);
  lua_callk(L, plan->argument_count, 1, 0, worker_started);
  return worker_started(L, LUA_OK, 0);
}

static int stop_body_done(lua_State *L, int status, lua_KContext context) {
  (void)L;
  (void)status;
  (void)context;
  return 0;
}

static int stop_body(lua_State *L) {
  lua_settop(L, 0);
  if (lua_getfield(L, LUA_REGISTRYINDEX, STOP_KEY) != LUA_TFUNCTION) return 0;
  lua_callk(L, 0, 0, 0, stop_body_done);
  return 0;
}

/* --- on the main worker --- */

static const struct plan *check_plan(lua_State *L) {
  int arguments = lua_gettop(L) - 3;
  luaL_argcheck(L, arguments <= PLAN_ARGUMENTS_MAX, 4, "too many arguments");
  struct plan *plan = lua_newuserdatauv(L, sizeof *plan, 1);
  plan->module = luaL_checkstring(L, 2);
  plan->entry = luaL_checkstring(L, 3);
  plan->argument_count = arguments > 0 ? arguments : 0;
  lua_newtable(L); /* holds the texts */
  for (int i = 2; i <= 3 + plan->argument_count; i++) {
    luaL_checkstring(L, i);
    lua_pushvalue(L, i);
    lua_seti(L, -2, i);
    if (i >= 4) plan->arguments[i - 4] = lua_tostring(L, i);
  }
  lua_setiuservalue(L, -2, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, PLAN_KEY);
  return plan;
}

static struct app *check_main(lua_State *L) {
  struct worker *worker = worker_of(L);
  if (worker_index(worker) != 0) luaL_error(L, "only the main worker starts and stops workers");
  return worker_app(worker);
}

static void close_waiter(void *waiter) {
  waiter_remove(waiter);
  free(waiter);
}

/* In an operation, so that nobody wakes the task when it no longer waits; its slot is the top. */
static struct waiter *open_waiter(lua_State *L) {
  struct operation *operation = operation_open(L, close_waiter);
  struct waiter *waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) luaL_error(L, "no memory to wait");
  operation_hold(L, operation, waiter);
  return waiter;
}

static int start_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct app *app = worker_app(worker_of(L));
  if (app_workers_starting(app) > 0) return task_await(L, start_done, context);
  const char *error = app_start_error(app);
  if (error == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, error);
  return 2;
}

static int l_start_workers(lua_State *L) {
  struct err err;
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 1 && count <= APP_WORKERS_MAX, 1, "1 to 256 workers");
  struct app *app = check_main(L);
  struct task *task = task_current(L);
  /* Before the plan is made, as the running workers may still read the one that is there. */
  if (app_has_started_workers(app)) return luaL_error(L, "the workers were started already");
  const struct plan *plan = check_plan(L);
  struct waiter *waiter = open_waiter(L);
  if (app_start_workers(app, (int)count, worker_body, (void *)plan, &err) != 0)
    return bind_fail(L, &err);
  app_wait_started(app, waiter, task_wake, task);
  return task_await(L, start_done, 0);
}

static int stop_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  struct app *app = worker_app(worker_of(L));
  if (app_workers_running(app) > 0) return task_await(L, stop_done, context);
  return 0;
}

static int l_stop_workers(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds <= 86400, 1, "0 to 86400 seconds");
  lua_settop(L, 1);
  struct app *app = check_main(L);
  struct task *task = task_current(L);
  app_wait_stopped(app, open_waiter(L), task_wake, task);
  app_stop_workers(app, stop_body, seconds);
  return stop_done(L, LUA_OK, 0);
}

static int l_processors(lua_State *L) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  lua_pushinteger(L, count > 0 ? count : 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"start_workers", l_start_workers},
    {"stop_workers", l_stop_workers},
    {"processors", l_processors},
    {NULL, NULL},
};

void host_workers_register(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
