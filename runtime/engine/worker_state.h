/* What is inside a worker: for the files of engine/ alone. */
#ifndef TIDEGATE_ENGINE_WORKER_STATE_H
#define TIDEGATE_ENGINE_WORKER_STATE_H

#include <pthread.h>

#include "base/err.h"
#include "engine/allocator.h"
#include "engine/mailbox.h"
#include "engine/scheduler.h"
#include "engine/virtual_time.h"
#include "engine/watchdog.h"
#include "engine/worker.h"

#define WORKER_SERVICES_MAX 32

struct worker_service {
  void *service;
  void (*stop)(void *service);
};

struct worker {
  struct app *app;
  int index;
  lua_State *L;
  uv_loop_t loop;
  uv_timer_t timer;     /* the one timer that drives both heaps */
  uv_prepare_t prepare; /* arms `timer` */
  uv_idle_t idle;       /* active while tasks are ready: keeps the poll from waiting */
  uv_check_t check;     /* runs the ready tasks, after the poll */
  uint64_t armed_ns;    /* what `timer` is armed for; 0: nothing */
  bool timers_changed;
  struct timer_heap timers;      /* on `clock` */
  struct timer_heap real_timers; /* on the real one */
  bool has_small_heap;           /* how the collector is set */
  struct clock clock;
  struct allocator allocator;
  struct mailbox mailbox;
  struct scheduler scheduler;
  struct watchdog_cell watchdog;
  struct virtual_time virtual_time;
  struct worker_service services[WORKER_SERVICES_MAX];
  size_t service_count;
  size_t live_operations;
  size_t external;
  size_t memory_limit;
};

/* Opens everything on the calling thread; -1 leaves nothing behind. `open_libraries` runs
 * inside the new state, protected. */
int worker_open(struct worker *worker, struct app *app, int index, struct watchdog *watchdog,
                lua_CFunction open_libraries, struct err *err);
/* Runs the loop until worker_stop. */
void worker_run(struct worker *worker);
/* Makes worker_run return; the worker's thread. */
void worker_stop(struct worker *worker);
/* Cancels the tasks, closes the state, stops the services, runs the loop dry. */
void worker_close(struct worker *worker);
/* Keeps the loop from waiting in its poll while there is something to do. */
void worker_stay_awake(struct worker *worker);

#endif
