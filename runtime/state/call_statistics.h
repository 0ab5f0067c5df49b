/* What came of the calls of each integration, how long they took, and what happened on the way:
 * numbers that only rise. One cell for each name and writer; a reader merges the cells of a name
 * and takes the difference of two looks.
 *
 * A cell has one writing thread; any thread may read. Making a cell and reading take a lock,
 * writing does not. Cells live as long as the registry. */
#ifndef TIDEGATE_STATE_CALL_STATISTICS_H
#define TIDEGATE_STATE_CALL_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/histogram.h"

#define CALL_STATISTICS_NAMES_MAX 4096 /* further ones share CALL_STATISTICS_OTHER */
#define CALL_STATISTICS_NAME_MAX 63
#define CALL_STATISTICS_OTHER "*"

/* The first four are answers; the rest are the codes of errors (scripts/tide/errors.lua). */
enum call_outcome {
  CALL_OK,
  CALL_CACHED,
  CALL_STALE,
  CALL_FALLBACK,
  CALL_INVALID_INPUT,
  CALL_UNAUTHORIZED,
  CALL_FORBIDDEN,
  CALL_NO_SUCH_OPERATION,
  CALL_NOT_FOUND,
  CALL_CONFLICT,
  CALL_OUTCOME_UNKNOWN,
  CALL_IDEMPOTENCY_MISMATCH,
  CALL_PRECONDITION_FAILED,
  CALL_METHOD_NOT_ALLOWED,
  CALL_UNSUPPORTED_MEDIA_TYPE,
  CALL_INTERNAL,
  CALL_PAYLOAD_TOO_LARGE,
  CALL_REJECTED,
  CALL_RATE_LIMITED,
  CALL_CIRCUIT_OPEN,
  CALL_DISABLED,
  CALL_NOT_LOADED,
  CALL_OVERLOADED,
  CALL_UNAVAILABLE,
  CALL_NOT_CONFIGURED,
  CALL_UPSTREAM_AUTH,
  CALL_UPSTREAM_ERROR,
  CALL_NETWORK_ERROR,
  CALL_TIMEOUT,
  CALL_SCRIPT_ERROR,
  CALL_SCRIPT_TIMEOUT,
  CALL_OUT_OF_MEMORY,
  CALL_CANCELLED,
  CALL_OUTCOMES
};

enum call_event {
  CALL_EVENT_CACHE_HIT,
  CALL_EVENT_CACHE_MISS,
  CALL_EVENT_RATE_LIMITED,   /* refused by our own limits, whatever the caller got instead */
  CALL_EVENT_BREAKER_OPENED, /* the breaker's change of state, not the calls it refuses */
  CALL_EVENT_TIMEOUT,        /* hidden by another answer: the outcome says the others */
  CALL_EVENTS
};

struct call_statistics;

/* A writer's cell, and what is merged from cells. Zeroed memory is an empty one. */
struct call_cell {
  _Atomic uint64_t outcomes[CALL_OUTCOMES];
  _Atomic uint64_t events[CALL_EVENTS];
  struct histogram durations;
};

struct call_statistics *call_statistics_new(void);
void call_statistics_free(struct call_statistics *statistics);

/* The cell of one writer, which is any address, for a name of 1 to CALL_STATISTICS_NAME_MAX
 * bytes: the same writer gets the same cell again. Owned by the registry. NULL when memory ran
 * out. */
struct call_cell *call_statistics_cell(struct call_statistics *statistics, const void *writer,
                                       const char *name);
/* The merged cells of a name into `into`, which is empty; nothing for an unknown name. */
void call_statistics_read(struct call_statistics *statistics, const char *name,
                          struct call_cell *into);
/* Whether a name has cells of its own. */
bool call_statistics_has(struct call_statistics *statistics, const char *name);
/* The name at `index` in their order, or NULL after the last; valid as long as the registry. A
 * name that is made meanwhile moves those behind it. */
const char *call_statistics_name(struct call_statistics *statistics, size_t index);
/* Names that were refused cells of their own; each writer counts. */
uint64_t call_statistics_refused(struct call_statistics *statistics);

/* The cell's writer only. */
void call_cell_record(struct call_cell *cell, enum call_outcome outcome, double seconds);
void call_cell_count(struct call_cell *cell, enum call_event event);

/* Leaves what happened after `older` was read under the same name. The owner of `from`. */
void call_cell_subtract(struct call_cell *from, const struct call_cell *older);
uint64_t call_cell_total(const struct call_cell *cell);
uint64_t call_cell_outcomes(const struct call_cell *cell, enum call_outcome outcome);
uint64_t call_cell_events(const struct call_cell *cell, enum call_event event);

/* "ok", "upstream_error", ...; "cache_hit", ... */
const char *call_outcome_name(enum call_outcome outcome);
const char *call_event_name(enum call_event event);

#endif
