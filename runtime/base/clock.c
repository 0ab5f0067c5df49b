#include "base/clock.h"

#include <time.h>

uint64_t clock_real_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t clock_real_wall_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ns(const struct clock *clock) {
  return clock->frozen ? clock->frozen_monotonic_ns : clock_real_monotonic_ns();
}

int64_t clock_wall_ms(const struct clock *clock) {
  return clock->frozen ? clock->frozen_wall_ns / 1000000 : clock_real_wall_ms();
}

void clock_freeze(struct clock *clock) {
  if (clock->frozen) return;
  clock->frozen_monotonic_ns = clock_real_monotonic_ns();
  clock->frozen_wall_ns = clock_real_wall_ms() * 1000000;
  clock->frozen = true;
}

void clock_thaw(struct clock *clock) {
  clock->frozen = false;
}

void clock_advance(struct clock *clock, uint64_t nanoseconds) {
  clock->frozen_monotonic_ns += nanoseconds;
  clock->frozen_wall_ns += (int64_t)nanoseconds;
}
