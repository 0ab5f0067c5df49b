/* Eight threads use one cache at a time. */
#include "state/cache_scan.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define THREADS 8
#define STEPS 100000
#define KEYS 64
#define LIMIT 65536
#define VALUE_MAX 800
#define MILLISECOND UINT64_C(1000000)

struct crew {
  struct cache *cache;
  atomic_int faults; /* cmocka's assertions belong to its own thread */
};

struct hand {
  struct crew *crew;
  struct cache_space *space;
  unsigned seed;
};

/* What a value says of itself: the key that it is for, and the epoch before it was made. */
struct stamp {
  uint64_t key, epoch;
};

static unsigned pick(struct hand *hand, unsigned below) {
  hand->seed = hand->seed * 1103515245u + 12345u;
  return (hand->seed >> 12) % below;
}

static void expect(struct hand *hand, bool holds) {
  if (!holds) atomic_fetch_add(&hand->crew->faults, 1);
}

/* Clocks of threads may be behind. */
static uint64_t now_of(struct hand *hand) {
  return clock_real_monotonic_ns() - pick(hand, 3) * MILLISECOND;
}

static void put(struct hand *hand, uint64_t key) {
  char value[VALUE_MAX];
  struct stamp stamp = {key, cache_epoch(hand->space)};
  size_t length = sizeof stamp + pick(hand, VALUE_MAX - sizeof stamp);
  memset(value, (int)key, length);
  memcpy(value, &stamp, sizeof stamp);
  struct cache_item item = {.key = (const char *)&key,
                            .key_length = sizeof key,
                            .value = value,
                            .value_length = length,
                            .ttl_ns = pick(hand, 4) * MILLISECOND,
                            .keep_ns = pick(hand, 4) * MILLISECOND,
                            .has_epoch = true,
                            .epoch = stamp.epoch};
  enum cache_outcome outcome = cache_put(hand->space, &item, now_of(hand));
  expect(hand, outcome == CACHE_STORED || outcome == CACHE_OLD_EPOCH);
}

/* Nothing older than `epoch` may be found. */
static void get(struct hand *hand, uint64_t key, uint64_t epoch) {
  struct cache_hit hit;
  struct stamp stamp;
  bool found = cache_get(hand->space, (const char *)&key, sizeof key, now_of(hand), &hit);
  expect(hand, found == (hit.entry != NULL));
  if (!found) return;
  memcpy(&stamp, hit.bytes, sizeof stamp);
  expect(hand, stamp.key == key && stamp.epoch >= epoch);
  for (size_t i = sizeof stamp; i < hit.length; i++)
    expect(hand, (unsigned char)hit.bytes[i] == key);
  expect(hand, hit.age_ns < 10 * MILLISECOND);
  expect(hand, hit.expires_in_ns <= (int64_t)(4 * MILLISECOND));
  cache_hit_release(&hit);
}

/* Some are given up in the middle. */
static size_t scan(struct hand *hand, bool deletes) {
  struct cache_scan *scan = cache_scan_new(hand->space, "*", 1, deletes);
  bool more = true;
  while (more && (deletes || pick(hand, 4) != 0)) more = cache_scan_step(scan, now_of(hand));
  size_t count = cache_scan_count(scan);
  cache_scan_free(scan);
  return count;
}

/* What was made before a delete is not found after it. */
static void delete (struct hand *hand, uint64_t key) {
  uint64_t epoch = cache_epoch(hand->space);
  if (pick(hand, 2) == 0)
    cache_delete(hand->space, (const char *)&key, sizeof key, now_of(hand));
  else
    scan(hand, true);
  get(hand, key, epoch + 1);
}

static void look_over(struct hand *hand) {
  struct cache_totals totals = cache_totals(hand->crew->cache);
  expect(hand, totals.bytes <= LIMIT);
  expect(hand, scan(hand, false) <= KEYS);
  cache_set_limit(hand->crew->cache, LIMIT - 16384 * pick(hand, 2));
}

