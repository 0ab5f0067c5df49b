/* A loop and a timer heap on real time, as a worker has them. For specs and benchmarks. */
#ifndef TIDEGATE_SPEC_TIMER_LOOP_H
#define TIDEGATE_SPEC_TIMER_LOOP_H

#include <stdbool.h>
#include <uv.h>

#include "base/timer.h"

struct timer_loop {
  uv_loop_t loop;
  uv_timer_t driver;
  uv_timer_t guard;
  bool guard_is_over;
  struct timer_heap timers;
};

void timer_loop_init(struct timer_loop *timer_loop);
/* Runs the close callbacks; aborts when handles are left open. */
void timer_loop_deinit(struct timer_loop *timer_loop);
/* Runs until `is_met(argument)` or, at the latest, for `milliseconds`; whether it was met. */
bool timer_loop_run_until(struct timer_loop *timer_loop, bool (*is_met)(void *), void *argument,
                          unsigned milliseconds);

#endif
