#include "engine/task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "engine/task_state.h"
#include "engine/thread_sanitizer.h"
#include "engine/worker_state.h"

#define CLOSING_DEPTH_MAX 16

#if THREAD_SANITIZER
#include <setjmp.h>

/* Lua as packaged leaves by the checked longjmp. The sanitizer sees longjmp alone, and would take
 * the functions that were left for running ones until its own stack overflows. */
void __longjmp_chk(struct __jmp_buf_tag environment[1], int value) __attribute__((noreturn));
void __longjmp_chk(struct __jmp_buf_tag environment[1], int value) {
  longjmp(environment, value);
}
#endif

/* --- the coroutine's base function --- */

/* Every task runs under one protected call, so that the hook's error never leaves the
 * coroutine by itself: closing it would then run `<close>` variables without a hook. */
static int task_main_done(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
  worker_of(L)->scheduler.running->raised = true;
  return 1;
}

static int task_main(lua_State *L) {
  int status = lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, task_main_done);
  return task_main_done(L, status, 0);
}

/* --- making and freeing --- */

static int make_coroutine(lua_State *L) {
  struct task *task = lua_touserdata(L, 1);
  task->co = lua_newthread(L);
  task->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* Made from the main state, as a new thread inherits its maker's hook. */
static struct task *make_task(struct worker *worker) {
  struct task *task = calloc(1, sizeof *task);
  if (task == NULL) return NULL;
  lua_State *L = worker->L;
  lua_pushcfunction(L, make_coroutine);
  lua_pushlightuserdata(L, task);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return task;
  lua_pop(L, 1);
  free(task);
  return NULL;
}

static struct task *take_task(struct worker *worker) {
  struct scheduler *scheduler = &worker->scheduler;
  if (scheduler->closed || scheduler->count >= WORKER_TASKS_MAX) return NULL;
  struct task *task = scheduler->pool;
  if (task == NULL) return make_task(worker);
  scheduler->pool = task->ready_next;
  scheduler->pool_count--;
  lua_State *co = task->co;
  int anchor = task->anchor;
  memset(task, 0, sizeof *task);
  task->co = co;
  task->anchor = anchor;
  return task;
}

void task_free(struct task *task) {
  struct worker *worker = task->worker;
  if (worker->L != NULL) luaL_unref(worker->L, LUA_REGISTRYINDEX, task->anchor);
  free(task);
}

/* A coroutine that ended by an error or was closed half-way is dropped, not used again. */
static void recycle(struct task *task) {
  struct scheduler *scheduler = &task->worker->scheduler;
  if (!task->reusable || scheduler->pool_count >= SCHEDULER_POOL_MAX) {
    task_free(task);
    return;
  }
  lua_settop(task->co, 0);
  task->ready_next = scheduler->pool;
  scheduler->pool = task;
  scheduler->pool_count++;
}

static void enlist(struct worker *worker, struct task *task) {
  struct scheduler *scheduler = &worker->scheduler;
  task->worker = worker;
  task->references = 1;
  task->all_next = scheduler->all_first;
  if (scheduler->all_first != NULL) scheduler->all_first->all_previous = task;
  scheduler->all_first = task;
  scheduler->count++;
}

static void delist(struct task *task) {
  struct scheduler *scheduler = &task->worker->scheduler;
  if (task->all_previous != NULL) task->all_previous->all_next = task->all_next;
  if (task->all_next != NULL) task->all_next->all_previous = task->all_previous;
  if (scheduler->all_first == task) scheduler->all_first = task->all_next;
  scheduler->count--;
}

static void adopt(struct task *parent, struct task *task) {
  task->parent = parent;
  task->depth = parent->depth + 1;
  task->budget.limit_ns = parent->budget.limit_ns;
  memcpy(task->budget.label, parent->budget.label, sizeof task->budget.label);
  task->next_sibling = parent->first_child;
  if (parent->first_child != NULL) parent->first_child->previous_sibling = task;
  parent->first_child = task;
}

static void leave_parent(struct task *task) {
  if (task->parent == NULL) return;
  if (task->previous_sibling != NULL) task->previous_sibling->next_sibling = task->next_sibling;
  if (task->next_sibling != NULL) task->next_sibling->previous_sibling = task->previous_sibling;
  if (task->parent->first_child == task) task->parent->first_child = task->next_sibling;
  task->parent = task->previous_sibling = task->next_sibling = NULL;
}

struct task *task_start(struct worker *worker, lua_CFunction body, void *argument) {
  struct task *task = take_task(worker);
  if (task == NULL) return NULL;
  enlist(worker, task);
  lua_pushcfunction(task->co, task_main);
  lua_pushcfunction(task->co, body);
  lua_pushlightuserdata(task->co, argument);
  task->arguments = 2;
  task_make_ready(task);
  return task;
}

struct task *task_spawn(lua_State *from, int argument_count, struct task *parent) {
  struct worker *worker = worker_of(from);
  if (parent != NULL && parent->depth >= WORKER_TASK_DEPTH_MAX)
    luaL_error(from, "tasks are nested more than %d deep", WORKER_TASK_DEPTH_MAX);
  struct task *task = take_task(worker);
  if (task == NULL)
    luaL_error(from, "no memory for another task, %d tasks are there, or the worker is closing",
               WORKER_TASKS_MAX);
  if (!lua_checkstack(task->co, argument_count + LUA_MINSTACK)) {
    task->worker = worker;
    task_free(task);
    luaL_error(from, "no memory, or too many arguments for a task");
  }
  enlist(worker, task);
  if (parent != NULL) adopt(parent, task);
  lua_pushcfunction(task->co, task_main);
  lua_xmove(from, task->co, argument_count + 1);
  task->arguments = argument_count + 1;
  task->references++;
  task_make_ready(task);
  return task;
}

void task_retain(struct task *task) {
  task->references++;
}

void task_release(struct task *task) {
  if (--task->references == 0) recycle(task);
}

/* --- running --- */

static void make_ready(struct task *task, struct ready_queue *queue) {
  task->state = TASK_READY;
  scheduler_link_ready(queue, task);
  worker_stay_awake(task->worker);
}

void task_make_ready(struct task *task) {
  make_ready(task, &task->worker->scheduler.ready);
}

static void finish(struct task *task, enum task_outcome outcome) {
  task->state = TASK_DONE;
  task->outcome = outcome;
  delist(task);
  leave_parent(task);
  while (task->first_child != NULL) {
    struct task *child = task->first_child;
    leave_parent(child);
    task_cancel(child);
  }
  if (task->watcher != NULL) task->watcher(task->watcher_argument);
  waiter_list_wake(&task->watchers);
  task_release(task);
}

/* The scripts' `<close>` variables run here, for at most BUDGET_CLOSE_NS. Leaves the error
 * value, if the coroutine had ended by one, and nothing else on its stack. */
static void close_coroutine(struct task *task) {
  struct scheduler *scheduler = &task->worker->scheduler;
  struct task *interrupted = scheduler->running;
  scheduler->closing_depth++;
  scheduler->running = task;
  budget_enter_close(task, interrupted);
  lua_resetthread(task->co);
  budget_leave_close(task, interrupted);
  scheduler->running = interrupted;
  scheduler->closing_depth--;
}

/* Each closing inside another takes C stack, which Lua does not count over coroutines. */
static bool is_too_deep(const struct task *task) {
  return task->worker->scheduler.closing_depth >= CLOSING_DEPTH_MAX;
}

void task_cancel(struct task *task) {
  if (task->state == TASK_DONE) return;
  if (task->state == TASK_RUNNING || is_too_deep(task)) {
    task->cancel_requested = true;
    if (task->state == TASK_WAITING) task_make_ready(task);
    return;
  }
  if (task->state == TASK_READY) scheduler_unlink_ready(task);
  task->state = TASK_RUNNING; /* what closing does may not wake or cancel it again */
  close_coroutine(task);
  lua_settop(task->co, 0);
  finish(task, TASK_CANCELLED);
}

static void cancel_suspended(struct task *task) {
  task->state = TASK_WAITING;
  task_cancel(task);
}

/* A task that the hook preempted is in no await: a wake that has come, or comes before it runs
 * on, is for its next one. */
static void suspended(struct task *task) {
  if (task->cancel_requested) {
    cancel_suspended(task);
    return;
  }
  if (task->preempted) {
    task->preempted = false;
    make_ready(task, &task->worker->scheduler.preempted);
    return;
  }
  bool again = task->woken;
  budget_rest(&task->budget);
  task->woken = false;
  task->state = TASK_WAITING;
  if (again) task_make_ready(task);
}

/* An error that task_main did not catch: there was no memory even for that. */
static void ended(struct task *task, int status) {
  if (status != LUA_OK) {
    close_coroutine(task);
    finish(task, TASK_RAISED);
    return;
  }
  task->reusable = true;
  finish(task, task->raised ? TASK_RAISED : TASK_RETURNED);
}

void task_resume(struct task *task) {
  struct worker *worker = task->worker;
  if (task->cancel_requested) {
    cancel_suspended(task);
    return;
  }
  size_t before = worker->allocator.used;
  int arguments = task->arguments;
  int results = 0;
  task->arguments = 0;
  task->state = TASK_RUNNING;
  worker->scheduler.running = task;
  budget_enter(task);
  int status = lua_resume(task->co, worker->L, arguments, &results);
  budget_leave(task);
  worker->scheduler.running = NULL;
  task->budget.memory_charge += (int64_t)worker->allocator.used - (int64_t)before;
  if (status == LUA_YIELD) {
    lua_pop(task->co, results);
    suspended(task);
  } else {
    ended(task, status);
  }
}

/* --- awaiting --- */

struct task *task_current(lua_State *L) {
  struct task *task = worker_of(L)->scheduler.running;
  if (task == NULL || task->co != L)
    luaL_error(L, "this waits, and cannot be called from a coroutine or a callback of Lua's own");
  return task;
}

int task_await(lua_State *L, lua_KFunction continuation, lua_KContext context) {
  struct task *task = task_current(L);
  if (task->woken) {
    task->woken = false;
    return continuation(L, LUA_YIELD, context);
  }
  if (!lua_isyieldable(L))
    return luaL_error(L, "this waits, and cannot be called inside table.sort, string.gsub, a "
                         "metamethod of C, or while a module is loaded");
  return lua_yieldk(L, 0, context, continuation);
}

void task_yield(lua_State *L) {
  task_current(L)->woken = true;
}

void task_wake(void *argument) {
  struct task *task = argument;
  if (task->state == TASK_WAITING)
    task_make_ready(task);
  else
    task->woken = true;
}

enum task_state task_state(const struct task *task) {
  return task->state;
}
enum task_outcome task_outcome(const struct task *task) {
  return task->outcome;
}
lua_State *task_stack(const struct task *task) {
  return task->co;
}
struct worker *task_worker(const struct task *task) {
  return task->worker;
}

void task_on_end(struct task *task, wake_fn watcher, void *argument) {
  task->watcher = watcher;
  task->watcher_argument = argument;
}

void task_watch(struct task *task, struct waiter *waiter, wake_fn wake, void *argument) {
  waiter_add(&task->watchers, waiter, wake, argument);
}
