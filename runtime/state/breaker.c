#include "state/breaker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "state/breaker_changes.h"
#include "state/breaker_window.h"

struct breaker {
  struct breaker_changes *changes;
  pthread_mutex_t mutex;
  _Atomic bool is_closed; /* then everything passes */
  struct breaker_settings settings;
  enum breaker_state state;
  enum breaker_mode mode;
  uint64_t now_ns;
  uint64_t epoch;
  bool has_opened;
  int64_t opened_ns; /* below 0: before the clock began, in another process */
  uint32_t consecutive_failures;
  uint32_t successes; /* of probes since it is half-open */
  struct breaker_window window;
  uint64_t leases[BREAKER_PROBES_MAX]; /* their deadlines; 0: free */
  uint32_t leases_out, leases_used;    /* how many; those before leases_used may be out */
  uint64_t opened_total, refused_total;
  const char *name; /* the table's */
};

struct breakers {
  struct name_table *cells;
  struct breaker_changes *changes;
};

/* Until it is configured. */
static const struct breaker_settings defaults = {
    .enabled = true, .failure_threshold = 5, .timeout_ns = 60000000000, .half_open_calls = 1};

static const char *const state_names[] = {"closed", "open", "half_open"};
static const char *const mode_names[] = {"auto", "open", "closed", "observe"};
static const char *const reason_texts[] = {"too many failures in a row",
                                           "too large a share of failures",
                                           "too large a share of slow calls",
                                           "a probe failed",
                                           "a probe never came back",
                                           "it was open long enough",
                                           "the probes succeeded",
                                           "its mode or configuration was changed"};

const char *breaker_state_name(enum breaker_state state) {
  return state_names[state];
}

const char *breaker_mode_name(enum breaker_mode mode) {
  return mode_names[mode];
}

const char *breaker_reason_text(enum breaker_reason reason) {
  return reason_texts[reason];
}

/* --- the registry --- */

static void open_cell(void *cell, const char *name, void *context) {
  struct breaker *breaker = cell;
  breaker->name = name;
  breaker->changes = context;
  breaker->settings = defaults;
  pthread_mutex_init(&breaker->mutex, NULL);
  atomic_init(&breaker->is_closed, true);
}

static void close_cell(void *cell) {
  struct breaker *breaker = cell;
  pthread_mutex_destroy(&breaker->mutex);
}

struct breakers *breakers_new(void) {
  struct breakers *breakers = calloc(1, sizeof *breakers);
  if (breakers == NULL) return NULL;
  breakers->changes = breaker_changes_new();
  breakers->cells = name_table_new(&(struct name_table_kind){.cell_size = sizeof(struct breaker),
                                                             .open = open_cell,
                                                             .close = close_cell,
                                                             .context = breakers->changes});
  if (breakers->changes != NULL && breakers->cells != NULL) return breakers;
  breakers_free(breakers);
  return NULL;
}

void breakers_free(struct breakers *breakers) {
  if (breakers == NULL) return;
  name_table_free(breakers->cells);
  breaker_changes_free(breakers->changes);
  free(breakers);
}

struct breaker *breakers_cell(struct breakers *breakers, const char *name) {
  return name_table_cell(breakers->cells, name);
}

const char *breaker_name(const struct breaker *breaker) {
  return breaker->name;
}

struct breaker_changes *breakers_changes(struct breakers *breakers) {
  return breakers->changes;
}

/* --- a cell; its mutex is held --- */

static uint64_t lock(struct breaker *breaker, uint64_t now_ns) {
  pthread_mutex_lock(&breaker->mutex);
  if (now_ns > breaker->now_ns) breaker->now_ns = now_ns;
  return breaker->now_ns;
}

static void unlock(struct breaker *breaker) {
  atomic_store_explicit(&breaker->is_closed, breaker->state == BREAKER_CLOSED,
                        memory_order_relaxed);
  pthread_mutex_unlock(&breaker->mutex);
}

/* Whether time and verdicts change its state. */
static bool is_live(const struct breaker *breaker) {
  return breaker->settings.enabled &&
         (breaker->mode == BREAKER_AUTO || breaker->mode == BREAKER_OBSERVE);
}

