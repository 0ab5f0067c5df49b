/* Verdicts of the last so many seconds: a sliding window in ten parts, each forgotten as a whole.
 *
 * Not thread-safe: its owner locks. `now_ns` never falls. */
#ifndef TIDEGATE_STATE_BREAKER_WINDOW_H
#define TIDEGATE_STATE_BREAKER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_WINDOW_PARTS 10

struct breaker_window_part {
  uint64_t number; /* which part of time it counts, from 1 on; 0: none */
  uint64_t calls, failures, slow;
};

/* All zero: of no length, it counts nothing. */
struct breaker_window {
  uint64_t part_ns;
  struct breaker_window_part parts[BREAKER_WINDOW_PARTS];
};

struct breaker_window_sum {
  uint64_t calls, failures, slow;
};

/* Another length than before empties it. */
void breaker_window_set_length(struct breaker_window *window, uint64_t length_ns);
void breaker_window_clear(struct breaker_window *window);
void breaker_window_count(struct breaker_window *window, uint64_t now_ns, bool failed, bool slow);
struct breaker_window_sum breaker_window_sum(const struct breaker_window *window, uint64_t now_ns);

#endif
