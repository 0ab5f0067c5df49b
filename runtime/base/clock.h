/* Time. Real by default; a `struct clock` can be frozen and moved on by specs.
 *
 * Monotonic time is for deadlines and durations, wall time for what is shown or stored.
 * A clock belongs to one worker's thread. */
#ifndef TIDEGATE_BASE_CLOCK_H
#define TIDEGATE_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock {
  bool frozen;
  uint64_t frozen_monotonic_ns; /* what clock_monotonic_ns returns while frozen */
  int64_t frozen_wall_ns;       /* what clock_wall_ms is taken from while frozen */
};

/* The real clocks; cannot fail. */
uint64_t clock_real_monotonic_ns(void);
int64_t clock_real_wall_ms(void);

uint64_t clock_monotonic_ns(const struct clock *clock);
int64_t clock_wall_ms(const struct clock *clock);
/* Stops the clock at the present. No effect on one that stands. */
void clock_freeze(struct clock *clock);
void clock_thaw(struct clock *clock);
/* Moves a frozen clock on; both times move together. */
void clock_advance(struct clock *clock, uint64_t nanoseconds);

#endif
