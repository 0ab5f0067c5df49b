#include "state/breaker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct part {
  uint64_t number; /* which part of time it counts */
  uint64_t calls, failures, slow;
};

struct lease {
  bool is_out;
  uint64_t epoch;
  uint64_t deadline_ns;
};

struct breaker {
  struct breakers *owner;
  pthread_mutex_t mutex;
  _Atomic bool is_plain; /* closed in mode auto: everything passes */
  struct breaker_settings settings;
  enum breaker_state state;
  enum breaker_mode mode;
  uint64_t now_ns;
  uint64_t epoch;
  uint64_t opened_ns;
  uint64_t ever_opened_ns;
  uint32_t consecutive_failures;
  uint32_t successes; /* of probes since it is half-open */
  struct part parts[BREAKER_WINDOW_PARTS];
  struct lease leases[BREAKER_PROBES_MAX];
  uint32_t leases_out;
  uint64_t opened_total, refused_total;
  char name[BREAKER_NAME_MAX + 1];
};

struct breakers {
  pthread_mutex_t mutex; /* the table */
  struct breaker *cells[BREAKERS_MAX];
  size_t count;
  pthread_mutex_t changes_mutex; /* taken with a cell's mutex held, never the other way */
  struct breaker_change changes[BREAKER_CHANGES_MAX];
  size_t first_change, change_count;
  uint64_t dropped;
  void (*notify)(void *);
  void *argument;
};

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

struct breakers *breakers_new(void) {
  struct breakers *breakers = calloc(1, sizeof *breakers);
  if (breakers == NULL) return NULL;
  pthread_mutex_init(&breakers->mutex, NULL);
  pthread_mutex_init(&breakers->changes_mutex, NULL);
  return breakers;
}

void breakers_free(struct breakers *breakers) {
  if (breakers == NULL) return;
  for (size_t i = 0; i < breakers->count; i++) {
    pthread_mutex_destroy(&breakers->cells[i]->mutex);
    free(breakers->cells[i]);
  }
  pthread_mutex_destroy(&breakers->changes_mutex);
  pthread_mutex_destroy(&breakers->mutex);
  free(breakers);
}

