#include "state/histogram.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define VALUES_MAX 4000
#define ROUNDS 40
#define WRITERS 8
#define RECORDED 20000

static const double quantiles[] = {0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};

static struct histogram *empty(void) {
  struct histogram *histogram = calloc(1, sizeof *histogram);
  assert_non_null(histogram);
  return histogram;
}

static void assert_near(double actual, double expected, double tolerance) {
  if (fabs(actual - expected) <= tolerance * fabs(expected)) return;
  fail_msg("%.9g is not within %.3g of %.9g", actual, tolerance, expected);
}

static void assert_equal(const struct histogram *one, const struct histogram *other) {
  for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
    assert_int_equal(one->buckets[i], other->buckets[i]);
  assert_near(histogram_sum(one), histogram_sum(other), 1e-9);
}

static void an_empty_one_has_no_quantiles(void **state) {
  (void)state;
  struct histogram *histogram = empty();
  assert_true(isnan(histogram_quantile(histogram, 0.5)));
  assert_int_equal(histogram_count(histogram), 0);
  assert_true(histogram_sum(histogram) == 0 && histogram_max(histogram) == 0);
  free(histogram);
}

static void count_sum_and_max_are_exact(void **state) {
  (void)state;
  struct histogram *histogram = empty();
  histogram_record(histogram, 0.25);
  histogram_record(histogram, 0.75);
  histogram_record(histogram, 0.5);
  assert_int_equal(histogram_count(histogram), 3);
  assert_true(histogram_sum(histogram) == 1.5);
  assert_true(histogram_max(histogram) == 0.75);
  assert_near(histogram_quantile(histogram, 0.5), 0.5, 0.01);
  assert_true(histogram_quantile(histogram, 1) <= 0.75);
  free(histogram);
}

static void every_value_from_1_us_to_1_hour_is_answered_within_1_percent(void **state) {
  (void)state;
  for (double seconds = HISTOGRAM_SECONDS_MIN; seconds <= HISTOGRAM_SECONDS_MAX; seconds *= 1.01) {
    struct histogram *histogram = empty();
    histogram_record(histogram, seconds);
    histogram_record(histogram, HISTOGRAM_SECONDS_MAX);
    assert_near(histogram_quantile(histogram, 0.5), seconds, 0.01);
    assert_near(histogram_quantile(histogram, 1), HISTOGRAM_SECONDS_MAX, 0.01);
    free(histogram);
  }
}

static void what_lies_outside_counts_at_the_limits(void **state) {
  (void)state;
  static const double low[] = {0, -1, 1e-9, -INFINITY, NAN};
  static const double high[] = {3600, 3601, 1e9, INFINITY};
  struct histogram *histogram = empty();
  for (size_t i = 0; i < sizeof low / sizeof *low; i++) histogram_record(histogram, low[i]);
  assert_int_equal(histogram->buckets[0], 5);
  assert_near(histogram_quantile(histogram, 1), HISTOGRAM_SECONDS_MIN, 0.01);
  for (size_t i = 0; i < sizeof high / sizeof *high; i++) histogram_record(histogram, high[i]);
  assert_int_equal(histogram->buckets[HISTOGRAM_BUCKETS - 1], 4);
  assert_near(histogram_quantile(histogram, 0.9), HISTOGRAM_SECONDS_MAX, 0.01);
  assert_true(histogram_max(histogram) == INFINITY);
  free(histogram);
}

static void a_difference_is_what_was_recorded_in_between(void **state) {
  (void)state;
  struct histogram *writer = empty(), *before = empty(), *after = empty(), *between = empty();
  histogram_record(writer, 0.3);
  histogram_record(writer, 60);
  histogram_merge(before, writer);
  histogram_record(writer, 0.1);
  histogram_record(writer, 0.2);
  histogram_record(between, 0.1);
  histogram_record(between, 0.2);
  histogram_merge(after, writer);
  histogram_subtract(after, before);
  assert_equal(after, between);
  assert_near(histogram_max(after), 0.2, 0.01);
  free(writer);
  free(before);
  free(after);
  free(between);
}

static void the_maximum_of_a_difference_is_exact_when_it_is_a_record(void **state) {
  (void)state;
  struct histogram *writer = empty(), *before = empty(), *after = empty(), *none = empty();
  histogram_record(writer, 1);
  histogram_merge(before, writer);
  histogram_merge(none, writer);
  histogram_subtract(none, before);
  assert_true(histogram_max(none) == 0 && histogram_count(none) == 0);
  histogram_record(writer, 1.2345);
  histogram_merge(after, writer);
  histogram_subtract(after, before);
  assert_true(histogram_max(after) == 1.2345);
  free(writer);
  free(before);
  free(after);
  free(none);
}

/* --- random values --- */

static double uniform(void) {
  return ((double)random() + 1) / ((double)RAND_MAX + 1);
}

static double normal(void) {
  return sqrt(-2 * log(uniform())) * cos(2 * 3.14159265358979 * uniform());
}

