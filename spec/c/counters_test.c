#include "state/counters.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WRITERS 4
#define ADDITIONS 20000

static const double bounds[] = {0.1, 1, 10};

static int new_counters(void **state) {
  *state = counters_new();
  return *state == NULL ? -1 : 0;
}

static int free_counters(void **state) {
  counters_free(*state);
  return 0;
}

static struct counter_cell *cell(struct counters *counters, const void *writer,
                                 enum counter_kind kind, const char *name, const char *labels) {
  return counters_cell(counters, writer, kind, name, labels, bounds, 3);
}

static void expect_rendered(struct counters *counters, const char *expected) {
  struct buf text;
  buf_init(&text, 1 << 20);
  assert_int_equal(counters_render(counters, &text), 0);
  assert_int_equal(buf_append(&text, "", 1), 0);
  assert_string_equal(text.data, expected);
  buf_deinit(&text);
}

static void the_cells_of_all_writers_are_summed(void **state) {
  int one = 1, two = 2;
  struct counter_cell *first = cell(*state, &one, COUNTER_SUM, "calls_total", "a=\"b\"");
  struct counter_cell *second = cell(*state, &two, COUNTER_SUM, "calls_total", "a=\"b\"");
  assert_ptr_not_equal(first, second);
  counter_add(first, 2);
  counter_add(second, 3.5);
  counter_set(cell(*state, &one, COUNTER_GAUGE, "busy", ""), 4);
  counter_set(cell(*state, &two, COUNTER_GAUGE, "busy", ""), 1);
  expect_rendered(*state,
                  "# TYPE tidegate_busy gauge\ntidegate_busy 5\n"
                  "# TYPE tidegate_calls_total counter\ntidegate_calls_total{a=\"b\"} 5.5\n");
}

static void the_same_writer_gets_the_same_cell(void **state) {
  int one = 1;
  assert_ptr_equal(cell(*state, &one, COUNTER_SUM, "n", ""),
                   cell(*state, &one, COUNTER_SUM, "n", ""));
}

static void histograms_are_cumulative(void **state) {
  int one = 1, two = 2;
  counter_observe(cell(*state, &one, COUNTER_HISTOGRAM, "wait_seconds", "i=\"x\""), 0.1);
  counter_observe(cell(*state, &two, COUNTER_HISTOGRAM, "wait_seconds", "i=\"x\""), 0.5);
  counter_observe(cell(*state, &two, COUNTER_HISTOGRAM, "wait_seconds", "i=\"x\""), 99);
  expect_rendered(*state, "# TYPE tidegate_wait_seconds histogram\n"
                          "tidegate_wait_seconds_bucket{i=\"x\",le=\"0.1\"} 1\n"
                          "tidegate_wait_seconds_bucket{i=\"x\",le=\"1\"} 2\n"
                          "tidegate_wait_seconds_bucket{i=\"x\",le=\"10\"} 2\n"
                          "tidegate_wait_seconds_bucket{i=\"x\",le=\"+Inf\"} 3\n"
                          "tidegate_wait_seconds_sum{i=\"x\"} 99.6\n"
                          "tidegate_wait_seconds_count{i=\"x\"} 3\n");
}

static void names_of_the_process_have_no_prefix_and_help_stays_on_its_line(void **state) {
  int one = 1;
  counters_describe(*state, "process_open_fds", "open\nfiles \\ now");
  counters_describe(*state, "never_used", "nothing");
  counter_set(cell(*state, &one, COUNTER_GAUGE, "process_open_fds", ""), 7);
  expect_rendered(*state, "# HELP process_open_fds open\\nfiles \\\\ now\n"
                          "# TYPE process_open_fds gauge\nprocess_open_fds 7\n");
}

