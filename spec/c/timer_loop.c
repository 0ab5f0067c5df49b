#include "timer_loop.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static uint64_t now(void *context) {
  (void)context;
  return clock_real_monotonic_ns();
}

static void on_driver(uv_timer_t *driver) {
  struct timer_loop *timer_loop = driver->data;
  timer_heap_run(&timer_loop->timers, clock_real_monotonic_ns());
}

static void arm(void *context) {
  struct timer_loop *timer_loop = context;
  uint64_t due;
  if (!timer_heap_next(&timer_loop->timers, &due)) {
    uv_timer_stop(&timer_loop->driver);
    return;
  }
  uint64_t present = clock_real_monotonic_ns();
  uint64_t left = due > present ? due - present : 0;
  uv_update_time(&timer_loop->loop);
  uv_timer_start(&timer_loop->driver, on_driver, (left + 999999) / 1000000 + 1, 0);
}

static void on_guard(uv_timer_t *guard) {
  struct timer_loop *timer_loop = guard->data;
  timer_loop->guard_is_over = true;
}

void timer_loop_init(struct timer_loop *timer_loop) {
  uv_loop_init(&timer_loop->loop);
  uv_timer_init(&timer_loop->loop, &timer_loop->driver);
  uv_timer_init(&timer_loop->loop, &timer_loop->guard);
  timer_loop->driver.data = timer_loop->guard.data = timer_loop;
  timer_heap_init(&timer_loop->timers, now, arm, timer_loop);
}

void timer_loop_deinit(struct timer_loop *timer_loop) {
  uv_close((uv_handle_t *)&timer_loop->driver, NULL);
  uv_close((uv_handle_t *)&timer_loop->guard, NULL);
  uv_run(&timer_loop->loop, UV_RUN_DEFAULT);
  timer_heap_deinit(&timer_loop->timers);
  if (uv_loop_close(&timer_loop->loop) == 0) return;
  fprintf(stderr, "timer_loop: handles were left open\n");
  uv_print_all_handles(&timer_loop->loop, stderr);
  abort();
}

bool timer_loop_run_until(struct timer_loop *timer_loop, bool (*is_met)(void *), void *argument,
                          unsigned milliseconds) {
  timer_loop->guard_is_over = false;
  uv_update_time(&timer_loop->loop);
  uv_timer_start(&timer_loop->guard, on_guard, milliseconds, 0);
  while (!is_met(argument) && !timer_loop->guard_is_over) uv_run(&timer_loop->loop, UV_RUN_ONCE);
  uv_timer_stop(&timer_loop->guard);
  return is_met(argument);
}
