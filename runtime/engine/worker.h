/* A worker: one thread, one loop, one lua_State and all that it owns.
 *
 * Worker 0 runs on the main thread (command line, prompt, coordination), the others serve.
 * Everything here belongs to the worker's thread, but for worker_post. */
#ifndef TIDEGATE_ENGINE_WORKER_H
#define TIDEGATE_ENGINE_WORKER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/timer.h"
#include "base/wake.h"
#include "engine/mailbox.h"
#include "engine/task.h"

#define WORKER_TASKS_MAX 65536
#define WORKER_TASK_DEPTH_MAX 64 /* children of children */

struct app;

/* The worker that owns this state or coroutine; cannot fail. */
struct worker *worker_of(lua_State *L);
int worker_index(const struct worker *worker);
struct app *worker_app(const struct worker *worker);
lua_State *worker_state(const struct worker *worker);
uv_loop_t *worker_loop(struct worker *worker);
struct clock *worker_clock(struct worker *worker);
/* The monotonic time as of this turn of the loop: behind by as long as the turn has taken, and
 * free of a system call. For what may be late, never for a promise. */
uint64_t worker_cached_ns(struct worker *worker);
/* Stops its clock at the present, and lets it go again (specs). */
void worker_freeze_clock(struct worker *worker);
void worker_thaw_clock(struct worker *worker);
struct timer_heap *worker_timers(struct worker *worker);
/* Timers that stay on the real clock when the worker's is frozen: for what the outside world
 * waits for (idle connections, the limit of a test). */
struct timer_heap *worker_real_timers(struct worker *worker);

/* Runs `function(argument)` on the worker's thread, later. Any thread may call. -1 when the
 * worker is gone or its mailbox full: it will not be called. */
int worker_post(struct worker *worker, void (*function)(void *), void *argument);
/* The same with the sender's memory, which stays until the function is called; -1 only when the
 * worker is gone. */
int worker_post_letter(struct worker *worker, struct mailbox_letter *letter,
                       void (*function)(void *), void *argument);

/* Hands a library object to the worker: `stop(service)` is called once at the end, in
 * reverse order, after the state was closed; it closes the object's uv handles (the loop
 * runs on until all are closed) and may free the object from their close callbacks. It must
 * not touch Lua. -1 when WORKER_SERVICES_MAX are there. */
int worker_attach(struct worker *worker, void *service, void (*stop)(void *service));

/* Operations that a script waits for (see bind/operation.h): counted, so that specs can see
 * what was left open. */
void worker_operation_begin(struct worker *worker);
void worker_operation_end(struct worker *worker);
/* Work on another thread or machine that ends by itself: while there is some, a frozen
 * clock does not move on. */
void worker_external_begin(struct worker *worker);
void worker_external_end(struct worker *worker);

struct worker_stats {
  size_t live_operations;
  size_t tasks;
  size_t ready;
  size_t memory_bytes;   /* what Lua holds */
  uint64_t time_stops;   /* scripts stopped for CPU time */
  uint64_t memory_stops; /* … for memory */
};
struct worker_stats worker_stats(const struct worker *worker);

/* The most memory that the scripts of this worker may hold; 0: no limit. */
void worker_set_memory_limit(struct worker *worker, size_t bytes);

/* Moves the worker's frozen clock on by `nanoseconds`, firing timers in order, and letting
 * tasks and sockets come to rest in between; stops early when `until` (may be NULL) has
 * ended. Then calls wake(argument). One at a time: -1 while another is under way. With
 * UINT64_MAX it moves as far as the timers lead, and ends when none is left. */
int worker_advance(struct worker *worker, uint64_t nanoseconds, struct task *until, wake_fn wake,
                   void *argument);
/* Whether the advance that was given `argument` is still under way. */
bool worker_is_advancing(const struct worker *worker, const void *argument);
/* Leaves the clock where it is; wake is not called. No effect when that advance has ended. */
void worker_advance_cancel(struct worker *worker, const void *argument);

#endif