static void *work(void *argument) {
  struct hand *hand = argument;
  for (int i = 0; i < STEPS; i++) {
    uint64_t key = pick(hand, KEYS);
    unsigned kind = pick(hand, 200);
    if (kind == 0)
      look_over(hand);
    else if (kind < 8)
      delete (hand, key);
    else if (kind < 80)
      put(hand, key);
    else
      get(hand, key, 0);
    cache_count(hand->space, CACHE_HITS);
  }
  return NULL;
}

static void check_totals(struct cache *cache, struct cache_space *const *spaces) {
  struct cache_totals totals = cache_totals(cache);
  assert_true(totals.bytes <= LIMIT);
  assert_int_equal(totals.bytes,
                   cache_counted(spaces[0], CACHE_BYTES) + cache_counted(spaces[1], CACHE_BYTES));
  assert_int_equal(totals.entries, cache_counted(spaces[0], CACHE_ENTRIES) +
                                       cache_counted(spaces[1], CACHE_ENTRIES));
  assert_int_equal(cache_counted(spaces[0], CACHE_HITS) + cache_counted(spaces[1], CACHE_HITS),
                   THREADS * STEPS);
}

static void threads_see_whole_values_and_none_from_before_a_delete(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  struct hand hands[THREADS];
  struct crew crew = {.cache = cache_new(LIMIT)};
  assert_non_null(crew.cache);
  struct cache_space *spaces[] = {cache_space_of(crew.cache, "acme", 4),
                                  cache_space_of(crew.cache, "other", 5)};
  for (unsigned i = 0; i < THREADS; i++) {
    hands[i] = (struct hand){.crew = &crew, .space = spaces[i % 2], .seed = i};
    assert_int_equal(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&crew.faults), 0);
  check_totals(crew.cache, spaces);
  cache_free(crew.cache);
}

/* More entries than a scan takes in a step. */
static void *scan_among_others(void *argument) {
  struct hand *hand = argument;
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 200; i++) {
      uint64_t key = pick(hand, 20000);
      struct cache_item item = {.key = (const char *)&key,
                                .key_length = sizeof key,
                                .value = "value",
                                .value_length = 5,
                                .ttl_ns = 60000 * MILLISECOND};
      expect(hand, cache_put(hand->space, &item, now_of(hand)) == CACHE_STORED);
    }
    scan(hand, round % 50 == 49);
  }
  return NULL;
}

static void threads_scan_while_others_store_and_delete(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  struct hand hands[THREADS];
  struct crew crew = {.cache = cache_new(64 * LIMIT)};
  assert_non_null(crew.cache);
  struct cache_space *space = cache_space_of(crew.cache, "acme", 4);
  for (unsigned i = 0; i < THREADS; i++) {
    hands[i] = (struct hand){.crew = &crew, .space = space, .seed = i};
    assert_int_equal(pthread_create(&threads[i], NULL, scan_among_others, &hands[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&crew.faults), 0);
  uint64_t entries = cache_counted(space, CACHE_ENTRIES);
  struct cache_scan *scan = cache_scan_new(space, "*", 1, true);
  while (cache_scan_step(scan, clock_real_monotonic_ns())) continue;
  assert_int_equal(cache_scan_count(scan), entries);
  cache_scan_free(scan);
  assert_int_equal(cache_totals(crew.cache).bytes, 0);
  cache_free(crew.cache);
}

struct namer {
  struct cache *cache;
  struct cache_space *spaces[100];
};

static void *name_all(void *argument) {
  struct namer *namer = argument;
  char name[16];
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "n%d", i);
    namer->spaces[i] = cache_space_of(namer->cache, name, strlen(name));
  }
  return NULL;
}

static void threads_get_the_same_space_for_the_same_name(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  struct namer namers[THREADS];
  struct cache *cache = cache_new(LIMIT);
  for (int i = 0; i < THREADS; i++) {
    namers[i].cache = cache;
    pthread_create(&threads[i], NULL, name_all, &namers[i]);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 1; i < THREADS; i++)
    assert_memory_equal(namers[i].spaces, namers[0].spaces, sizeof namers[0].spaces);
  cache_free(cache);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_see_whole_values_and_none_from_before_a_delete),
      cmocka_unit_test(threads_scan_while_others_store_and_delete),
      cmocka_unit_test(threads_get_the_same_space_for_the_same_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
