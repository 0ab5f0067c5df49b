/* Timers as a data structure: a binary heap ordered by due time, no clock and no loop of its
 * own. The worker drives one heap with one uv timer (or, in specs, with a frozen clock).
 *
 * A timer is embedded in its owner and belongs to one thread. Starting, moving and stopping
 * cost O(log n); the heap's memory grows with the number of timers that are live, which the
 * owners bound. */
#ifndef TIDEGATE_BASE_TIMER_H
#define TIDEGATE_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void (*timer_fn)(struct timer *timer);

struct timer {
  uint64_t due_ns; /* monotonic */
  size_t index;    /* place in the heap plus one; 0: not started */
  timer_fn on_due; /* called on the owner's thread; the timer is stopped by then */
};

struct timer_heap {
  struct timer **items;
  size_t count;
  size_t capacity;
  /* The clock that this heap runs on; set by whoever drives it. */
  uint64_t (*now)(void *context);
  /* Called when the earliest due time changed, so that the driver can re-arm; may be NULL. */
  void (*on_change)(void *context);
  void *context;
};

void timer_heap_init(struct timer_heap *heap, uint64_t (*now)(void *), void (*on_change)(void *),
                     void *context);
void timer_heap_deinit(struct timer_heap *heap);
/* Starts or moves a timer to `delay_ns` after now. -1 without memory (nothing changed). */
int timer_start(struct timer_heap *heap, struct timer *timer, uint64_t delay_ns, timer_fn on_due);
/* No effect on one that is not started. */
void timer_stop(struct timer_heap *heap, struct timer *timer);
bool timer_is_started(const struct timer *timer);
/* The earliest due time; false when there is none. */
bool timer_heap_next(const struct timer_heap *heap, uint64_t *due_ns);
/* Fires what is due at `now_ns`, in order; what is started meanwhile waits for the next run. */
void timer_heap_run(struct timer_heap *heap, uint64_t now_ns);

#endif
