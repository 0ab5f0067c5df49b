#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "state/refusals.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)
#define START (5 * SECOND)
#define THREADS 8
#define STEPS 20000

static bool note(struct refusals *refusals, const char *key, uint64_t now_ns) {
  return refusals_note(refusals, key, strlen(key), now_ns);
}

static void no_second_has_more_than_the_limit(void **state) {
  (void)state;
  struct refusals *refusals = refusals_new();
  uint64_t let[4000];
  size_t count = 0;
  for (uint64_t i = 0; i < 4000; i++) {
    uint64_t now = START + i * MILLISECOND;
    if (note(refusals, "10.0.0.1", now)) let[count++] = now;
  }
  assert_int_equal(count, 4 * REFUSALS_PER_SECOND);
  for (size_t i = REFUSALS_PER_SECOND; i < count; i++)
    assert_true(let[i] - let[i - REFUSALS_PER_SECOND] >= SECOND);
  refusals_free(refusals);
}

static void keys_are_counted_apart(void **state) {
  (void)state;
  struct refusals *refusals = refusals_new();
  for (int i = 0; i < 100; i++) note(refusals, "10.0.0.1", START);
  assert_false(note(refusals, "10.0.0.1", START));
  assert_true(note(refusals, "10.0.0.2", START));
  assert_true(refusals_note(refusals, "10.0.0.1", 7, START));
  refusals_free(refusals);
}

static void who_is_slow_is_never_over_the_limit(void **state) {
  (void)state;
  struct refusals *refusals = refusals_new();
  for (uint64_t i = 0; i < 1000; i++)
    assert_true(note(refusals, "10.0.0.1", START + i * SECOND / REFUSALS_PER_SECOND));
  refusals_free(refusals);
}

static void a_flood_of_other_keys_makes_room_of_the_oldest(void **state) {
  (void)state;
  struct refusals *refusals = refusals_new();
  char key[32];
  for (int i = 0; i < REFUSALS_PER_SECOND; i++) assert_true(note(refusals, "kept", START));
  for (int i = 0; i < 100 * REFUSALS_KEYS_MAX; i++) {
    uint64_t now = START + (uint64_t)i;
    snprintf(key, sizeof key, "other %d", i);
    assert_true(note(refusals, key, now));
    /* Who goes on is not forgotten. */
    if (i % 16 == 0) assert_false(note(refusals, "kept", now));
  }
  refusals_free(refusals);
}

static void a_clock_that_is_behind_does_no_harm(void **state) {
  (void)state;
  struct refusals *refusals = refusals_new();
  for (int i = 0; i < REFUSALS_PER_SECOND; i++)
    assert_true(note(refusals, "a", START - (uint64_t)(i % 3) * MILLISECOND));
  assert_false(note(refusals, "a", START - 5 * MILLISECOND));
  assert_true(note(refusals, "a", START + SECOND));
  refusals_free(refusals);
}

struct race {
  struct refusals *refusals;
  _Atomic uint64_t clock;
  atomic_int let;
};

static void *refuse(void *argument) {
  struct race *race = argument;
  char key[16];
  for (int i = 0; i < STEPS; i++) {
    uint64_t now = atomic_fetch_add(&race->clock, MILLISECOND / 10);
    if (note(race->refusals, "one", now)) atomic_fetch_add(&race->let, 1);
    snprintf(key, sizeof key, "%d", i);
    note(race->refusals, key, now);
  }
  return NULL;
}

static void all_threads_share_one_limit(void **state) {
  (void)state;
  struct race race = {.refusals = refusals_new(), .clock = START};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, refuse, &race), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  uint64_t seconds = (uint64_t)THREADS * STEPS * (MILLISECOND / 10) / SECOND;
  assert_in_range(atomic_load(&race.let), 1, (seconds + 1) * REFUSALS_PER_SECOND);
  refusals_free(race.refusals);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_second_has_more_than_the_limit),
      cmocka_unit_test(keys_are_counted_apart),
      cmocka_unit_test(who_is_slow_is_never_over_the_limit),
      cmocka_unit_test(a_flood_of_other_keys_makes_room_of_the_oldest),
      cmocka_unit_test(a_clock_that_is_behind_does_no_harm),
      cmocka_unit_test(all_threads_share_one_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
