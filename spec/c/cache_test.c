#include "state/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "state/cache_scan.h"

#define MEGABYTE 1048576
#define SECOND UINT64_C(1000000000)
#define START (1000 * SECOND)

static int new_cache(void **state) {
  *state = cache_new(4 * MEGABYTE);
  return *state == NULL ? -1 : 0;
}

static int free_cache(void **state) {
  cache_free(*state);
  return 0;
}

static struct cache_space *space_of(void **state, const char *name) {
  struct cache_space *space = cache_space_of(*state, name, strlen(name));
  assert_non_null(space);
  return space;
}

static struct cache_item item_of(const char *key, const char *value) {
  return (struct cache_item){.key = key,
                             .key_length = strlen(key),
                             .value = value,
                             .value_length = strlen(value),
                             .ttl_ns = 10 * SECOND,
                             .keep_ns = 5 * SECOND};
}

static void put(struct cache_space *space, const char *key, const char *value, uint64_t now) {
  struct cache_item item = item_of(key, value);
  assert_int_equal(cache_put(space, &item, now), CACHE_STORED);
}

static enum cache_outcome put_at_epoch(struct cache_space *space, const char *key, uint64_t epoch) {
  struct cache_item item = item_of(key, "value");
  item.has_epoch = true;
  item.epoch = epoch;
  return cache_put(space, &item, START);
}

static bool has(struct cache_space *space, const char *key, uint64_t now) {
  struct cache_hit hit;
  bool found = cache_get(space, key, strlen(key), now, &hit);
  cache_hit_release(&hit);
  return found;
}

static void assert_value(struct cache_space *space, const char *key, const char *value) {
  struct cache_hit hit;
  assert_true(cache_get(space, key, strlen(key), START, &hit));
  assert_int_equal(hit.length, strlen(value));
  assert_memory_equal(hit.bytes, value, hit.length);
  cache_hit_release(&hit);
}

static bool delete_key(struct cache_space *space, const char *key) {
  return cache_delete(space, key, strlen(key), START);
}

static size_t scan_at(struct cache_space *space, const char *pattern, bool deletes, uint64_t now) {
  struct cache_scan *scan = cache_scan_new(space, pattern, strlen(pattern), deletes);
  assert_non_null(scan);
  while (cache_scan_step(scan, now)) continue;
  size_t count = cache_scan_count(scan);
  cache_scan_free(scan);
  return count;
}

static size_t delete_matching(struct cache_space *space, const char *pattern) {
  return scan_at(space, pattern, true, START);
}

static size_t count_matching(struct cache_space *space, const char *pattern) {
  return scan_at(space, pattern, false, START);
}

/* --- time --- */

static void an_entry_is_fresh_then_stale_then_gone(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_hit hit;
  put(space, "key", "value", START);
  assert_true(cache_get(space, "key", 3, START + 4 * SECOND, &hit));
  assert_int_equal(hit.age_ns, 4 * SECOND);
  assert_int_equal(hit.expires_in_ns, 6 * SECOND);
  cache_hit_release(&hit);
  assert_true(cache_get(space, "key", 3, START + 12 * SECOND, &hit));
  assert_int_equal(hit.age_ns, 12 * SECOND);
  assert_true(hit.expires_in_ns == -2 * (int64_t)SECOND);
  cache_hit_release(&hit);
  assert_true(has(space, "key", START + 15 * SECOND - 1));
  assert_false(has(space, "key", START + 15 * SECOND));
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 0);
  assert_int_equal(cache_counted(space, CACHE_BYTES), 0);
}

static void an_entry_is_not_fresh_at_the_instant_of_its_expiry(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_hit hit;
  put(space, "key", "value", START);
  assert_true(cache_get(space, "key", 3, START + 10 * SECOND - 1, &hit));
  assert_true(hit.expires_in_ns > 0);
  cache_hit_release(&hit);
  assert_true(cache_get(space, "key", 3, START + 10 * SECOND, &hit));
  assert_true(hit.expires_in_ns < 0);
  cache_hit_release(&hit);
}

static void a_clock_that_is_behind_sees_no_negative_age(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_hit hit;
  put(space, "key", "value", START);
  assert_true(cache_get(space, "key", 3, START - SECOND, &hit));
  assert_int_equal(hit.age_ns, 0);
  assert_int_equal(hit.expires_in_ns, 10 * SECOND);
  cache_hit_release(&hit);
}

