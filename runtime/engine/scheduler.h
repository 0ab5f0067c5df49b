/* The tasks of one worker: who is ready, who runs, who may run next. Inside engine/. */
#ifndef TIDEGATE_ENGINE_SCHEDULER_H
#define TIDEGATE_ENGINE_SCHEDULER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULER_POOL_MAX 256

struct task;
struct worker;

struct scheduler {
  struct task *ready_first, *ready_last;
  size_t ready_count;
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

/* Resumes each task that is ready now, once; those that become ready meanwhile wait for the
 * next turn of the loop. */
void scheduler_run_ready(struct worker *worker);
/* Takes out of the ready queue; the task is in it. */
void scheduler_unlink_ready(struct scheduler *scheduler, struct task *task);
/* Refuses new tasks and cancels all. */
void scheduler_cancel_all(struct worker *worker);
/* Frees the pool; after lua_close. */
void scheduler_deinit(struct worker *worker);

#endif
