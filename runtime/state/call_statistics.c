#include "state/call_statistics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
  struct slot *next;
  const void *writer;
  struct call_cell cell;
};

struct entry {
  struct slot *slots;
  char name[CALL_STATISTICS_NAME_MAX + 1];
};

struct call_statistics {
  pthread_mutex_t mutex;
  struct entry *entries[CALL_STATISTICS_NAMES_MAX + 1]; /* sorted by name; one is for the rest */
  size_t count;
  uint64_t refused;
};

static const char *const outcome_names[CALL_OUTCOMES] = {
    [CALL_OK] = "ok",
    [CALL_CACHED] = "cached",
    [CALL_STALE] = "stale",
    [CALL_FALLBACK] = "fallback",
    [CALL_INVALID_INPUT] = "invalid_input",
    [CALL_UNAUTHORIZED] = "unauthorized",
    [CALL_FORBIDDEN] = "forbidden",
    [CALL_NO_SUCH_OPERATION] = "no_such_operation",
    [CALL_NOT_FOUND] = "not_found",
    [CALL_CONFLICT] = "conflict",
    [CALL_OUTCOME_UNKNOWN] = "outcome_unknown",
    [CALL_IDEMPOTENCY_MISMATCH] = "idempotency_mismatch",
    [CALL_PRECONDITION_FAILED] = "precondition_failed",
    [CALL_METHOD_NOT_ALLOWED] = "method_not_allowed",
    [CALL_UNSUPPORTED_MEDIA_TYPE] = "unsupported_media_type",
    [CALL_INTERNAL] = "internal",
    [CALL_PAYLOAD_TOO_LARGE] = "payload_too_large",
    [CALL_REJECTED] = "rejected",
    [CALL_RATE_LIMITED] = "rate_limited",
    [CALL_CIRCUIT_OPEN] = "circuit_open",
    [CALL_DISABLED] = "disabled",
    [CALL_NOT_LOADED] = "not_loaded",
    [CALL_OVERLOADED] = "overloaded",
    [CALL_UNAVAILABLE] = "unavailable",
    [CALL_NOT_CONFIGURED] = "not_configured",
    [CALL_UPSTREAM_AUTH] = "upstream_auth",
    [CALL_UPSTREAM_ERROR] = "upstream_error",
    [CALL_NETWORK_ERROR] = "network_error",
    [CALL_TIMEOUT] = "timeout",
    [CALL_SCRIPT_ERROR] = "script_error",
    [CALL_SCRIPT_TIMEOUT] = "script_timeout",
    [CALL_OUT_OF_MEMORY] = "out_of_memory",
    [CALL_CANCELLED] = "cancelled",
};

static const char *const event_names[CALL_EVENTS] = {
    [CALL_EVENT_CACHE_HIT] = "cache_hit",       [CALL_EVENT_CACHE_MISS] = "cache_miss",
    [CALL_EVENT_RATE_LIMITED] = "rate_limited", [CALL_EVENT_BREAKER_OPENED] = "breaker_opened",
    [CALL_EVENT_TIMEOUT] = "timeout",
};

const char *call_outcome_name(enum call_outcome outcome) {
  return outcome_names[outcome];
}

const char *call_event_name(enum call_event event) {
  return event_names[event];
}

struct call_statistics *call_statistics_new(void) {
  struct call_statistics *statistics = calloc(1, sizeof *statistics);
  if (statistics != NULL) pthread_mutex_init(&statistics->mutex, NULL);
  return statistics;
}

void call_statistics_free(struct call_statistics *statistics) {
  if (statistics == NULL) return;
  for (size_t i = 0; i < statistics->count; i++) {
    struct entry *entry = statistics->entries[i];
    while (entry->slots != NULL) {
      struct slot *next = entry->slots->next;
      free(entry->slots);
      entry->slots = next;
    }
    free(entry);
  }
  pthread_mutex_destroy(&statistics->mutex);
  free(statistics);
}

/* --- finding and making; the mutex is held --- */