/* Where the name is, or where it would go: cells are sorted by name. */
static size_t place_of(const struct breakers *breakers, const char *name) {
  size_t low = 0, high = breakers->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(breakers->cells[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct breaker *add(struct breakers *breakers, const char *name, size_t at) {
  size_t length = strlen(name);
  if (breakers->count == BREAKERS_MAX || length == 0 || length > BREAKER_NAME_MAX) return NULL;
  struct breaker *breaker = calloc(1, sizeof *breaker);
  if (breaker == NULL) return NULL;
  breaker->owner = breakers;
  pthread_mutex_init(&breaker->mutex, NULL);
  atomic_init(&breaker->is_plain, true);
  memcpy(breaker->name, name, length);
  memmove(&breakers->cells[at + 1], &breakers->cells[at],
          (breakers->count - at) * sizeof breakers->cells[0]);
  breakers->cells[at] = breaker;
  breakers->count++;
  return breaker;
}

struct breaker *breakers_cell(struct breakers *breakers, const char *name) {
  pthread_mutex_lock(&breakers->mutex);
  size_t at = place_of(breakers, name);
  bool found = at < breakers->count && strcmp(breakers->cells[at]->name, name) == 0;
  struct breaker *breaker = found ? breakers->cells[at] : add(breakers, name, at);
  pthread_mutex_unlock(&breakers->mutex);
  return breaker;
}

const char *breaker_name(const struct breaker *breaker) {
  return breaker->name;
}

/* --- changes, for whoever logs and keeps them --- */

bool breakers_take_change(struct breakers *breakers, struct breaker_change *change) {
  pthread_mutex_lock(&breakers->changes_mutex);
  bool found = breakers->change_count > 0;
  if (found) {
    *change = breakers->changes[breakers->first_change];
    breakers->first_change = (breakers->first_change + 1) % BREAKER_CHANGES_MAX;
    breakers->change_count--;
  }
  pthread_mutex_unlock(&breakers->changes_mutex);
  return found;
}

void breakers_listen(struct breakers *breakers, void (*notify)(void *), void *argument) {
  pthread_mutex_lock(&breakers->changes_mutex);
  breakers->notify = notify;
  breakers->argument = argument;
  pthread_mutex_unlock(&breakers->changes_mutex);
}

uint64_t breakers_dropped(struct breakers *breakers) {
  pthread_mutex_lock(&breakers->changes_mutex);
  uint64_t dropped = breakers->dropped;
  pthread_mutex_unlock(&breakers->changes_mutex);
  return dropped;
}

static void tell(struct breaker *breaker, enum breaker_state from, enum breaker_reason reason) {
  struct breakers *owner = breaker->owner;
  pthread_mutex_lock(&owner->changes_mutex);
  if (owner->change_count == BREAKER_CHANGES_MAX) {
    owner->dropped++;
  } else {
    size_t at = (owner->first_change + owner->change_count++) % BREAKER_CHANGES_MAX;
    owner->changes[at] = (struct breaker_change){
        .from = from, .to = breaker->state, .mode = breaker->mode, .reason = reason};
    memcpy(owner->changes[at].name, breaker->name, sizeof breaker->name);
  }
  if (owner->notify != NULL) owner->notify(owner->argument);
  pthread_mutex_unlock(&owner->changes_mutex);
}

/* --- a cell; its mutex is held --- */

static uint64_t lock(struct breaker *breaker, uint64_t now_ns) {
  pthread_mutex_lock(&breaker->mutex);
  if (now_ns > breaker->now_ns) breaker->now_ns = now_ns;
  return breaker->now_ns;
}

static void unlock(struct breaker *breaker) {
  bool is_plain = breaker->mode == BREAKER_AUTO && breaker->state == BREAKER_CLOSED;
  atomic_store_explicit(&breaker->is_plain, is_plain, memory_order_relaxed);
  pthread_mutex_unlock(&breaker->mutex);
}

static void forget_leases(struct breaker *breaker) {
  memset(breaker->leases, 0, sizeof breaker->leases);
  breaker->leases_out = 0;
}

static void change(struct breaker *breaker, enum breaker_state to, enum breaker_reason reason) {
  enum breaker_state from = breaker->state;
  breaker->state = to;
  breaker->epoch++;
  breaker->successes = 0;
  breaker->consecutive_failures = 0;
  forget_leases(breaker);
  if (to == BREAKER_OPEN) {
    breaker->opened_ns = breaker->now_ns;
    breaker->ever_opened_ns = breaker->now_ns;
    breaker->opened_total++;
  }
  if (to == BREAKER_CLOSED) memset(breaker->parts, 0, sizeof breaker->parts);
  tell(breaker, from, reason);
}

static uint64_t open_left(const struct breaker *breaker) {
  uint64_t end = breaker->opened_ns + breaker->settings.timeout_ns;
  return end > breaker->now_ns ? end - breaker->now_ns : 0;
}

/* The earliest end of a lease that is out; UINT64_MAX when none is. */
static uint64_t first_deadline(const struct breaker *breaker) {
  uint64_t first = UINT64_MAX;
  for (uint32_t i = 0; breaker->leases_out > 0 && i < BREAKER_PROBES_MAX; i++)
    if (breaker->leases[i].is_out && breaker->leases[i].deadline_ns < first)
      first = breaker->leases[i].deadline_ns;
  return first;
}

/* What time alone does. */
static void advance(struct breaker *breaker) {
  if (breaker->state == BREAKER_OPEN && open_left(breaker) == 0)
    change(breaker, BREAKER_HALF_OPEN, BREAKER_BY_TIME);
  if (breaker->state == BREAKER_HALF_OPEN && first_deadline(breaker) <= breaker->now_ns)
    change(breaker, BREAKER_OPEN, BREAKER_BY_LEASE);
}

static uint32_t probes_allowed(const struct breaker *breaker) {
  uint32_t calls = breaker->settings.half_open_calls;
  if (calls == 0) return 1;
  return calls < BREAKER_PROBES_MAX ? calls : BREAKER_PROBES_MAX;
}

/* Why no permit can be had in this state: 0 when it can, else the time to wait. */
static uint64_t refusal(const struct breaker *breaker) {
  if (breaker->mode == BREAKER_HELD_OPEN)
    return breaker->settings.timeout_ns > 0 ? breaker->settings.timeout_ns : 1;
  if (breaker->mode != BREAKER_AUTO || !breaker->settings.enabled) return 0;
  if (breaker->state == BREAKER_OPEN) return open_left(breaker);
  if (breaker->state == BREAKER_CLOSED || breaker->leases_out < probes_allowed(breaker)) return 0;
  uint64_t first = first_deadline(breaker);
  return first > breaker->now_ns ? first - breaker->now_ns : 1;
}

static enum breaker_state shown_state(const struct breaker *breaker) {
  if (breaker->mode == BREAKER_HELD_OPEN) return BREAKER_OPEN;
  if (breaker->mode == BREAKER_HELD_CLOSED || !breaker->settings.enabled) return BREAKER_CLOSED;
  if (breaker->state == BREAKER_OPEN && open_left(breaker) == 0) return BREAKER_HALF_OPEN;
  return breaker->state;
}

/* --- the window --- */

static struct part *part_now(struct breaker *breaker) {
  uint64_t length = breaker->settings.window_ns / BREAKER_WINDOW_PARTS;
  uint64_t number = breaker->now_ns / (length > 0 ? length : 1) + 1; /* 0: never used */
  struct part *part = &breaker->parts[number % BREAKER_WINDOW_PARTS];
  if (part->number != number) *part = (struct part){.number = number};
  return part;
}

static struct part window(const struct breaker *breaker) {
  struct part sum = {0};
  uint64_t length = breaker->settings.window_ns / BREAKER_WINDOW_PARTS;
  if (length == 0) return sum;
  uint64_t newest = breaker->now_ns / length + 1;
  for (size_t i = 0; i < BREAKER_WINDOW_PARTS; i++) {
    const struct part *part = &breaker->parts[i];
    if (part->number == 0 || part->number + BREAKER_WINDOW_PARTS <= newest) continue;
    sum.calls += part->calls;
    sum.failures += part->failures;
    sum.slow += part->slow;
  }
  return sum;
}

static void count(struct breaker *breaker, bool failed, uint64_t duration_ns) {
  breaker->consecutive_failures = failed ? breaker->consecutive_failures + 1 : 0;
  if (breaker->settings.window_ns == 0) return;
  struct part *part = part_now(breaker);
  part->calls++;
  part->failures += failed;
  part->slow += breaker->settings.slow_ns > 0 && duration_ns > breaker->settings.slow_ns;
}

/* Opens a closed breaker whose counts say so. */
static void weigh(struct breaker *breaker) {
  const struct breaker_settings *settings = &breaker->settings;
  if (!settings->enabled || breaker->mode == BREAKER_HELD_CLOSED) return;
  if (breaker->consecutive_failures >= settings->failure_threshold) {
    change(breaker, BREAKER_OPEN, BREAKER_BY_FAILURES);
    return;
  }
  struct part sum = window(breaker);
  if (settings->failure_rate <= 0 || sum.calls < BREAKER_RATE_CALLS_MIN) return;
  double limit = settings->failure_rate * (double)sum.calls;
  if ((double)sum.failures >= limit)
    change(breaker, BREAKER_OPEN, BREAKER_BY_FAILURE_RATE);
  else if ((double)sum.slow >= limit)
    change(breaker, BREAKER_OPEN, BREAKER_BY_SLOW_RATE);
}

/* --- what callers do --- */

void breaker_configure(struct breaker *breaker, const struct breaker_settings *settings,
                       uint64_t now_ns) {
  lock(breaker, now_ns);
  if (settings->window_ns != breaker->settings.window_ns)
    memset(breaker->parts, 0, sizeof breaker->parts);
  breaker->settings = *settings;
  if (!settings->enabled && breaker->state != BREAKER_CLOSED)
    change(breaker, BREAKER_CLOSED, BREAKER_BY_MODE);
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
  if (atomic_load_explicit(&breaker->is_plain, memory_order_relaxed)) return false;
  lock(breaker, now_ns);
  *state = shown_state(breaker);
  *retry_after_ns = refusal(breaker);
  /* A lease that has run out opens it anew at the next permit. */
  if (*state == BREAKER_HALF_OPEN && breaker->state == BREAKER_HALF_OPEN &&
      breaker->mode == BREAKER_AUTO && first_deadline(breaker) <= breaker->now_ns) {
    *state = BREAKER_OPEN;
    *retry_after_ns = breaker->settings.timeout_ns;
    advance(breaker);
  }
  bool blocks = *retry_after_ns > 0;
  unlock(breaker);
  return blocks;
}

static int take_lease(struct breaker *breaker, uint64_t lease_ns) {
  int slot = 0;
  while (breaker->leases[slot].is_out) slot++;
  breaker->leases[slot] = (struct lease){
      .is_out = true, .epoch = breaker->epoch, .deadline_ns = breaker->now_ns + lease_ns};
  breaker->leases_out++;
  return slot;
}

bool breaker_take(struct breaker *breaker, uint64_t now_ns, uint64_t lease_ns,
                  struct breaker_permit *permit, uint64_t *retry_after_ns) {
  lock(breaker, now_ns);
  advance(breaker);
  *retry_after_ns = refusal(breaker);
  bool granted = *retry_after_ns == 0;
  *permit = (struct breaker_permit){.breaker = NULL, .slot = -1};
  if (granted) {
    bool probes = breaker->state == BREAKER_HALF_OPEN && breaker->settings.enabled &&
                  breaker->leases_out < probes_allowed(breaker);
    permit->breaker = breaker;
    permit->epoch = breaker->epoch;
    permit->slot = probes ? take_lease(breaker, lease_ns) : -1;
  } else {
    breaker->refused_total++;
  }
  unlock(breaker);
  return granted;
}

/* The lease of a permit, if it is still out. */
static struct lease *lease_of(const struct breaker_permit *permit) {
  if (permit->slot < 0) return NULL;
  struct lease *lease = &permit->breaker->leases[permit->slot];
  return lease->is_out && lease->epoch == permit->epoch ? lease : NULL;
}

void breaker_extend(struct breaker_permit *permit, uint64_t now_ns, uint64_t lease_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker == NULL || permit->slot < 0) return;
  uint64_t now = lock(breaker, now_ns);
  struct lease *lease = lease_of(permit);
  if (lease != NULL && lease->deadline_ns < now + lease_ns) lease->deadline_ns = now + lease_ns;
  unlock(breaker);
}

/* Ends the permit; false when its epoch is over, so that its verdict means nothing. */
static bool end_permit(struct breaker_permit *permit, uint64_t now_ns) {
  struct breaker *breaker = permit->breaker;
  lock(breaker, now_ns);
  advance(breaker);
  struct lease *lease = lease_of(permit);
  if (lease != NULL) {
    lease->is_out = false;
    breaker->leases_out--;
  }
  permit->breaker = NULL;
  return permit->epoch == breaker->epoch;
}

void breaker_succeed(struct breaker_permit *permit, uint64_t now_ns, uint64_t duration_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker == NULL) return;
  if (end_permit(permit, now_ns)) {
    count(breaker, false, duration_ns);
    if (breaker->state == BREAKER_CLOSED)
      weigh(breaker);
    else if (breaker->state == BREAKER_HALF_OPEN && ++breaker->successes >= probes_allowed(breaker))
      change(breaker, BREAKER_CLOSED, BREAKER_BY_SUCCESS);
  }
  unlock(breaker);
}

void breaker_fail(struct breaker_permit *permit, uint64_t now_ns, uint64_t duration_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker == NULL) return;
  if (end_permit(permit, now_ns)) {
    count(breaker, true, duration_ns);
    if (breaker->state == BREAKER_CLOSED)
      weigh(breaker);
    else if (breaker->state == BREAKER_HALF_OPEN)
      change(breaker, BREAKER_OPEN, BREAKER_BY_PROBE);
  }
  unlock(breaker);
}

