#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MOMENT 1767225600123 /* 2026-01-01T00:00:00.123Z = 0x019b76da a87b */

static void version_7_ids_carry_time_version_and_variant(void **state) {
  (void)state;
  struct uuid_source source;
  char text[UUID_TEXT_LENGTH + 1];
  uuid_source_init(&source);
  assert_int_equal(uuid_v7(&source, MOMENT, text), 0);
  assert_int_equal(strlen(text), UUID_TEXT_LENGTH);
  assert_true(uuid_is_valid(text, strlen(text)));
  assert_memory_equal(text, "019b76da-a87b-7", 15);
  assert_non_null(strchr("89ab", text[19]));
}

static void version_7_ids_of_one_source_rise_even_when_the_clock_steps_back(void **state) {
  (void)state;
  struct uuid_source source;
  char previous[UUID_TEXT_LENGTH + 1] = "";
  uuid_source_init(&source);
  for (int index = 0; index < 20000; index++) {
    char text[UUID_TEXT_LENGTH + 1];
    int64_t now = MOMENT + index / 9000 - (index % 7 == 0 ? 5000 : 0);
    assert_int_equal(uuid_v7(&source, now, text), 0);
    assert_true(strcmp(previous, text) < 0);
    memcpy(previous, text, sizeof text);
  }
}

static void version_7_ids_follow_a_clock_that_was_far_ahead(void **state) {
  (void)state;
  struct uuid_source source;
  char text[UUID_TEXT_LENGTH + 1];
  uuid_source_init(&source);
  assert_int_equal(uuid_v7(&source, MOMENT + INT64_C(315360000000), text), 0);
  assert_int_equal(uuid_v7(&source, MOMENT, text), 0);
  assert_memory_equal(text, "019b76da-a87b-7", 15);
}

static void a_time_before_1970_counts_as_1970(void **state) {
  (void)state;
  struct uuid_source source;
  char text[UUID_TEXT_LENGTH + 1];
  uuid_source_init(&source);
  assert_int_equal(uuid_v7(&source, -5, text), 0);
  assert_memory_equal(text, "00000000-0000-7", 15);
}

static void version_4_ids_differ(void **state) {
  (void)state;
  struct uuid_source source;
  char one[UUID_TEXT_LENGTH + 1], two[UUID_TEXT_LENGTH + 1];
  uuid_source_init(&source);
  assert_int_equal(uuid_v4(&source, one), 0);
  assert_int_equal(uuid_v4(&source, two), 0);
  assert_int_equal(one[14], '4');
  assert_non_null(strchr("89ab", one[19]));
  assert_string_not_equal(one, two);
}

static void trace_ids_begin_with_the_time_and_are_never_zero(void **state) {
  (void)state;
  struct uuid_source source;
  char trace[UUID_TRACE_LENGTH + 1], span[UUID_SPAN_LENGTH + 1];
  uuid_source_init(&source);
  assert_int_equal(uuid_trace_id(&source, MOMENT, trace), 0);
  assert_int_equal(strlen(trace), UUID_TRACE_LENGTH);
  assert_memory_equal(trace, "019b76daa87b", 12);
  assert_int_equal(uuid_trace_id(&source, 0, trace), 0);
  assert_string_not_equal(trace, "00000000000000000000000000000000");
  assert_int_equal(uuid_span_id(&source, span), 0);
  assert_int_equal(strlen(span), UUID_SPAN_LENGTH);
  assert_int_equal(strspn(span, "0123456789abcdef"), UUID_SPAN_LENGTH);
}

static void only_the_canonical_form_is_valid(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "019b76da-a87b-7000-8000-00000000000",
                                    "019b76da-a87b-7000-8000-0000000000000",
                                    "019b76da_a87b-7000-8000-000000000000",
                                    "{19b76da-a87b-7000-8000-00000000000}",
                                    "019b76daa87b-7000-8000-0000000000000",
                                    "g19b76da-a87b-7000-8000-000000000000"};
  const char *good = "019B76DA-a87b-7000-8000-000000000000";
  assert_true(uuid_is_valid(good, strlen(good)));
  for (size_t index = 0; index < sizeof bad / sizeof *bad; index++)
    assert_false(uuid_is_valid(bad[index], strlen(bad[index])));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(version_7_ids_carry_time_version_and_variant),
      cmocka_unit_test(version_7_ids_of_one_source_rise_even_when_the_clock_steps_back),
      cmocka_unit_test(version_7_ids_follow_a_clock_that_was_far_ahead),
      cmocka_unit_test(a_time_before_1970_counts_as_1970),
      cmocka_unit_test(version_4_ids_differ),
      cmocka_unit_test(trace_ids_begin_with_the_time_and_are_never_zero),
      cmocka_unit_test(only_the_canonical_form_is_valid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
