/* Circuit breakers: one cell for each name, shared by all workers.
 *
 * Closed: calls pass, failures are counted. Open: none passes until its time is over.
 * Half-open: a few probes pass, each a lease with a deadline: one that never comes back counts as
 * a failure, so that a breaker can stick in no state. Every change of state begins an epoch;
 * the verdict of a permit that was taken before the change is dropped.
 *
 * Thread-safe. Time is the caller's monotonic clock; a cell clamps it to its own maximum. Every
 * time and duration is below 2^61 ns. */
#ifndef TIDEGATE_STATE_BREAKER_H
#define TIDEGATE_STATE_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/name_table.h"

#define BREAKER_PROBES_MAX 1000   /* leases out at a time, whatever half_open_calls says */
#define BREAKER_RATE_CALLS_MIN 10 /* verdicts in the window before a rate means anything */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
enum breaker_mode {
  BREAKER_AUTO,
  BREAKER_HELD_OPEN,
  BREAKER_HELD_CLOSED, /* verdicts are counted, nothing changes */
  BREAKER_OBSERVE      /* the state changes as in AUTO, nothing is refused */
};
enum breaker_reason {
  BREAKER_BY_FAILURES,
  BREAKER_BY_FAILURE_RATE,
  BREAKER_BY_SLOW_RATE,
  BREAKER_BY_PROBE,   /* one failed */
  BREAKER_BY_LEASE,   /* one never came back */
  BREAKER_BY_TIME,    /* open long enough */
  BREAKER_BY_SUCCESS, /* enough probes succeeded */
  BREAKER_BY_MODE     /* an operator, or the configuration */
};

struct breaker_settings {
  bool enabled; /* false: closed, unless it is held open */
  uint32_t failure_threshold;
  uint64_t timeout_ns;
  uint32_t half_open_calls;
  uint64_t window_ns;  /* 0: no rates */
  double failure_rate; /* 0: none; the share of failures, or of slow calls, that opens */
  uint64_t slow_ns;    /* 0: none */
};

struct breaker_info {
  enum breaker_state state;
  enum breaker_mode mode;
  uint32_t consecutive_failures;
  uint64_t calls, failures, slow; /* in the window */
  bool has_opened;
  uint64_t opened_ago_ns;  /* since it last opened, if it has */
  uint64_t retry_after_ns; /* while a permit would be refused */
  uint32_t probes_out;
  uint64_t opened_total, refused_total;
};

/* What survives a restart. */
struct breaker_memory {
  enum breaker_state state;
  enum breaker_mode mode;
  uint32_t consecutive_failures;
  bool has_opened;
  uint64_t opened_ago_ns; /* since it last opened, if it has */
};

struct breakers;
struct breaker_changes;
struct breaker;

/* The right to send. `slot` is -1 when it is no probe's lease. */
struct breaker_permit {
  struct breaker *breaker; /* NULL: given back */
  uint64_t epoch;
  int slot;
};

struct breakers *breakers_new(void);
void breakers_free(struct breakers *breakers);

/* The cell of a name of 1 to NAME_TABLE_NAME_MAX bytes, made closed at the first call. Owned by the
 * registry. NULL when there are NAME_TABLE_CELLS_MAX or memory ran out. */
struct breaker *breakers_cell(struct breakers *breakers, const char *name);

/* The changes of all cells, owned by the registry. */
struct breaker_changes *breakers_changes(struct breakers *breakers);

const char *breaker_name(const struct breaker *breaker);
/* What is counted and the state stay; another window forgets what the old one held. */
void breaker_configure(struct breaker *breaker, const struct breaker_settings *settings,
                       uint64_t now_ns);
/* As it is for a permit taken now. Lock-free while closed. */
enum breaker_state breaker_state_of(struct breaker *breaker, uint64_t now_ns);
/* Whether a permit would be refused now, and for how long at least. Lock-free while closed. */
bool breaker_blocks(struct breaker *breaker, uint64_t now_ns, enum breaker_state *state,
                    uint64_t *retry_after_ns);
/* False, and the time until it makes sense to ask again, when it is refused. */
bool breaker_take(struct breaker *breaker, uint64_t now_ns, uint64_t lease_ns,
                  struct breaker_permit *permit, uint64_t *retry_after_ns);
/* Moves the deadline of a probe's lease, never to an earlier time; no effect on other permits. */
void breaker_extend(struct breaker_permit *permit, uint64_t now_ns, uint64_t lease_ns);
/* End a permit; no effect on one that has ended. */
void breaker_succeed(struct breaker_permit *permit, uint64_t now_ns, uint64_t duration_ns);
void breaker_fail(struct breaker_permit *permit, uint64_t now_ns, uint64_t duration_ns);
void breaker_give_back(struct breaker_permit *permit, uint64_t now_ns);
/* AUTO always closes it and forgets what was counted; OBSERVE goes on from where it is. */
void breaker_set_mode(struct breaker *breaker, enum breaker_mode mode, uint64_t now_ns);
struct breaker_info breaker_read(struct breaker *breaker, uint64_t now_ns);
struct breaker_memory breaker_save(struct breaker *breaker, uint64_t now_ns);
/* `elapsed_ns` have passed since it was saved. It is open for what is left of the time-out, as
 * that is configured now or later; half-open, it has no probes out. Adds no change. */
void breaker_restore(struct breaker *breaker, const struct breaker_memory *memory,
                     uint64_t elapsed_ns, uint64_t now_ns);

const char *breaker_state_name(enum breaker_state state);
const char *breaker_mode_name(enum breaker_mode mode);
const char *breaker_reason_text(enum breaker_reason reason);

#endif