/* The state that mode and settings leave it. */
static enum breaker_state settled(const struct breaker *breaker, enum breaker_state state) {
  if (breaker->mode == BREAKER_HELD_OPEN) return BREAKER_OPEN;
  return is_live(breaker) ? state : BREAKER_CLOSED;
}

static void tell(struct breaker *breaker, enum breaker_state from, enum breaker_reason reason) {
  struct breaker_change change = {.from = from,
                                  .to = breaker->state,
                                  .mode = breaker->mode,
                                  .reason = reason,
                                  .at_ns = breaker->now_ns};
  memcpy(change.name, breaker->name, strlen(breaker->name) + 1);
  breaker_changes_add(breaker->changes, &change);
}

static void forget_leases(struct breaker *breaker) {
  memset(breaker->leases, 0, breaker->leases_used * sizeof breaker->leases[0]);
  breaker->leases_out = breaker->leases_used = 0;
}

static void enter(struct breaker *breaker, enum breaker_state state) {
  breaker->state = state;
  breaker->epoch++;
  breaker->successes = 0;
  forget_leases(breaker);
  if (state != BREAKER_CLOSED) return;
  breaker->consecutive_failures = 0;
  breaker_window_clear(&breaker->window);
}

static void change(struct breaker *breaker, enum breaker_state to, enum breaker_reason reason) {
  enum breaker_state from = breaker->state;
  enter(breaker, to);
  if (to == BREAKER_OPEN) {
    breaker->has_opened = true;
    breaker->opened_ns = (int64_t)breaker->now_ns;
    breaker->opened_total++;
  }
  tell(breaker, from, reason);
}

static uint64_t open_left(const struct breaker *breaker) {
  int64_t end = breaker->opened_ns + (int64_t)breaker->settings.timeout_ns;
  return end > (int64_t)breaker->now_ns ? (uint64_t)end - breaker->now_ns : 0;
}

static uint64_t opened_ago(const struct breaker *breaker) {
  return breaker->has_opened ? (uint64_t)((int64_t)breaker->now_ns - breaker->opened_ns) : 0;
}

/* The earliest end of a lease that is out; UINT64_MAX when none is. */
static uint64_t first_deadline(const struct breaker *breaker) {
  uint64_t first = UINT64_MAX;
  for (uint32_t i = 0; i < breaker->leases_used; i++)
    if (breaker->leases[i] != 0 && breaker->leases[i] < first) first = breaker->leases[i];
  return first;
}

/* What time alone does. A probe that was lost opens it from when it was lost, not from when that
 * is noticed: nobody may have looked for long. */
static void advance(struct breaker *breaker) {
  if (!is_live(breaker)) return;
  if (breaker->state == BREAKER_HALF_OPEN) {
    uint64_t first = first_deadline(breaker);
    if (first <= breaker->now_ns) {
      change(breaker, BREAKER_OPEN, BREAKER_BY_LEASE);
      breaker->opened_ns = (int64_t)first;
    }
  }
  if (breaker->state == BREAKER_OPEN && open_left(breaker) == 0)
    change(breaker, BREAKER_HALF_OPEN, BREAKER_BY_TIME);
}

static uint32_t probes_allowed(const struct breaker *breaker) {
  uint32_t calls = breaker->settings.half_open_calls;
  if (calls == 0) return 1;
  return calls < BREAKER_PROBES_MAX ? calls : BREAKER_PROBES_MAX;
}

static bool has_free_lease(const struct breaker *breaker) {
  return breaker->state == BREAKER_HALF_OPEN && breaker->leases_out < probes_allowed(breaker);
}

/* How long no permit can be had: 0 when it can. */
static uint64_t refusal(const struct breaker *breaker) {
  if (breaker->mode == BREAKER_HELD_OPEN)
    return breaker->settings.timeout_ns > 0 ? breaker->settings.timeout_ns : 1;
  if (breaker->mode == BREAKER_OBSERVE || breaker->state == BREAKER_CLOSED) return 0;
  if (breaker->state == BREAKER_OPEN) return open_left(breaker);
  return has_free_lease(breaker) ? 0 : first_deadline(breaker) - breaker->now_ns;
}

/* --- what callers do --- */

