#include "engine/virtual_time.h"

#include <poll.h>

#include "engine/worker_state.h"

/* A close or a write may need a turn to reach the kernel, its answer another to be read. */
#define QUIET_TURNS 4
#define SOCKET_WAIT_MS 1 /* for what the kernel has not delivered yet */

int worker_advance(struct worker *worker, uint64_t nanoseconds, struct task *until, wake_fn wake,
                   void *argument) {
  struct virtual_time *time = &worker->virtual_time;
  if (time->moving || !worker->clock.frozen) return -1;
  bool endless = nanoseconds == UINT64_MAX;
  uint64_t now = clock_monotonic_ns(&worker->clock);
  *time = (struct virtual_time){.moving = true,
                                .endless = endless,
                                .target_ns = endless ? UINT64_MAX : now + nanoseconds,
                                .until = until,
                                .wake = wake,
                                .argument = argument};
  if (until != NULL) task_retain(until);
  worker_stay_awake(worker);
  return 0;
}

static void finish(struct worker *worker) {
  struct virtual_time time = worker->virtual_time;
  worker->virtual_time.moving = false;
  if (time.until != NULL) task_release(time.until);
  time.wake(time.argument);
}

bool worker_is_advancing(const struct worker *worker, const void *argument) {
  return worker->virtual_time.moving && worker->virtual_time.argument == argument;
}

void worker_advance_cancel(struct worker *worker, const void *argument) {
  struct virtual_time *time = &worker->virtual_time;
  if (!worker_is_advancing(worker, argument)) return;
  time->moving = false;
  if (time->until != NULL) task_release(time->until);
}

/* Something may still happen by itself: tasks, other threads, or bytes on their way. */
static bool is_busy(struct worker *worker) {
  if (scheduler_ready_count(&worker->scheduler) > 0 || worker->external > 0) return true;
  struct pollfd events = {.fd = uv_backend_fd(&worker->loop), .events = POLLIN};
  /* The advance itself is one live operation; sockets can only belong to others. */
  return poll(&events, 1, worker->live_operations > 1 ? SOCKET_WAIT_MS : 0) > 0;
}

static void move_on(struct worker *worker) {
  struct virtual_time *time = &worker->virtual_time;
  uint64_t now = clock_monotonic_ns(&worker->clock);
  uint64_t due;
  bool any = timer_heap_next(&worker->timers, &due);
  if (!any || due > time->target_ns) {
    if (!time->endless && time->target_ns > now)
      clock_advance(&worker->clock, time->target_ns - now);
    finish(worker);
    return;
  }
  if (due > now) clock_advance(&worker->clock, due - now);
  timer_heap_run(&worker->timers, due);
}

void virtual_time_turn(struct worker *worker) {
  struct virtual_time *time = &worker->virtual_time;
  if (!time->moving) return;
  if (time->until != NULL && task_state(time->until) == TASK_DONE) {
    finish(worker);
    return;
  }
  time->quiet_turns = is_busy(worker) ? 0 : time->quiet_turns + 1;
  if (time->quiet_turns < QUIET_TURNS) return;
  time->quiet_turns = 0;
  move_on(worker);
}