static void a_space_takes_no_step_back_in_time(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put(space, "key", "value", START);
  assert_false(has(space, "other", START + 20 * SECOND));
  assert_false(has(space, "key", START));
  put(space, "late", "value", START);
  assert_true(has(space, "late", START + 34 * SECOND));
  assert_false(has(space, "late", START + 35 * SECOND));
}

static void spaces_have_times_of_their_own(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put(space, "key", "value", START);
  assert_false(has(space_of(state, "other"), "key", START + 100 * SECOND));
  assert_true(has(space, "key", START));
}

static void the_longest_durations_do_not_wrap(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_item item = item_of("key", "value");
  struct cache_hit hit;
  item.ttl_ns = UINT64_MAX;
  item.keep_ns = UINT64_MAX;
  assert_int_equal(cache_put(space, &item, START), CACHE_STORED);
  assert_true(cache_get(space, "key", 3, START + 1000 * SECOND, &hit));
  assert_true(hit.expires_in_ns > 0);
  cache_hit_release(&hit);
}

static void entries_that_are_gone_are_swept_by_later_ones(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char key[32];
  for (int i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "old %d", i);
    put(space, key, "value", START);
  }
  for (int i = 0; i < 20000; i++) {
    struct cache_item item = item_of("new", "value");
    assert_int_equal(cache_put(space, &item, START + 20 * SECOND), CACHE_STORED);
    snprintf(key, sizeof key, "new %d", i % 500);
    put(space, key, "value", START + 20 * SECOND);
  }
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 501);
  assert_int_equal(cache_counted(space, CACHE_EVICTIONS), 0);
}

/* --- values --- */

static void values_keys_and_marks_are_kept_as_they_are(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_item item = item_of("", "");
  struct cache_hit hit;
  item.key = "a\0b";
  item.key_length = 3;
  item.value = "\0\xff\0";
  item.value_length = 3;
  item.is_negative = true;
  assert_int_equal(cache_put(space, &item, START), CACHE_STORED);
  assert_false(has(space, "a", START));
  assert_true(cache_get(space, "a\0b", 3, START, &hit));
  assert_int_equal(hit.length, 3);
  assert_memory_equal(hit.bytes, "\0\xff\0", 3);
  assert_true(hit.is_negative);
  cache_hit_release(&hit);
  put(space, "", "", START);
  assert_value(space, "", "");
}

static void a_later_value_takes_the_place_of_the_earlier(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put(space, "key", "one", START);
  put(space, "key", "three", START + SECOND);
  assert_value(space, "key", "three");
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 1);
  assert_int_equal(cache_counted(space, CACHE_STORES), 2);
}

static void a_hit_outlives_its_entry(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_hit hit;
  put(space, "key", "value", START);
  assert_true(cache_get(space, "key", 3, START, &hit));
  put(space, "key", "other", START);
  assert_int_equal(delete_matching(space, "*"), 1);
  assert_memory_equal(hit.bytes, "value", 5);
  cache_hit_release(&hit);
  cache_hit_release(&hit);
}

static void spaces_do_not_mix(void **state) {
  struct cache_space *one = space_of(state, "acme"), *two = space_of(state, "acme/mock");
  assert_ptr_equal(space_of(state, "acme"), one);
  assert_ptr_not_equal(one, two);
  put(one, "key", "one", START);
  put(two, "key", "two", START);
  assert_value(one, "key", "one");
  assert_value(two, "key", "two");
  assert_int_equal(delete_matching(one, "*"), 1);
  assert_false(has(one, "key", START));
  assert_value(two, "key", "two");
}

static void spaces_beyond_the_bound_are_refused(void **state) {
  char name[CACHE_SPACE_NAME_MAX + 2];
  for (int i = 0; i < CACHE_SPACES_MAX; i++) {
    snprintf(name, sizeof name, "n%d", i);
    assert_non_null(cache_space_of(*state, name, strlen(name)));
  }
  assert_null(cache_space_of(*state, "more", 4));
  assert_non_null(cache_space_of(*state, "n17", 3));
  memset(name, 'n', sizeof name);
  assert_null(cache_space_of(*state, name, CACHE_SPACE_NAME_MAX + 1));
}

/* --- bounds --- */