void breaker_configure(struct breaker *breaker, const struct breaker_settings *settings,
                       uint64_t now_ns) {
  lock(breaker, now_ns);
  breaker_window_set_length(&breaker->window, settings->window_ns);
  breaker->settings = *settings;
  enum breaker_state state = settled(breaker, breaker->state);
  if (state != breaker->state) change(breaker, state, BREAKER_BY_MODE);
  unlock(breaker);
}

enum breaker_state breaker_state_of(struct breaker *breaker, uint64_t now_ns) {
  uint64_t retry_after_ns;
  enum breaker_state state;
  breaker_blocks(breaker, now_ns, &state, &retry_after_ns);
  return state;
}

bool breaker_blocks(struct breaker *breaker, uint64_t now_ns, enum breaker_state *state,
                    uint64_t *retry_after_ns) {
  *state = BREAKER_CLOSED;
  *retry_after_ns = 0;
  if (atomic_load_explicit(&breaker->is_closed, memory_order_relaxed)) return false;
  lock(breaker, now_ns);
  advance(breaker);
  *state = breaker->state;
  *retry_after_ns = refusal(breaker);
  unlock(breaker);
  return *retry_after_ns > 0;
}

static int take_lease(struct breaker *breaker, uint64_t lease_ns) {
  uint32_t slot = 0;
  while (breaker->leases[slot] != 0) slot++;
  breaker->leases[slot] = breaker->now_ns + lease_ns + (lease_ns == 0);
  breaker->leases_out++;
  if (slot >= breaker->leases_used) breaker->leases_used = slot + 1;
  return (int)slot;
}

bool breaker_take(struct breaker *breaker, uint64_t now_ns, uint64_t lease_ns,
                  struct breaker_permit *permit, uint64_t *retry_after_ns) {
  lock(breaker, now_ns);
  advance(breaker);
  *retry_after_ns = refusal(breaker);
  bool granted = *retry_after_ns == 0;
  *permit = (struct breaker_permit){.breaker = NULL, .slot = -1};
  if (granted) {
    permit->breaker = breaker;
    permit->epoch = breaker->epoch;
    if (has_free_lease(breaker)) permit->slot = take_lease(breaker, lease_ns);
  } else {
    breaker->refused_total++;
  }
  unlock(breaker);
  return granted;
}

/* Whether its lease is out: all of an epoch end with it. */
static bool is_probe(const struct breaker_permit *permit) {
  return permit->slot >= 0 && permit->epoch == permit->breaker->epoch;
}

void breaker_extend(struct breaker_permit *permit, uint64_t now_ns, uint64_t lease_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker == NULL || permit->slot < 0) return;
  uint64_t deadline_ns = lock(breaker, now_ns) + lease_ns;
  advance(breaker);
  if (is_probe(permit) && breaker->leases[permit->slot] < deadline_ns)
    breaker->leases[permit->slot] = deadline_ns;
  unlock(breaker);
}

static void end_lease(struct breaker_permit *permit) {
  if (!is_probe(permit)) return;
  permit->breaker->leases[permit->slot] = 0;
  permit->breaker->leases_out--;
}

static void count(struct breaker *breaker, bool failed, uint64_t duration_ns) {
  bool is_slow = breaker->settings.slow_ns > 0 && duration_ns > breaker->settings.slow_ns;
  breaker->consecutive_failures = failed ? breaker->consecutive_failures + 1 : 0;
  breaker_window_count(&breaker->window, breaker->now_ns, failed, is_slow);
}

/* Opens a closed breaker whose counts say so. */
static void weigh(struct breaker *breaker) {
  const struct breaker_settings *settings = &breaker->settings;
  if (!is_live(breaker)) return;
  if (breaker->consecutive_failures >= settings->failure_threshold) {
    change(breaker, BREAKER_OPEN, BREAKER_BY_FAILURES);
    return;
  }
  struct breaker_window_sum sum = breaker_window_sum(&breaker->window, breaker->now_ns);
  if (settings->failure_rate <= 0 || sum.calls < BREAKER_RATE_CALLS_MIN) return;
  double limit = settings->failure_rate * (double)sum.calls;
  if ((double)sum.failures >= limit)
    change(breaker, BREAKER_OPEN, BREAKER_BY_FAILURE_RATE);
  else if ((double)sum.slow >= limit)
    change(breaker, BREAKER_OPEN, BREAKER_BY_SLOW_RATE);
}

