#include "base/time_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void milliseconds_become_rfc_3339_and_back(void **state) {
  (void)state;
  static const struct {
    int64_t ms;
    const char *text;
  } cases[] = {
      {0, "1970-01-01T00:00:00.000Z"},
      {-1, "1969-12-31T23:59:59.999Z"},
      {1767225600123, "2026-01-01T00:00:00.123Z"},
      {951782400000, "2000-02-29T00:00:00.000Z"},
      {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
      {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
  };
  for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
    char text[TIME_FORMAT_RFC3339_LENGTH + 1];
    int64_t microseconds;
    assert_int_equal(time_format_rfc3339(cases[index].ms, text), 0);
    assert_string_equal(text, cases[index].text);
    assert_int_equal(time_format_parse_rfc3339(text, strlen(text), &microseconds, NULL), 0);
    assert_int_equal(microseconds, cases[index].ms * 1000);
  }
}

static void years_beyond_four_digits_are_refused(void **state) {
  (void)state;
  char text[TIME_FORMAT_RFC3339_LENGTH + 1] = "kept";
  char http[TIME_FORMAT_HTTP_LENGTH + 1] = "kept";
  assert_int_equal(time_format_rfc3339(INT64_C(253402300800000), text), -1);
  assert_int_equal(time_format_rfc3339(INT64_MIN, text), -1);
  assert_string_equal(text, "kept");
  assert_int_equal(time_format_http(INT64_MAX, http), -1);
  assert_string_equal(http, "kept");
}

static void conversions_agree_with_the_c_library(void **state) {
  (void)state;
  unsigned seed = (unsigned)time(NULL);
  printf("seed %u\n", seed);
  srandom(seed);
  for (int round = 0; round < 20000; round++) {
    int64_t span = TIME_FORMAT_LAST_SECOND - TIME_FORMAT_FIRST_SECOND;
    int64_t random_bits = (int64_t)random() << 31 | random();
    time_t seconds = (time_t)(TIME_FORMAT_FIRST_SECOND + random_bits % span);
    struct tm tm;
    char expected[64], text[TIME_FORMAT_HTTP_LENGTH + 1];
    int64_t parsed;
    gmtime_r(&seconds, &tm);
    strftime(expected, sizeof expected, "%a, %d %b ", &tm);
    size_t used = strlen(expected);
    snprintf(expected + used, sizeof expected - used, "%04d %02d:%02d:%02d GMT", tm.tm_year + 1900,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    assert_int_equal(time_format_http(seconds, text), 0);
    assert_string_equal(text, expected);
    assert_int_equal(time_format_parse_http(text, strlen(text), 0, &parsed, NULL), 0);
    assert_int_equal(parsed, seconds);
  }
}

static void rfc_3339_takes_offsets_fractions_and_leap_seconds(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t microseconds;
  } cases[] = {
      {"1985-04-12T23:20:50.52Z", INT64_C(482196050520000)},
      {"1996-12-19T16:39:57-08:00", INT64_C(851042397000000)},
      {"1990-12-31T23:59:60Z", INT64_C(662688000000000)},
      {"1990-12-31T15:59:60-08:00", INT64_C(662688000000000)},
      {"1937-01-01T12:00:27.87+00:20", INT64_C(-1041337172130000)},
      {"2026-01-15t18:00:00z", INT64_C(1768500000000000)},
      {"2026-01-15T18:00:00.1234567890123+00:00", INT64_C(1768500000123456)},
  };
  for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
    int64_t microseconds = 0;
    const char *text = cases[index].text;
    assert_int_equal(time_format_parse_rfc3339(text, strlen(text), &microseconds, NULL), 0);
    assert_int_equal(microseconds, cases[index].microseconds);
  }
}

static void anything_else_than_rfc_3339_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "2026-01-15",
                                    "2026-01-15 18:00:00Z",
                                    "2026-01-15T18:00:00",
                                    "2026-01-15T18:00Z",
                                    "2026-01-15T24:00:00Z",
                                    "2026-02-29T00:00:00Z",
                                    "2026-00-10T00:00:00Z",
                                    "2026-13-10T00:00:00Z",
                                    "2026-01-15T18:00:60Z",
                                    "2026-01-15T18:00:00.Z",
                                    "2026-01-15T18:00:00,5Z",
                                    "2026-01-15T18:00:00+0900",
                                    "2026-01-15T18:00:00+24:00",
                                    "2026-01-15T18:00:00Zx",
                                    "+026-01-15T18:00:00Z",
                                    "2026-1-15T18:00:00Z"};
  for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
    int64_t microseconds = 42;
    struct err err;
    assert_int_equal(time_format_parse_rfc3339(bad[index], strlen(bad[index]), &microseconds, &err),
                     -1);
    assert_string_equal(err.code, "invalid_time");
    assert_int_equal(microseconds, 42);
  }
}

