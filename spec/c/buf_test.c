#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_is_appended_is_there_in_order(void **state) {
  (void)state;
  struct buf buf;
  buf_init(&buf, 100);
  assert_int_equal(buf_append(&buf, "ab\0c", 4), 0);
  assert_int_equal(buf_append_text(&buf, "de"), 0);
  assert_int_equal(buf_printf(&buf, "%d-%s", 42, "x"), 0);
  assert_int_equal(buf.length, 10);
  assert_memory_equal(buf.data, "ab\0cde42-x", 10);
  buf_deinit(&buf);
  assert_null(buf.data);
}

static void an_append_past_the_ceiling_changes_nothing(void **state) {
  (void)state;
  struct buf buf;
  buf_init(&buf, 10);
  assert_int_equal(buf_append_text(&buf, "0123456789"), 0);
  assert_int_equal(buf_append(&buf, "x", 1), -1);
  assert_int_equal(buf_printf(&buf, "%d", 1), -1);
  assert_int_equal(buf.length, 10);
  assert_memory_equal(buf.data, "0123456789", 10);
  assert_int_equal(buf_append(&buf, NULL, 0), 0);
  buf_deinit(&buf);
}

static void lengths_near_the_end_of_numbers_are_refused(void **state) {
  (void)state;
  struct buf buf;
  buf_init(&buf, 1000);
  assert_int_equal(buf_append_text(&buf, "x"), 0);
  assert_int_equal(buf_reserve(&buf, SIZE_MAX), -1);
  assert_int_equal(buf_reserve(&buf, SIZE_MAX - 1), -1);
  assert_int_equal(buf_reserve(&buf, 1000), -1);
  assert_int_equal(buf_reserve(&buf, 999), 0);
  buf_deinit(&buf);
  buf_init(&buf, SIZE_MAX);
  assert_int_equal(buf_append_text(&buf, "x"), 0);
  assert_int_equal(buf_reserve(&buf, SIZE_MAX), -1);
  assert_int_equal(buf.length, 1);
  buf_deinit(&buf);
}

static void formatted_text_may_fill_it_to_the_last_byte(void **state) {
  (void)state;
  struct buf buf;
  buf_init(&buf, 4);
  assert_int_equal(buf_printf(&buf, "%s", "four"), 0);
  assert_int_equal(buf.length, 4);
  assert_memory_equal(buf.data, "four", 4);
  buf_deinit(&buf);
}

static void what_is_consumed_is_gone(void **state) {
  (void)state;
  struct buf buf;
  buf_init(&buf, 1 << 20);
  for (int i = 0; i < 1000; i++) assert_int_equal(buf_append_text(&buf, "abcd"), 0);
  buf_consume(&buf, 0);
  buf_consume(&buf, 3998);
  assert_int_equal(buf.length, 2);
  assert_memory_equal(buf.data, "cd", 2);
  buf_consume(&buf, 100);
  assert_int_equal(buf.length, 0);
  buf_clear(&buf);
  buf_consume(&buf, 1);
  buf_deinit(&buf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_appended_is_there_in_order),
      cmocka_unit_test(an_append_past_the_ceiling_changes_nothing),
      cmocka_unit_test(lengths_near_the_end_of_numbers_are_refused),
      cmocka_unit_test(formatted_text_may_fill_it_to_the_last_byte),
      cmocka_unit_test(what_is_consumed_is_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