static void weigh_probe(struct breaker *breaker, bool failed) {
  if (failed)
    change(breaker, BREAKER_OPEN, BREAKER_BY_PROBE);
  else if (++breaker->successes >= probes_allowed(breaker))
    change(breaker, BREAKER_CLOSED, BREAKER_BY_SUCCESS);
}

/* Nothing is heard of a permit from another epoch, nor of one that only OBSERVE granted. */
static void judge(struct breaker_permit *permit, uint64_t now_ns, bool failed,
                  uint64_t duration_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker == NULL) return;
  lock(breaker, now_ns);
  advance(breaker);
  bool probes = is_probe(permit);
  end_lease(permit);
  if (probes || (permit->epoch == breaker->epoch && breaker->state == BREAKER_CLOSED))
    count(breaker, failed, duration_ns);
  if (probes)
    weigh_probe(breaker, failed);
  else if (permit->epoch == breaker->epoch && breaker->state == BREAKER_CLOSED)
    weigh(breaker);
  permit->breaker = NULL;
  unlock(breaker);
}

void breaker_succeed(struct breaker_permit *permit, uint64_t now_ns, uint64_t duration_ns) {
  judge(permit, now_ns, false, duration_ns);
}

void breaker_fail(struct breaker_permit *permit, uint64_t now_ns, uint64_t duration_ns) {
  judge(permit, now_ns, true, duration_ns);
}

void breaker_give_back(struct breaker_permit *permit, uint64_t now_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker != NULL && permit->slot >= 0) {
    lock(breaker, now_ns);
    advance(breaker);
    end_lease(permit);
    unlock(breaker);
  }
  permit->breaker = NULL;
}

void breaker_set_mode(struct breaker *breaker, enum breaker_mode mode, uint64_t now_ns) {
  lock(breaker, now_ns);
  if (mode != breaker->mode || mode == BREAKER_AUTO) {
    breaker->mode = mode;
    enum breaker_state state =
        mode == BREAKER_AUTO ? BREAKER_CLOSED : settled(breaker, breaker->state);
    if (state != breaker->state || mode == BREAKER_AUTO)
      change(breaker, state, BREAKER_BY_MODE);
    else
      tell(breaker, state, BREAKER_BY_MODE);
  }
  unlock(breaker);
}

struct breaker_info breaker_read(struct breaker *breaker, uint64_t now_ns) {
  lock(breaker, now_ns);
  advance(breaker);
  struct breaker_window_sum sum = breaker_window_sum(&breaker->window, breaker->now_ns);
  struct breaker_info info = {
      .state = breaker->state,
      .mode = breaker->mode,
      .consecutive_failures = breaker->consecutive_failures,
      .calls = sum.calls,
      .failures = sum.failures,
      .slow = sum.slow,
      .has_opened = breaker->has_opened,
      .opened_ago_ns = opened_ago(breaker),
      .retry_after_ns = refusal(breaker),
      .probes_out = breaker->leases_out,
      .opened_total = breaker->opened_total,
      .refused_total = breaker->refused_total,
  };
  unlock(breaker);
  return info;
}

struct breaker_memory breaker_save(struct breaker *breaker, uint64_t now_ns) {
  lock(breaker, now_ns);
  advance(breaker);
  struct breaker_memory memory = {
      .state = breaker->state,
      .mode = breaker->mode,
      .consecutive_failures = breaker->consecutive_failures,
      .has_opened = breaker->has_opened,
      .opened_ago_ns = opened_ago(breaker),
  };
  unlock(breaker);
  return memory;
}

void breaker_restore(struct breaker *breaker, const struct breaker_memory *memory,
                     uint64_t elapsed_ns, uint64_t now_ns) {
  int64_t now = (int64_t)lock(breaker, now_ns);
  breaker->mode = memory->mode;
  enter(breaker, settled(breaker, memory->state));
  breaker->consecutive_failures = memory->consecutive_failures;
  breaker->has_opened = memory->has_opened || breaker->state == BREAKER_OPEN;
  breaker->opened_ns = now - (int64_t)(memory->opened_ago_ns + elapsed_ns);
  unlock(breaker);
}
