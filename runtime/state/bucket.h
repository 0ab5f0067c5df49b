/* The limiter of an integration: a token bucket for the minute, one for the hour, and one line of
 * those who wait, all under one lock. A request takes one token of both buckets or of neither.
 *
 * Thread-safe. Time is the caller's monotonic clock in nanoseconds; a cell clamps it to its own
 * maximum. A token is counted as the nanoseconds of its period, so that a rate of n a period is n
 * units a nanosecond: whole numbers, and no token is invented or lost by rounding. */
#ifndef TIDEGATE_STATE_BUCKET_H
#define TIDEGATE_STATE_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/name_table.h"

#define LIMITER_RATE_MAX 1000000000 /* a minute, an hour, and in one burst */
#define LIMITER_NO_LIMIT (-1)

struct limiters;
struct limiter;
struct limiter_waiter;

struct limiter_settings {
  int64_t per_minute; /* LIMITER_NO_LIMIT; 0: none passes */
  int64_t per_hour;
  int64_t burst;    /* size of the minute's bucket; below 1: the minute's rate */
  size_t queue_max; /* who may wait at a time */
};

enum limiter_answer {
  LIMITER_GRANTED,
  LIMITER_WAITS,
  LIMITER_REFUSED_RATE,  /* the wait would be too long */
  LIMITER_REFUSED_PAUSE, /* the same, most of it a pause */
  LIMITER_REFUSED_QUEUE  /* too many wait */
};

struct limiter_state {
  double minute_tokens, hour_tokens; /* below 0: no limit */
  size_t waiting;
  uint64_t pause_ns;    /* left of a pause */
  uint64_t estimate_ns; /* the wait that one who comes now would have */
  uint64_t granted_total, refused_total, waited_total;
};

/* What survives a restart. */
struct limiter_memory {
  double minute_tokens, hour_tokens; /* below 0: not limited */
  uint64_t pause_ns;
};

struct limiters *limiters_new(void);
void limiters_free(struct limiters *limiters);
/* The cell of a name of 1 to NAME_TABLE_NAME_MAX bytes, made full and without limits at the first
 * call. Owned by the registry. NULL when there are NAME_TABLE_CELLS_MAX or memory ran out. */
struct limiter *limiters_cell(struct limiters *limiters, const char *name);

/* The name of a limiter that was paused since it was last taken here, or NULL. */
const char *limiters_take_paused(struct limiters *limiters);
/* `notify(argument)` is called from any thread, with a lock held, when one was paused: it must only
 * post. One listener: false for a second. NULL takes it away, and after that returns it is not
 * called. */
bool limiters_listen(struct limiters *limiters, void (*notify)(void *), void *argument);

/* Keeps the tokens, cut to a smaller size; a bucket that had no limit begins full. */
void limiter_configure(struct limiter *limiter, const struct limiter_settings *settings,
                       uint64_t now_ns);

/* Takes a token of each bucket, or a place in the line when `max_wait_ns` allows the wait that is
 * to be expected. LIMITER_WAITS: `*waiter` is the place, `notify(argument)` is called from any
 * thread with the lock held whenever it should look again; it must only post. Refused:
 * `*retry_after_ns` is when to come again, never 0. */
enum limiter_answer limiter_take(struct limiter *limiter, uint64_t now_ns, uint64_t max_wait_ns,
                                 void (*notify)(void *), void *argument,
                                 struct limiter_waiter **waiter, uint64_t *retry_after_ns);
/* Looks again: granted, refused (its wait has become too long), or still waits; then
 * `*look_at_ns` is when to look again unless notified: when its turn is, for the first in line;
 * when its wait is over, for the others; UINT64_MAX: never. */
enum limiter_answer limiter_look(struct limiter_waiter *waiter, uint64_t now_ns,
                                 uint64_t *look_at_ns, uint64_t *retry_after_ns);
/* Leaves the line, which costs nothing, or frees a place that was served. After it returns `notify`
 * is not called any more. */
void limiter_leave(struct limiter_waiter *waiter, uint64_t now_ns);

/* A token only if one is there, nobody waits and nothing is paused. */
bool limiter_try(struct limiter *limiter, uint64_t now_ns);
/* One token of each goes back. */
void limiter_give_back(struct limiter *limiter, uint64_t now_ns);
/* No token before now + `pause_ns`, rounded up to milliseconds; the longest pause wins, up to
 * `max_ns` from now. Returns what is left of the pause. */
uint64_t limiter_pause(struct limiter *limiter, uint64_t now_ns, uint64_t pause_ns,
                       uint64_t max_ns);
struct limiter_state limiter_read(struct limiter *limiter, uint64_t now_ns);
/* False when nothing was taken or paused since the last time. */
bool limiter_save(struct limiter *limiter, uint64_t now_ns, struct limiter_memory *memory);
/* `elapsed_ns` have passed since it was saved. To be configured before: a bucket without a limit
 * has no level. A longer pause that is on stays. */
void limiter_restore(struct limiter *limiter, const struct limiter_memory *memory,
                     uint64_t elapsed_ns, uint64_t now_ns);

#endif
