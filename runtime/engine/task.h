/* A task: a coroutine and a struct. The only place that calls lua_resume.
 *
 * One per inbound request, webhook event, job, console line, and per branch that a script
 * starts. All of it belongs to one worker's thread. Completion callbacks of libraries call
 * task_wake, which only queues; the worker resumes the task later, and the continuation
 * builds the Lua values inside the coroutine, where an error is caught.
 *
 * A primitive that waits is written so (see docs/architecture.md, "Anatomy of a primitive"):
 *
 *     static int l_get_done(lua_State *L, int status, lua_KContext context) {
 *       struct operation *operation = operation_check(L, (int)context);
 *       struct thing *thing = operation->pointer;
 *       if (!thing_done(thing)) return task_await(L, l_get_done, context);
 *       push the result; return count;
 *     }
 *     static int l_get(lua_State *L) {
 *       lua_settop(L, 1); check arguments (may raise: nothing is held yet);
 *       struct operation *operation = operation_open(L, thing_close);    // index 2, closed
 *       operation->pointer = thing_start(…, task_wake, task_current(L));
 *       if (operation->pointer == NULL) return bind_fail(L, &err);
 *       return task_await(L, l_get_done, 2);
 *     }
 */
#ifndef TIDEGATE_ENGINE_TASK_H
#define TIDEGATE_ENGINE_TASK_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/waiter.h"
#include "base/wake.h"

struct task;
struct worker;

enum task_state { TASK_READY, TASK_RUNNING, TASK_WAITING, TASK_DONE };

enum task_outcome {
  TASK_RETURNED,  /* results are on its stack */
  TASK_RAISED,    /* the error value is on its stack */
  TASK_CANCELLED, /* nothing is on its stack */
};

/* Starts a task from outside any coroutine (a library's callback). `body` runs inside the
 * new coroutine with `argument` as light userdata at index 1; it may raise and await. NULL
 * when memory ran out, the worker holds WORKER_TASKS_MAX tasks or is closing. The task belongs
 * to the worker, which frees it after its end. */
struct task *task_start(struct worker *worker, lua_CFunction body, void *argument);

/* Starts a task from Lua: pops `argument_count` values and the function below them from
 * `from`. A child is cancelled when `parent` ends; NULL makes it a task of its own. The
 * caller holds a reference (task_release). Raises in `from` when memory ran out or the
 * worker is full or closing. */
struct task *task_spawn(lua_State *from, int argument_count, struct task *parent);

/* The task that runs on `L`; raises when L is a coroutine that a script made itself. */
struct task *task_current(lua_State *L);

/* Ends a binding: suspends the running task until task_wake, then calls `continuation`.
 * When the wake has already come, continues at once. Wakes may be spurious: the
 * continuation checks its operation and awaits again. Raises where Lua cannot yield. */
int task_await(lua_State *L, lua_KFunction continuation, lua_KContext context);

/* Before lua_yieldk: the task goes to the end of the ready queue instead of waiting. */
void task_yield(lua_State *L);

/* The wake_fn of tasks. Same thread as the task's worker. One that comes while the task runs,
 * or before it has run on, is kept for its next await. */
void task_wake(void *task);

/* Closes the coroutine: pending operations and `<close>` variables are closed. No effect on
 * a task that has ended; one that is running is cancelled when it next suspends, one that is
 * reached through many closings inside each other in a later turn of the loop. */
void task_cancel(struct task *task);

/* Another party that will look at the outcome; the stack of a task that has ended is kept
 * until the last reference is released. */
void task_retain(struct task *task);
void task_release(struct task *task);

enum task_state task_state(const struct task *task);
enum task_outcome task_outcome(const struct task *task);
/* The coroutine, for moving results off it once the task is done. */
lua_State *task_stack(const struct task *task);
struct worker *task_worker(const struct task *task);

/* Called (once) when the task ends, before its stack can go. For who started the task from C:
 * there is one. */
void task_on_end(struct task *task, wake_fn watcher, void *argument);
/* The same for any number of others. `waiter` is the caller's, who removes it (waiter_remove)
 * when it stops waiting. */
void task_watch(struct task *task, struct waiter *waiter, wake_fn wake, void *argument);

#endif