static void what_is_no_name_no_label_or_of_another_kind_is_refused(void **state) {
  int one = 1;
  static const char *const bad_names[] = {"", "1a", "a-b", "a b", "a{"};
  static const char *const bad_labels[] = {"a",      "a=b",      "a=\"b",     "a=\"b\",",
                                           "=\"b\"", "a=\"b\"x", "a=\"b\" ",  "a=\"b\nc\"",
                                           ",",      "1=\"b\"",  "a=\"\\x\"", "a=\"b\"\n}"};
  for (size_t index = 0; index < sizeof bad_names / sizeof *bad_names; index++)
    assert_null(cell(*state, &one, COUNTER_SUM, bad_names[index], ""));
  for (size_t index = 0; index < sizeof bad_labels / sizeof *bad_labels; index++)
    assert_null(cell(*state, &one, COUNTER_SUM, "n", bad_labels[index]));
  assert_non_null(cell(*state, &one, COUNTER_SUM, "n", "a=\"\\\"\\\\\\n\",_b=\"\""));
  assert_null(cell(*state, &one, COUNTER_GAUGE, "n", ""));
}

static void series_beyond_the_bound_share_one(void **state) {
  int one = 1;
  struct counter_cell *other = NULL;
  for (int index = 0; index < 3 * COUNTERS_SERIES_MAX; index++) {
    char labels[32];
    snprintf(labels, sizeof labels, "user=\"%d\"", index);
    struct counter_cell *made = cell(*state, &one, COUNTER_SUM, "n", labels);
    assert_non_null(made);
    assert_int_equal(counter_is_other(made), index >= COUNTERS_SERIES_MAX);
    if (index == COUNTERS_SERIES_MAX) other = made;
    if (index > COUNTERS_SERIES_MAX) assert_ptr_equal(made, other);
  }
  assert_true(counters_dropped_series(*state) == 2 * COUNTERS_SERIES_MAX);
}

static void names_are_bounded(void **state) {
  int one = 1, made = 0;
  for (int index = 0; index < COUNTERS_NAMES_MAX + 10; index++) {
    char name[32];
    snprintf(name, sizeof name, "n%d", index);
    if (cell(*state, &one, COUNTER_SUM, name, "") != NULL) made++;
  }
  assert_int_equal(made, COUNTERS_NAMES_MAX);
}

static void a_full_buffer_fails_the_rendering(void **state) {
  int one = 1;
  struct buf text;
  cell(*state, &one, COUNTER_SUM, "n", "");
  buf_init(&text, 16);
  assert_int_equal(counters_render(*state, &text), -1);
  buf_deinit(&text);
}

static void *write_all(void *argument) {
  int self = 0;
  struct counter_cell *sum = cell(argument, &self, COUNTER_SUM, "n", "");
  struct counter_cell *histogram = cell(argument, &self, COUNTER_HISTOGRAM, "h", "");
  for (int index = 0; index < ADDITIONS; index++) {
    counter_add(sum, 1);
    counter_observe(histogram, index % 20);
  }
  return NULL;
}

static void nothing_is_lost_while_it_is_read(void **state) {
  pthread_t threads[WRITERS];
  char expected[64];
  struct buf text;
  buf_init(&text, 1 << 20);
  for (int index = 0; index < WRITERS; index++)
    pthread_create(&threads[index], NULL, write_all, *state);
  for (int index = 0; index < 100; index++) {
    buf_clear(&text);
    assert_int_equal(counters_render(*state, &text), 0);
  }
  for (int index = 0; index < WRITERS; index++) pthread_join(threads[index], NULL);
  buf_clear(&text);
  assert_int_equal(counters_render(*state, &text), 0);
  assert_int_equal(buf_append(&text, "", 1), 0);
  snprintf(expected, sizeof expected, "\ntidegate_n %d\n", WRITERS * ADDITIONS);
  assert_non_null(strstr(text.data, expected));
  snprintf(expected, sizeof expected, "\ntidegate_h_count %d\n", WRITERS * ADDITIONS);
  assert_non_null(strstr(text.data, expected));
  buf_deinit(&text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, new_counters, free_counters)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(the_cells_of_all_writers_are_summed),
      CASE(the_same_writer_gets_the_same_cell),
      CASE(histograms_are_cumulative),
      CASE(names_of_the_process_have_no_prefix_and_help_stays_on_its_line),
      CASE(what_is_no_name_no_label_or_of_another_kind_is_refused),
      CASE(series_beyond_the_bound_share_one),
      CASE(names_are_bounded),
      CASE(a_full_buffer_fails_the_rendering),
      CASE(nothing_is_lost_while_it_is_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
