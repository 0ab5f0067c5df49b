/* Eight threads at one breaker: for the thread sanitizer, and for what must hold over all workers.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state/breaker.h"
#include "state/breaker_changes.h"

#define THREADS 8
#define STEPS 20000
#define MILLISECOND UINT64_C(1000000)
#define PROBES 2
#define EPOCHS 65536

static const struct breaker_settings settings = {.enabled = true,
                                                 .failure_threshold = 3,
                                                 .timeout_ns = 50 * MILLISECOND,
                                                 .half_open_calls = PROBES,
                                                 .window_ns = 1000 * MILLISECOND,
                                                 .failure_rate = 0.9,
                                                 .slow_ns = MILLISECOND};

struct race {
  struct breakers *breakers;
  struct breaker *breaker;
  _Atomic uint64_t clock;
  atomic_int probes[EPOCHS]; /* out, by their epoch */
  atomic_int wrong, granted_probes, notices;
  atomic_bool is_over;
};

struct racer {
  struct race *race;
  unsigned seed;
};

/* A thread cannot fail a test: it says that it should. */
static void expect(struct race *race, bool is_right) {
  if (!is_right) atomic_fetch_add(&race->wrong, 1);
}

static void hold(struct race *race, struct breaker_permit *permit, unsigned *seed) {
  atomic_int *out = &race->probes[permit->epoch % EPOCHS];
  bool probes = permit->slot >= 0;
  if (probes) {
    atomic_fetch_add(&race->granted_probes, 1);
    expect(race, atomic_fetch_add(out, 1) < PROBES);
  }
  uint64_t now = atomic_fetch_add(&race->clock, MILLISECOND);
  if (rand_r(seed) % 4 == 0) breaker_extend(permit, now, 1000000 * MILLISECOND);
  if (probes) atomic_fetch_sub(out, 1);
  switch (rand_r(seed) % 5) {
    case 0:
      breaker_give_back(permit, now);
      break;
    case 1:
    case 2:
      breaker_succeed(permit, now, now % (3 * MILLISECOND));
      break;
    default:
      breaker_fail(permit, now, 0);
  }
}

/* What an operator, a reload and the metrics do meanwhile. */
static void disturb(struct race *race, unsigned *seed) {
  uint64_t now = atomic_load(&race->clock);
  struct breaker_memory memory;
  switch (rand_r(seed) % 5) {
    case 0:
      breaker_set_mode(race->breaker, (enum breaker_mode)(rand_r(seed) % 4), now);
      break;
    case 1:
      breaker_configure(race->breaker, &settings, now);
      break;
    case 2:
      memory = breaker_save(race->breaker, now);
      expect(race, memory.state <= BREAKER_HALF_OPEN);
      break;
    case 3:
      expect(race, breakers_cell(race->breakers, "acme") == race->breaker);
      break;
    default:
      expect(race, breaker_read(race->breaker, now).probes_out <= PROBES);
  }
  breaker_set_mode(race->breaker, BREAKER_AUTO, now);
}

static void *run_calls(void *argument) {
  struct racer *racer = argument;
  struct race *race = racer->race;
  for (int count = 0; count < STEPS; count++) {
    struct breaker_permit permit;
    uint64_t retry_after_ns, now = atomic_fetch_add(&race->clock, MILLISECOND);
    enum breaker_state state;
    breaker_blocks(race->breaker, now, &state, &retry_after_ns);
    if (breaker_take(race->breaker, now, 1000000 * MILLISECOND, &permit, &retry_after_ns))
      hold(race, &permit, &racer->seed);
    else
      expect(race, retry_after_ns > 0);
    if (rand_r(&racer->seed) % 500 == 0) disturb(race, &racer->seed);
  }
  return NULL;
}

static void note(void *argument) {
  atomic_fetch_add(&((struct race *)argument)->notices, 1);
}

/* Each change begins where the one before it has ended, unless some were dropped. */
static void *read_changes(void *argument) {
  struct race *race = argument;
  struct breaker_changes *changes = breakers_changes(race->breakers);
  enum breaker_state state = BREAKER_CLOSED;
  struct breaker_change change;
  while (true) {
    bool is_over = atomic_load(&race->is_over);
    while (breaker_changes_take(changes, &change)) {
      expect(race, change.from == state || breaker_changes_dropped(changes) > 0);
      state = change.to;
    }
    if (is_over) return NULL;
  }
}

static void eight_threads_share_a_breaker(void **unused) {
  (void)unused;
  struct race *race = calloc(1, sizeof *race);
  assert_non_null(race);
  race->breakers = breakers_new();
  race->breaker = breakers_cell(race->breakers, "acme");
  breaker_configure(race->breaker, &settings, 0);
  assert_true(breaker_changes_listen(breakers_changes(race->breakers), note, race));
  pthread_t threads[THREADS], reader;
  struct racer racers[THREADS];
  assert_int_equal(pthread_create(&reader, NULL, read_changes, race), 0);
  for (unsigned i = 0; i < THREADS; i++) {
    racers[i] = (struct racer){race, i + 1};
    assert_int_equal(pthread_create(&threads[i], NULL, run_calls, &racers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  atomic_store(&race->is_over, true);
  pthread_join(reader, NULL);
  breaker_changes_leave(breakers_changes(race->breakers));
  assert_int_equal(atomic_load(&race->wrong), 0);
  assert_true(atomic_load(&race->granted_probes) > 100);
  assert_true(atomic_load(&race->notices) > 100);
  struct breaker_info info = breaker_read(race->breaker, atomic_load(&race->clock));
  assert_int_equal(info.probes_out, 0);
  breakers_free(race->breakers);
  free(race);
}

#define CELLS 300

static void *make_cells(void *argument) {
  struct race *race = argument;
  char name[32];
  for (int i = 0; i < CELLS; i++) {
    snprintf(name, sizeof name, "cell %d", (i * 7) % CELLS);
    struct breaker *breaker = breakers_cell(race->breakers, name);
    expect(race, breaker != NULL && strcmp(breaker_name(breaker), name) == 0);
  }
  return NULL;
}

static void cells_are_made_once_by_whoever_comes_first(void **unused) {
  (void)unused;
  struct race *race = calloc(1, sizeof *race);
  assert_non_null(race);
  race->breakers = breakers_new();
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, make_cells, race), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&race->wrong), 0);
  breakers_free(race->breakers);
  free(race);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(eight_threads_share_a_breaker),
      cmocka_unit_test(cells_are_made_once_by_whoever_comes_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