static void what_is_too_large_is_refused_and_counted(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char *bytes = calloc(1, CACHE_VALUE_MAX + 1);
  assert_non_null(bytes);
  cache_set_limit(*state, 64 * MEGABYTE);
  struct cache_item item = item_of("key", "value");
  put(space, "key", "value", START);
  item.value = bytes;
  item.value_length = CACHE_VALUE_MAX + 1;
  assert_int_equal(cache_put(space, &item, START), CACHE_TOO_LARGE);
  item.value_length = 0;
  item.key = bytes;
  item.key_length = CACHE_KEY_MAX + 1;
  assert_int_equal(cache_put(space, &item, START), CACHE_TOO_LARGE);
  assert_value(space, "key", "value");
  item.key_length = CACHE_KEY_MAX;
  item.value_length = CACHE_VALUE_MAX;
  assert_int_equal(cache_put(space, &item, START), CACHE_STORED);
  assert_int_equal(cache_counted(space, CACHE_REFUSED), 2);
  assert_int_equal(cache_totals(*state).refused, 2);
  free(bytes);
}

static void what_is_larger_than_a_shard_is_refused(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char *bytes = calloc(1, MEGABYTE / 4);
  assert_non_null(bytes);
  struct cache_item item = item_of("key", "value");
  item.value = bytes;
  item.value_length = MEGABYTE / 4;
  assert_int_equal(cache_put(space, &item, START), CACHE_FULL);
  item.value_length = MEGABYTE / 5;
  assert_int_equal(cache_put(space, &item, START), CACHE_STORED);
  assert_int_equal(cache_counted(space, CACHE_REFUSED), 1);
  free(bytes);
}

static void large_entries_make_room_for_each_other(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char *bytes = calloc(1, MEGABYTE / 5), key[32];
  assert_non_null(bytes);
  for (int i = 0; i < 200; i++) {
    snprintf(key, sizeof key, "key %d", i);
    struct cache_item item = item_of(key, "");
    item.value = bytes;
    item.value_length = MEGABYTE / 5;
    assert_int_equal(cache_put(space, &item, START), CACHE_STORED);
    assert_true(has(space, key, START));
    assert_true(cache_totals(*state).bytes <= 4 * MEGABYTE);
  }
  assert_true(cache_totals(*state).entries <= CACHE_SHARDS);
  free(bytes);
}

static void the_least_recently_used_are_evicted(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char key[32];
  for (int i = 0; i < 100000; i++) {
    snprintf(key, sizeof key, "key %d", i);
    put(space, key, "value", START);
    assert_true(cache_totals(*state).bytes <= 4 * MEGABYTE);
    assert_true(has(space, "key 0", START)); /* used all the time */
  }
  assert_false(has(space, "key 1", START));
  assert_true(has(space, "key 99999", START));
  struct cache_totals totals = cache_totals(*state);
  assert_true(totals.bytes > 3 * MEGABYTE);
  assert_int_equal(totals.entries, cache_counted(space, CACHE_ENTRIES));
  assert_int_equal(totals.bytes, cache_counted(space, CACHE_BYTES));
  assert_int_equal(totals.evictions, cache_counted(space, CACHE_EVICTIONS));
  assert_int_equal(totals.entries + totals.evictions, 100000);
}

static void a_smaller_limit_evicts_at_once(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char key[32];
  for (int i = 0; i < 10000; i++) {
    snprintf(key, sizeof key, "key %d", i);
    put(space, key, "value", START);
  }
  cache_set_limit(*state, MEGABYTE);
  assert_true(cache_totals(*state).bytes <= MEGABYTE);
  assert_int_equal(cache_totals(*state).max_bytes, MEGABYTE);
  assert_true(has(space, "key 9999", START));
  cache_set_limit(*state, 8 * MEGABYTE);
  for (int i = 0; i < 10000; i++) {
    snprintf(key, sizeof key, "key %d", i);
    put(space, key, "value", START);
  }
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 10000);
  cache_set_limit(*state, 0);
  assert_int_equal(cache_totals(*state).bytes, 0);
  struct cache_item item = item_of("key", "value");
  assert_int_equal(cache_put(space, &item, START), CACHE_FULL);
}

/* --- epochs --- */