/* Where the name is, or where it would go. */
static size_t place_of(const struct call_statistics *statistics, const char *name) {
  size_t low = 0, high = statistics->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(statistics->entries[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct entry *find(const struct call_statistics *statistics, const char *name) {
  size_t at = place_of(statistics, name);
  if (at == statistics->count || strcmp(statistics->entries[at]->name, name) != 0) return NULL;
  return statistics->entries[at];
}

static struct entry *add(struct call_statistics *statistics, const char *name) {
  struct entry *entry = calloc(1, sizeof *entry);
  if (entry == NULL) return NULL;
  memcpy(entry->name, name, strlen(name));
  size_t at = place_of(statistics, name);
  memmove(&statistics->entries[at + 1], &statistics->entries[at],
          (statistics->count - at) * sizeof statistics->entries[0]);
  statistics->entries[at] = entry;
  statistics->count++;
  return entry;
}

static struct entry *entry_of(struct call_statistics *statistics, const char *name) {
  struct entry *entry = find(statistics, name);
  if (entry != NULL) return entry;
  if (statistics->count < CALL_STATISTICS_NAMES_MAX && name[0] != '\0' &&
      strlen(name) <= CALL_STATISTICS_NAME_MAX)
    return add(statistics, name);
  statistics->refused++;
  entry = find(statistics, CALL_STATISTICS_OTHER);
  return entry != NULL ? entry : add(statistics, CALL_STATISTICS_OTHER);
}

static struct slot *slot_of(struct entry *entry, const void *writer) {
  struct slot *slot = entry->slots;
  while (slot != NULL && slot->writer != writer) slot = slot->next;
  if (slot != NULL) return slot;
  slot = calloc(1, sizeof *slot);
  if (slot == NULL) return NULL;
  slot->writer = writer;
  slot->next = entry->slots;
  entry->slots = slot;
  return slot;
}

struct call_cell *call_statistics_cell(struct call_statistics *statistics, const void *writer,
                                       const char *name) {
  pthread_mutex_lock(&statistics->mutex);
  struct entry *entry = entry_of(statistics, name);
  struct slot *slot = entry != NULL ? slot_of(entry, writer) : NULL;
  pthread_mutex_unlock(&statistics->mutex);
  return slot != NULL ? &slot->cell : NULL;
}

bool call_statistics_has(struct call_statistics *statistics, const char *name) {
  pthread_mutex_lock(&statistics->mutex);
  bool has = find(statistics, name) != NULL;
  pthread_mutex_unlock(&statistics->mutex);
  return has;
}

const char *call_statistics_name(struct call_statistics *statistics, size_t index) {
  pthread_mutex_lock(&statistics->mutex);
  const char *name = index < statistics->count ? statistics->entries[index]->name : NULL;
  pthread_mutex_unlock(&statistics->mutex);
  return name;
}

uint64_t call_statistics_refused(struct call_statistics *statistics) {
  pthread_mutex_lock(&statistics->mutex);
  uint64_t refused = statistics->refused;
  pthread_mutex_unlock(&statistics->mutex);
  return refused;
}

/* --- writing --- */

static uint64_t load(const _Atomic uint64_t *count) {
  return atomic_load_explicit(count, memory_order_relaxed);
}

static void add_to(_Atomic uint64_t *count, uint64_t amount) {
  atomic_store_explicit(count, load(count) + amount, memory_order_relaxed);
}

void call_cell_record(struct call_cell *cell, enum call_outcome outcome, double seconds) {
  add_to(&cell->outcomes[outcome], 1);
  histogram_record(&cell->durations, seconds);
}

void call_cell_count(struct call_cell *cell, enum call_event event) {
  add_to(&cell->events[event], 1);
}

/* --- reading --- */

static void merge(struct call_cell *into, const struct call_cell *from) {
  for (size_t i = 0; i < CALL_OUTCOMES; i++) add_to(&into->outcomes[i], load(&from->outcomes[i]));
  for (size_t i = 0; i < CALL_EVENTS; i++) add_to(&into->events[i], load(&from->events[i]));
  histogram_merge(&into->durations, &from->durations);
}

void call_statistics_read(struct call_statistics *statistics, const char *name,
                          struct call_cell *into) {
  pthread_mutex_lock(&statistics->mutex);
  const struct entry *entry = find(statistics, name);
  for (const struct slot *slot = entry != NULL ? entry->slots : NULL; slot != NULL;
       slot = slot->next)
    merge(into, &slot->cell);
  pthread_mutex_unlock(&statistics->mutex);
}

static void subtract(_Atomic uint64_t *from, const _Atomic uint64_t *older) {
  uint64_t now = load(from), then = load(older);
  atomic_store_explicit(from, now > then ? now - then : 0, memory_order_relaxed);
}

void call_cell_subtract(struct call_cell *from, const struct call_cell *older) {
  for (size_t i = 0; i < CALL_OUTCOMES; i++) subtract(&from->outcomes[i], &older->outcomes[i]);
  for (size_t i = 0; i < CALL_EVENTS; i++) subtract(&from->events[i], &older->events[i]);
  histogram_subtract(&from->durations, &older->durations);
}

uint64_t call_cell_total(const struct call_cell *cell) {
  uint64_t total = 0;
  for (size_t i = 0; i < CALL_OUTCOMES; i++) total += load(&cell->outcomes[i]);
  return total;
}

uint64_t call_cell_outcomes(const struct call_cell *cell, enum call_outcome outcome) {
  return load(&cell->outcomes[outcome]);
}

uint64_t call_cell_events(const struct call_cell *cell, enum call_event event) {
  return load(&cell->events[event]);
}