static double draw_uniform(void) {
  return 0.001 + uniform();
}
static double draw_exponential(void) {
  return -0.05 * log(uniform());
}
static double draw_lognormal(void) {
  return exp(-3 + 2 * normal());
}
static double draw_pareto(void) {
  return 0.0001 / uniform();
}
static double draw_bimodal(void) {
  return uniform() < 0.9 ? 0.0002 * (1 + 0.1 * uniform()) : 30 + uniform();
}
static double draw_constant(void) {
  return 0.0123;
}
static double draw_any_magnitude(void) {
  return HISTOGRAM_SECONDS_MIN * pow(HISTOGRAM_SECONDS_MAX / HISTOGRAM_SECONDS_MIN, uniform());
}

static double (*const draws[])(void) = {
    draw_uniform, draw_exponential, draw_lognormal,     draw_pareto,
    draw_bimodal, draw_constant,    draw_any_magnitude,
};

static double in_range(double seconds) {
  return fmax(HISTOGRAM_SECONDS_MIN, fmin(HISTOGRAM_SECONDS_MAX, seconds));
}

static int by_value(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

static void begin_random(void) {
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  srandom(seed);
}

static size_t draw(double *values) {
  double (*next)(void) = draws[(size_t)random() % (sizeof draws / sizeof *draws)];
  size_t count = 1 + (size_t)random() % VALUES_MAX;
  for (size_t i = 0; i < count; i++) values[i] = in_range(next());
  return count;
}

static void quantiles_of_random_values_are_within_1_percent_of_the_sorted_ones(void **state) {
  (void)state;
  static double values[VALUES_MAX];
  begin_random();
  for (int round = 0; round < ROUNDS; round++) {
    struct histogram *histogram = empty();
    size_t count = draw(values);
    for (size_t i = 0; i < count; i++) histogram_record(histogram, values[i]);
    qsort(values, count, sizeof *values, by_value);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
      size_t rank = (size_t)fmax(1, ceil(quantiles[i] * (double)count));
      assert_near(histogram_quantile(histogram, quantiles[i]), values[rank - 1], 0.01);
    }
    assert_int_equal(histogram_count(histogram), count);
    assert_true(histogram_max(histogram) == values[count - 1]);
    free(histogram);
  }
}

static void merging_is_the_same_as_recording_in_one(void **state) {
  (void)state;
  static double values[VALUES_MAX];
  begin_random();
  for (int round = 0; round < ROUNDS; round++) {
    struct histogram *whole = empty(), *merged = empty(), *parts[] = {empty(), empty()};
    size_t count = draw(values);
    for (size_t i = 0; i < count; i++) {
      histogram_record(whole, values[i]);
      histogram_record(parts[random() % 2], values[i]);
    }
    histogram_merge(merged, parts[0]);
    histogram_merge(merged, parts[1]);
    assert_equal(merged, whole);
    assert_true(histogram_max(merged) == histogram_max(whole));
    histogram_subtract(merged, parts[0]);
    assert_equal(merged, parts[1]);
    free(whole);
    free(merged);
    free(parts[0]);
    free(parts[1]);
  }
}

/* --- threads --- */

static void *record_all(void *argument) {
  for (int i = 0; i < RECORDED; i++) histogram_record(argument, 0.001 * (i % 1000));
  return NULL;
}

static void a_reader_sees_numbers_that_only_rise_and_in_the_end_all(void **state) {
  (void)state;
  struct histogram *cells[WRITERS];
  pthread_t threads[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    cells[i] = empty();
    pthread_create(&threads[i], NULL, record_all, cells[i]);
  }
  uint64_t seen = 0;
  for (int look = 0; look < 50; look++) {
    struct histogram *merged = empty();
    for (int i = 0; i < WRITERS; i++) histogram_merge(merged, cells[i]);
    assert_true(histogram_count(merged) >= seen);
    seen = histogram_count(merged);
    assert_true(seen == 0 || histogram_quantile(merged, 1) < 1);
    free(merged);
  }
  struct histogram *merged = empty();
  for (int i = 0; i < WRITERS; i++) {
    pthread_join(threads[i], NULL);
    histogram_merge(merged, cells[i]);
    free(cells[i]);
  }
  assert_int_equal(histogram_count(merged), WRITERS * RECORDED);
  assert_near(histogram_quantile(merged, 0.5), 0.4995, 0.01);
  free(merged);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_empty_one_has_no_quantiles),
      cmocka_unit_test(count_sum_and_max_are_exact),
      cmocka_unit_test(every_value_from_1_us_to_1_hour_is_answered_within_1_percent),
      cmocka_unit_test(what_lies_outside_counts_at_the_limits),
      cmocka_unit_test(a_difference_is_what_was_recorded_in_between),
      cmocka_unit_test(the_maximum_of_a_difference_is_exact_when_it_is_a_record),
      cmocka_unit_test(quantiles_of_random_values_are_within_1_percent_of_the_sorted_ones),
      cmocka_unit_test(merging_is_the_same_as_recording_in_one),
      cmocka_unit_test(a_reader_sees_numbers_that_only_rise_and_in_the_end_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