static void a_value_made_before_a_delete_is_not_stored(void **state) {
  struct cache_space *space = space_of(state, "acme");
  uint64_t epoch = cache_epoch(space);
  assert_int_equal(put_at_epoch(space, "key", epoch), CACHE_STORED);
  assert_false(delete_key(space, "other"));
  assert_int_equal(put_at_epoch(space, "new", epoch), CACHE_OLD_EPOCH);
  assert_false(has(space, "new", START));
  assert_true(has(space, "key", START));
  assert_int_equal(put_at_epoch(space, "new", cache_epoch(space)), CACHE_STORED);
  assert_int_equal(cache_counted(space, CACHE_REFUSED), 1);
}

static void each_kind_of_delete_raises_the_epoch(void **state) {
  struct cache_space *space = space_of(state, "acme");
  uint64_t epoch = cache_epoch(space);
  delete_key(space, "key");
  assert_true(cache_epoch(space) > epoch);
  epoch = cache_epoch(space);
  delete_matching(space, "x*");
  assert_true(cache_epoch(space) > epoch);
  epoch = cache_epoch(space);
  delete_matching(space, "*");
  assert_true(cache_epoch(space) > epoch);
  epoch = cache_epoch(space);
  put(space, "key", "value", START);
  count_matching(space, "*");
  assert_int_equal(cache_epoch(space), epoch);
  assert_int_equal(cache_epoch(space_of(state, "other")), 0);
}

/* --- deleting --- */

static void a_delete_says_whether_there_was_an_entry(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put(space, "key", "value", START);
  assert_true(delete_key(space, "key"));
  assert_false(delete_key(space, "key"));
  put(space, "key", "value", START);
  assert_false(cache_delete(space, "key", 3, START + 15 * SECOND));
  assert_int_equal(cache_counted(space, CACHE_DELETES), 1);
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 0);
}

static void a_pattern_is_held_against_the_part_before_the_first_nul(void **state) {
  struct cache_space *space = space_of(state, "acme");
  struct cache_item item = item_of("", "value");
  item.key = "track:1\0hash";
  item.key_length = 12;
  assert_int_equal(cache_put(space, &item, START), CACHE_STORED);
  assert_int_equal(count_matching(space, "*hash"), 0);
  assert_int_equal(count_matching(space, "track:1"), 1);
  assert_int_equal(delete_matching(space, "track:?"), 1);
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 0);
}

static void a_pattern_deletes_what_matches_and_nothing_else(void **state) {
  struct cache_space *space = space_of(state, "acme");
  char key[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(key, sizeof key, "%s:%d", i % 2 == 0 ? "even" : "odd", i);
    put(space, key, "value", START);
  }
  put(space_of(state, "other"), "even:0", "value", START);
  assert_int_equal(count_matching(space, "even:*"), 500);
  assert_int_equal(delete_matching(space, "even:*"), 500);
  assert_int_equal(count_matching(space, "*"), 500);
  assert_false(has(space, "even:2", START));
  assert_true(has(space, "odd:3", START));
  assert_true(has(space_of(state, "other"), "even:0", START));
  assert_int_equal(cache_counted(space, CACHE_DELETES), 500);
}

static void entries_that_are_gone_are_not_counted_by_a_pattern(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put(space, "old", "value", START);
  put(space, "new", "value", START + 10 * SECOND);
  assert_int_equal(scan_at(space, "*", false, START + 16 * SECOND), 1);
  assert_int_equal(scan_at(space, "*", true, START + 16 * SECOND), 1);
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 0);
}

/* --- scans --- */

static void put_many(struct cache_space *space, int count) {
  char key[32];
  for (int i = 0; i < count; i++) {
    snprintf(key, sizeof key, "%s:%d", i % 2 == 0 ? "even" : "odd", i);
    put(space, key, "value", START);
  }
}

static void a_scan_goes_on_where_it_was_though_entries_come_and_go(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put_many(space, 20000);
  struct cache_scan *scan = cache_scan_new(space, "even:*", 6, false);
  int steps = 1;
  for (; cache_scan_step(scan, START); steps++) {
    assert_in_range(cache_scan_count(scan), 1, 10000);
    delete_matching(space, "odd:*");
    put_many(space_of(state, "other"), 100);
    put(space, "odd:x", "value", START);
  }
  assert_int_equal(cache_scan_count(scan), 10000);
  assert_in_range(steps, 4, 20);
  cache_scan_free(scan);
}