void breaker_give_back(struct breaker_permit *permit, uint64_t now_ns) {
  struct breaker *breaker = permit->breaker;
  if (breaker == NULL) return;
  end_permit(permit, now_ns);
  unlock(breaker);
}

void breaker_set_mode(struct breaker *breaker, enum breaker_mode mode, uint64_t now_ns) {
  lock(breaker, now_ns);
  if (mode != breaker->mode || mode == BREAKER_AUTO) {
    breaker->mode = mode;
    if (mode == BREAKER_AUTO || mode == BREAKER_HELD_CLOSED)
      change(breaker, BREAKER_CLOSED, BREAKER_BY_MODE);
    else
      tell(breaker, breaker->state, BREAKER_BY_MODE);
  }
  unlock(breaker);
}

struct breaker_info breaker_read(struct breaker *breaker, uint64_t now_ns) {
  lock(breaker, now_ns);
  struct part sum = window(breaker);
  struct breaker_info info = {
      .state = shown_state(breaker),
      .mode = breaker->mode,
      .consecutive_failures = breaker->consecutive_failures,
      .calls = sum.calls,
      .failures = sum.failures,
      .slow = sum.slow,
      .open_since_ns = breaker->ever_opened_ns,
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
  struct breaker_memory memory = {
      .state = breaker->state,
      .mode = breaker->mode,
      .consecutive_failures = breaker->consecutive_failures,
  };
  if (breaker->state != BREAKER_CLOSED) memory.open_for_ns = breaker->now_ns - breaker->opened_ns;
  unlock(breaker);
  return memory;
}

void breaker_restore(struct breaker *breaker, const struct breaker_memory *memory,
                     uint64_t elapsed_ns, uint64_t now_ns) {
  uint64_t now = lock(breaker, now_ns);
  breaker->mode = memory->mode;
  breaker->consecutive_failures = memory->consecutive_failures;
  if (memory->state != BREAKER_CLOSED && breaker->settings.enabled) {
    breaker->state = BREAKER_OPEN;
    breaker->epoch++;
    uint64_t past = memory->open_for_ns + elapsed_ns;
    bool is_over = memory->state == BREAKER_HALF_OPEN || past >= breaker->settings.timeout_ns;
    if (is_over) past = breaker->settings.timeout_ns;
    breaker->opened_ns = now > past ? now - past : 0;
    breaker->ever_opened_ns = breaker->opened_ns;
  }
  unlock(breaker);
}
