#include "state/call_statistics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WRITERS 8
#define CALLS 10000

static int new_statistics(void **state) {
  *state = call_statistics_new();
  return *state == NULL ? -1 : 0;
}

static int free_statistics(void **state) {
  call_statistics_free(*state);
  return 0;
}

static struct call_cell *read_name(struct call_statistics *statistics, const char *name) {
  struct call_cell *cell = calloc(1, sizeof *cell);
  assert_non_null(cell);
  call_statistics_read(statistics, name, cell);
  return cell;
}

static void the_cells_of_all_writers_are_summed(void **state) {
  int one = 1, two = 2;
  struct call_cell *first = call_statistics_cell(*state, &one, "acme");
  struct call_cell *second = call_statistics_cell(*state, &two, "acme");
  assert_ptr_not_equal(first, second);
  call_cell_record(first, CALL_OK, 0.5);
  call_cell_record(second, CALL_OK, 0.25);
  call_cell_record(second, CALL_TIMEOUT, 1);
  call_cell_count(first, CALL_EVENT_CACHE_HIT);
  struct call_cell *sum = read_name(*state, "acme");
  assert_int_equal(call_cell_total(sum), 3);
  assert_int_equal(call_cell_outcomes(sum, CALL_OK), 2);
  assert_int_equal(call_cell_outcomes(sum, CALL_TIMEOUT), 1);
  assert_int_equal(call_cell_events(sum, CALL_EVENT_CACHE_HIT), 1);
  assert_true(histogram_sum(&sum->durations) == 1.75);
  free(sum);
}

static void the_same_writer_gets_the_same_cell_and_names_do_not_mix(void **state) {
  int one = 1;
  struct call_cell *cell = call_statistics_cell(*state, &one, "acme");
  assert_ptr_equal(call_statistics_cell(*state, &one, "acme"), cell);
  assert_ptr_not_equal(call_statistics_cell(*state, &one, "acme2"), cell);
  call_cell_record(cell, CALL_OK, 1);
  struct call_cell *other = read_name(*state, "acme2"), *unknown = read_name(*state, "none");
  assert_int_equal(call_cell_total(other) + call_cell_total(unknown), 0);
  free(other);
  free(unknown);
}

static void a_difference_is_what_happened_in_between(void **state) {
  int one = 1;
  struct call_cell *cell = call_statistics_cell(*state, &one, "acme");
  call_cell_record(cell, CALL_OK, 1);
  call_cell_count(cell, CALL_EVENT_RATE_LIMITED);
  struct call_cell *before = read_name(*state, "acme");
  call_cell_record(cell, CALL_STALE, 2);
  call_cell_count(cell, CALL_EVENT_BREAKER_OPENED);
  struct call_cell *after = read_name(*state, "acme");
  call_cell_subtract(after, before);
  assert_int_equal(call_cell_total(after), 1);
  assert_int_equal(call_cell_outcomes(after, CALL_STALE), 1);
  assert_int_equal(call_cell_events(after, CALL_EVENT_RATE_LIMITED), 0);
  assert_int_equal(call_cell_events(after, CALL_EVENT_BREAKER_OPENED), 1);
  assert_true(histogram_sum(&after->durations) == 2);
  free(before);
  free(after);
}

static void names_are_listed_in_order(void **state) {
  int one = 1;
  static const char *const names[] = {"c", "a", "b", "ab"};
  for (size_t i = 0; i < 4; i++) assert_non_null(call_statistics_cell(*state, &one, names[i]));
  static const char *const sorted[] = {"a", "ab", "b", "c"};
  for (size_t i = 0; i < 4; i++) assert_string_equal(call_statistics_name(*state, i), sorted[i]);
  assert_null(call_statistics_name(*state, 4));
}

static void names_beyond_the_bound_share_cells(void **state) {
  int one = 1;
  char name[32];
  for (int i = 0; i < CALL_STATISTICS_NAMES_MAX; i++) {
    snprintf(name, sizeof name, "n%d", i);
    assert_non_null(call_statistics_cell(*state, &one, name));
  }
  assert_int_equal(call_statistics_refused(*state), 0);
  struct call_cell *shared = call_statistics_cell(*state, &one, "more");
  assert_non_null(shared);
  assert_ptr_equal(call_statistics_cell(*state, &one, "and_more"), shared);
  assert_int_equal(call_statistics_refused(*state), 2);
  assert_false(call_statistics_has(*state, "more"));
  assert_true(call_statistics_has(*state, "n0"));
  call_cell_record(shared, CALL_OK, 1);
  struct call_cell *sum = read_name(*state, CALL_STATISTICS_OTHER);
  assert_int_equal(call_cell_total(sum), 1);
  free(sum);
}

static void every_outcome_and_event_has_a_name_of_its_own(void **state) {
  (void)state;
  for (int i = 0; i < CALL_OUTCOMES; i++) {
    assert_non_null(call_outcome_name((enum call_outcome)i));
    for (int j = 0; j < i; j++)
      assert_string_not_equal(call_outcome_name((enum call_outcome)i),
                              call_outcome_name((enum call_outcome)j));
  }
  for (int i = 0; i < CALL_EVENTS; i++) assert_non_null(call_event_name((enum call_event)i));
}

static void *write_all(void *argument) {
  int self = 0;
  struct call_cell *cell = call_statistics_cell(argument, &self, "acme");
  for (int i = 0; i < CALLS; i++) {
    call_cell_record(cell, i % 10 == 0 ? CALL_UPSTREAM_ERROR : CALL_OK, 0.001 * (i % 100));
    call_cell_count(cell, i % 4 == 0 ? CALL_EVENT_CACHE_HIT : CALL_EVENT_CACHE_MISS);
  }
  return NULL;
}

static void nothing_is_lost_while_it_is_read(void **state) {
  pthread_t threads[WRITERS];
  for (int i = 0; i < WRITERS; i++) pthread_create(&threads[i], NULL, write_all, *state);
  uint64_t seen = 0;
  for (int look = 0; look < 50; look++) {
    struct call_cell *sum = read_name(*state, "acme");
    assert_true(call_cell_total(sum) >= seen);
    seen = call_cell_total(sum);
    free(sum);
  }
  for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
  struct call_cell *sum = read_name(*state, "acme");
  assert_int_equal(call_cell_outcomes(sum, CALL_OK), WRITERS * CALLS * 9 / 10);
  assert_int_equal(call_cell_outcomes(sum, CALL_UPSTREAM_ERROR), WRITERS * CALLS / 10);
  assert_int_equal(call_cell_events(sum, CALL_EVENT_CACHE_HIT), WRITERS * CALLS / 4);
  assert_int_equal(histogram_count(&sum->durations), WRITERS * CALLS);
  free(sum);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_cells_of_all_writers_are_summed, new_statistics,
                                      free_statistics),
      cmocka_unit_test_setup_teardown(the_same_writer_gets_the_same_cell_and_names_do_not_mix,
                                      new_statistics, free_statistics),
      cmocka_unit_test_setup_teardown(a_difference_is_what_happened_in_between, new_statistics,
                                      free_statistics),
      cmocka_unit_test_setup_teardown(names_are_listed_in_order, new_statistics, free_statistics),
      cmocka_unit_test_setup_teardown(names_beyond_the_bound_share_cells, new_statistics,
                                      free_statistics),
      cmocka_unit_test(every_outcome_and_event_has_a_name_of_its_own),
      cmocka_unit_test_setup_teardown(nothing_is_lost_while_it_is_read, new_statistics,
                                      free_statistics),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