static void a_scan_that_deletes_may_meet_others_in_the_middle(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put_many(space, 20000);
  struct cache_scan *one = cache_scan_new(space, "*", 1, true);
  struct cache_scan *two = cache_scan_new(space, "*", 1, true);
  bool more = true;
  while (more) {
    more = cache_scan_step(one, START);
    more = cache_scan_step(two, START) || more;
  }
  assert_int_equal(cache_scan_count(one) + cache_scan_count(two), 20000);
  assert_int_equal(cache_counted(space, CACHE_ENTRIES), 0);
  cache_scan_free(one);
  cache_scan_free(two);
}

static void a_scan_that_is_given_up_leaves_nothing_behind(void **state) {
  struct cache_space *space = space_of(state, "acme");
  put_many(space, 20000);
  struct cache_scan *scan = cache_scan_new(space, "*", 1, true);
  assert_true(cache_scan_step(scan, START));
  size_t deleted = cache_scan_count(scan);
  cache_scan_free(scan);
  assert_int_equal(count_matching(space, "*"), 20000 - deleted);
  assert_int_equal(delete_matching(space, "*"), 20000 - deleted);
  cache_scan_free(NULL);
}

static void a_pattern_that_is_too_long_is_refused(void **state) {
  struct cache_space *space = space_of(state, "acme");
  static char pattern[CACHE_PATTERN_MAX + 1];
  assert_null(cache_scan_new(space, pattern, sizeof pattern, true));
  assert_int_equal(cache_epoch(space), 0);
}

static void the_users_counts_are_kept_for_each_space(void **state) {
  struct cache_space *space = space_of(state, "acme");
  cache_count(space, CACHE_HITS);
  cache_count(space, CACHE_HITS);
  cache_count(space, CACHE_STALE_HITS);
  assert_int_equal(cache_counted(space, CACHE_HITS), 2);
  assert_int_equal(cache_counted(space, CACHE_STALE_HITS), 1);
  assert_int_equal(cache_counted(space, CACHE_MISSES), 0);
  assert_int_equal(cache_counted(space_of(state, "other"), CACHE_HITS), 0);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, new_cache, free_cache)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_CACHE(an_entry_is_fresh_then_stale_then_gone),
      WITH_CACHE(an_entry_is_not_fresh_at_the_instant_of_its_expiry),
      WITH_CACHE(a_clock_that_is_behind_sees_no_negative_age),
      WITH_CACHE(a_space_takes_no_step_back_in_time),
      WITH_CACHE(spaces_have_times_of_their_own),
      WITH_CACHE(the_longest_durations_do_not_wrap),
      WITH_CACHE(entries_that_are_gone_are_swept_by_later_ones),
      WITH_CACHE(values_keys_and_marks_are_kept_as_they_are),
      WITH_CACHE(a_later_value_takes_the_place_of_the_earlier),
      WITH_CACHE(a_hit_outlives_its_entry),
      WITH_CACHE(spaces_do_not_mix),
      WITH_CACHE(spaces_beyond_the_bound_are_refused),
      WITH_CACHE(what_is_too_large_is_refused_and_counted),
      WITH_CACHE(what_is_larger_than_a_shard_is_refused),
      WITH_CACHE(large_entries_make_room_for_each_other),
      WITH_CACHE(the_least_recently_used_are_evicted),
      WITH_CACHE(a_smaller_limit_evicts_at_once),
      WITH_CACHE(a_value_made_before_a_delete_is_not_stored),
      WITH_CACHE(each_kind_of_delete_raises_the_epoch),
      WITH_CACHE(a_delete_says_whether_there_was_an_entry),
      WITH_CACHE(a_pattern_is_held_against_the_part_before_the_first_nul),
      WITH_CACHE(a_pattern_deletes_what_matches_and_nothing_else),
      WITH_CACHE(entries_that_are_gone_are_not_counted_by_a_pattern),
      WITH_CACHE(a_scan_goes_on_where_it_was_though_entries_come_and_go),
      WITH_CACHE(a_scan_that_deletes_may_meet_others_in_the_middle),
      WITH_CACHE(a_scan_that_is_given_up_leaves_nothing_behind),
      WITH_CACHE(a_pattern_that_is_too_long_is_refused),
      WITH_CACHE(the_users_counts_are_kept_for_each_space),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