static void http_dates_come_in_three_forms(void **state) {
  (void)state;
  static const char *const good[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                     "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
  static const char *const bad[] = {"",
                                    "120",
                                    "Sun, 6 Nov 1994 08:49:37 GMT",
                                    "Sun, 06 Nov 1994 08:49:37 UTC",
                                    "Sun, 31 Feb 1994 08:49:37 GMT",
                                    "Sun, 06 Nov 1994 08:49:37 GMT ",
                                    "sun, 06 nov 1994 08:49:37 GMT"};
  int64_t now = 1767225600, seconds;
  for (size_t index = 0; index < sizeof good / sizeof *good; index++) {
    assert_int_equal(time_format_parse_http(good[index], strlen(good[index]), now, &seconds, NULL),
                     0);
    assert_int_equal(seconds, 784111777);
  }
  for (size_t index = 0; index < sizeof bad / sizeof *bad; index++)
    assert_int_equal(time_format_parse_http(bad[index], strlen(bad[index]), now, &seconds, NULL),
                     -1);
}

static void a_year_of_two_digits_lies_at_most_fifty_years_ahead(void **state) {
  (void)state;
  const char *ahead = "Thursday, 01-Jan-76 00:00:00 GMT";
  const char *past = "Thursday, 01-Jan-77 00:00:00 GMT";
  int64_t seconds;
  assert_int_equal(time_format_parse_http(ahead, strlen(ahead), 1767225600, &seconds, NULL), 0);
  assert_int_equal(seconds, INT64_C(3345062400));
  assert_int_equal(time_format_parse_http(past, strlen(past), 1767225600, &seconds, NULL), 0);
  assert_int_equal(seconds, 220924800);
}

static void expect_strftime(const char *format, int offset, const char *expected) {
  struct buf out;
  struct err err;
  buf_init(&out, 256);
  assert_int_equal(time_format_strftime(format, strlen(format), 1767225599, offset, &out, &err), 0);
  assert_int_equal(out.length, strlen(expected));
  if (out.length > 0) assert_memory_equal(out.data, expected, out.length);
  buf_deinit(&out);
}

static void strftime_knows_fixed_offsets(void **state) {
  (void)state;
  expect_strftime("%Y-%m-%d %H:%M:%S %z %Z", 0, "2025-12-31 23:59:59 +0000 UTC");
  expect_strftime("%Y%m%d%H%M%S %z %Z %a %j %V", 540, "20260101085959 +0900 +09:00 Thu 001 01");
  expect_strftime("%F %T %Z", -150, "2025-12-31 21:29:59 -02:30");
  expect_strftime("100%% %Ey", 0, "100% 25");
  expect_strftime("", 0, "");
}

static void strftime_refuses_unknown_conversions_and_overflow(void **state) {
  (void)state;
  static const char *const bad[] = {"%", "%s", "%Q", "%E", "%Ed", "%5Y", "ab%"};
  struct buf out;
  struct err err;
  buf_init(&out, 16);
  for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
    buf_clear(&out);
    assert_int_equal(time_format_strftime(bad[index], strlen(bad[index]), 0, 0, &out, &err), -1);
    assert_string_equal(err.code, "invalid_format");
  }
  buf_clear(&out);
  assert_int_equal(time_format_strftime("%c%c", 4, 0, 0, &out, &err), -1);
  assert_string_equal(err.code, "too_large");
  assert_int_equal(time_format_strftime("%Y", 2, TIME_FORMAT_LAST_SECOND, 1, &out, &err), -1);
  assert_string_equal(err.code, "invalid_time");
  buf_deinit(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(milliseconds_become_rfc_3339_and_back),
      cmocka_unit_test(years_beyond_four_digits_are_refused),
      cmocka_unit_test(conversions_agree_with_the_c_library),
      cmocka_unit_test(rfc_3339_takes_offsets_fractions_and_leap_seconds),
      cmocka_unit_test(anything_else_than_rfc_3339_is_refused),
      cmocka_unit_test(http_dates_come_in_three_forms),
      cmocka_unit_test(a_year_of_two_digits_lies_at_most_fifty_years_ahead),
      cmocka_unit_test(strftime_knows_fixed_offsets),
      cmocka_unit_test(strftime_refuses_unknown_conversions_and_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
