#include "engine/scheduler.h"

#include "engine/task_state.h"
#include "engine/worker_state.h"

/* Past this share of the ceiling, after a full collection, the task that grew most goes. */
#define MEMORY_HIGH_NUMERATOR 3
#define MEMORY_HIGH_DENOMINATOR 4

/* After a collection that did not help, only growth by this part of the ceiling asks for another:
 * else each resume would pay for one. */
#define MEMORY_GROWTH_DIVISOR 16

void scheduler_link_ready(struct ready_queue *queue, struct task *task) {
  task->queue = queue;
  task->ready_previous = queue->last;
  task->ready_next = NULL;
  if (queue->last != NULL) queue->last->ready_next = task;
  if (queue->first == NULL) queue->first = task;
  queue->last = task;
  queue->count++;
}

void scheduler_unlink_ready(struct task *task) {
  struct ready_queue *queue = task->queue;
  if (task->ready_previous != NULL) task->ready_previous->ready_next = task->ready_next;
  if (task->ready_next != NULL) task->ready_next->ready_previous = task->ready_previous;
  if (queue->first == task) queue->first = task->ready_next;
  if (queue->last == task) queue->last = task->ready_previous;
  task->ready_previous = task->ready_next = NULL;
  task->queue = NULL;
  queue->count--;
}

size_t scheduler_ready_count(const struct scheduler *scheduler) {
  return scheduler->ready.count + scheduler->preempted.count;
}

static struct task *largest(struct scheduler *scheduler) {
  struct task *found = NULL;
  for (struct task *task = scheduler->all_first; task != NULL; task = task->all_next) {
    if (task->budget.limit_ns == 0) continue; /* the framework's own */
    if (found == NULL || task->budget.memory_charge > found->budget.memory_charge) found = task;
  }
  return found;
}

static void cancel_largest(struct worker *worker) {
  struct task *task = largest(&worker->scheduler);
  if (task == NULL) return;
  worker->scheduler.memory_stops++;
  task_cancel(task);
  lua_gc(worker->L, LUA_GCCOLLECT);
}

static bool is_memory_high(const struct worker *worker) {
  return worker->memory_limit != 0 && worker->allocator.used / MEMORY_HIGH_NUMERATOR >
                                          worker->memory_limit / MEMORY_HIGH_DENOMINATOR;
}

static void relieve_memory(struct worker *worker) {
  struct scheduler *scheduler = &worker->scheduler;
  if (!is_memory_high(worker)) {
    scheduler->memory_seen = 0;
    return;
  }
  size_t growth = worker->memory_limit / MEMORY_GROWTH_DIVISOR;
  if (scheduler->memory_seen != 0 && worker->allocator.used < scheduler->memory_seen + growth)
    return;
  lua_gc(worker->L, LUA_GCCOLLECT);
  if (is_memory_high(worker)) cancel_largest(worker);
  if (is_memory_high(worker)) scheduler->memory_seen = worker->allocator.used;
}

/* Those that are in the queue now, at most `most`. */
static void run_queue(struct worker *worker, struct ready_queue *queue, size_t most) {
  for (size_t left = most; left > 0 && queue->first != NULL; left--) {
    struct task *task = queue->first;
    scheduler_unlink_ready(task);
    task_resume(task);
    relieve_memory(worker);
  }
}

void scheduler_run_ready(struct worker *worker) {
  struct scheduler *scheduler = &worker->scheduler;
  for (int round = 0; round < SCHEDULER_ROUNDS_MAX && scheduler->ready.count > 0; round++)
    run_queue(worker, &scheduler->ready, scheduler->ready.count);
  run_queue(worker, &scheduler->preempted, 1);
}

void scheduler_cancel_all(struct worker *worker) {
  struct scheduler *scheduler = &worker->scheduler;
  scheduler->closed = true;
  while (scheduler->all_first != NULL) task_cancel(scheduler->all_first);
}

void scheduler_deinit(struct worker *worker) {
  struct scheduler *scheduler = &worker->scheduler;
  while (scheduler->pool != NULL) {
    struct task *task = scheduler->pool;
    scheduler->pool = task->ready_next;
    task_free(task);
  }
  scheduler->pool_count = 0;
}
