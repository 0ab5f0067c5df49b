/* The tasks of one worker: who is ready, who runs, who may run next. Inside engine/. */
#ifndef TIDEGATE_ENGINE_SCHEDULER_H
#define TIDEGATE_ENGINE_SCHEDULER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULER_POOL_MAX 256
#define SCHEDULER_ROUNDS_MAX 8 /* before sockets and timers get their turn */

struct task;
struct worker;

/* A task is in at most one. */
struct ready_queue {
  struct task *first, *last;
  size_t count;
};

struct scheduler {
  struct ready_queue ready;     /* new, or woken */
  struct ready_queue preempted; /* interrupted by the hook */
  struct task *running;
  struct task *all_first; /* every task that has not ended */
  size_t count;
  struct task *pool; /* ended normally; their coroutines can be used again */
  size_t pool_count;
  int closing_depth;  /* closings of coroutines inside each other now */
  bool closed;        /* takes no new tasks */
  size_t memory_seen; /* what Lua held after the last collection that did not help */
  uint64_t time_stops, memory_stops;
};

/* One turn: the tasks that are ready, and those that they make ready, for a bounded number of
 * rounds; then one that was interrupted. So what waits for little does not wait for what
 * computes: a call passes through several tasks, and costs its neighbours' slice once. */
void scheduler_run_ready(struct worker *worker);
/* Whether a task could run now. */
size_t scheduler_ready_count(const struct scheduler *scheduler);
/* Takes a task out of its queue, or puts it at the end of one. */
void scheduler_unlink_ready(struct task *task);
void scheduler_link_ready(struct ready_queue *queue, struct task *task);
/* Refuses new tasks and cancels all. */
void scheduler_cancel_all(struct worker *worker);
/* Frees the pool; after lua_close. */
void scheduler_deinit(struct worker *worker);

#endif
