#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "io/sql_text.h"

static void expect(const char *sql, const char *wanted) {
  struct buf out;
  struct err err = {0};
  buf_init(&out, 4096);
  if (sql_text_for_sqlite(sql, strlen(sql), &out, &err) != 0) fail_msg("%s: %s", sql, err.message);
  assert_string_equal(out.data, wanted);
  buf_deinit(&out);
}

static void refuse(const char *sql, size_t length, const char *part) {
  struct buf out;
  struct err err = {0};
  buf_init(&out, 4096);
  assert_int_equal(buf_append_text(&out, "before"), 0);
  assert_int_equal(sql_text_for_sqlite(sql, length, &out, &err), -1);
  assert_string_equal(err.code, "sql");
  if (strstr(err.message, part) == NULL) fail_msg("%s: %s", sql, err.message);
  assert_int_equal(out.length, 6);
  buf_deinit(&out);
}

static void parameters_are_numbered_by_their_number_and_not_by_appearance(void **state) {
  (void)state;
  expect("SELECT $2, $1", "SELECT ?2, ?1");
  expect("SELECT $1+$1,$12", "SELECT ?1+?1,?12");
  expect("VALUES($32766)", "VALUES(?32766)");
  expect("", "");
}

static void strings_names_and_comments_are_left_as_they_are(void **state) {
  (void)state;
  expect("SELECT '$1 ? ::int', $1", "SELECT '$1 ? ::int', ?1");
  expect("SELECT 'it''s $1', $1", "SELECT 'it''s $1', ?1");
  expect("SELECT \"a$1\", `b$1`, [c$1], $1", "SELECT \"a$1\", `b$1`, [c$1], ?1");
  expect("SELECT 1 -- $1 'x\n, $1", "SELECT 1 -- $1 'x\n, ?1");
  expect("SELECT 1 -- $1", "SELECT 1 -- $1");
  expect("SELECT /* $1 ; ' */ $1", "SELECT /* $1 ; ' */ ?1");
  expect("SELECT a$1 FROM t", "SELECT a$1 FROM t");
  expect("SELECT \xc3\xa9$1 FROM t", "SELECT \xc3\xa9$1 FROM t");
  expect("SELECT 4 - 2 / 1, x ->> 'a'", "SELECT 4 - 2 / 1, x ->> 'a'");
}

static void a_semicolon_may_end_the_one_statement(void **state) {
  (void)state;
  expect("SELECT 1;", "SELECT 1;");
  expect("SELECT 1; ; -- done\n /* really */ ", "SELECT 1; ; -- done\n /* really */ ");
  refuse("SELECT 1; SELECT 2", 18, "one statement");
  refuse("SELECT 1; $1", 12, "one statement");
}

static void what_the_two_stores_read_differently_is_refused(void **state) {
  (void)state;
  refuse("SELECT ?", 8, "not ?");
  refuse("SELECT ?1", 9, "not ?");
  refuse("SELECT $1::text", 15, "CAST");
  refuse("SELECT :name", 12, "not :name");
  refuse("SELECT @name", 12, "@");
  refuse("SELECT $name", 12, "$1");
  refuse("SELECT $1a", 10, "$1");
  refuse("SELECT $1$2", 11, "$1");
  refuse("SELECT $$x$$", 12, "$1");
  refuse("SELECT $", 8, "$1");
  refuse("SELECT $0", 9, "from $1");
  refuse("SELECT $32767", 13, "from $1");
  refuse("SELECT $99999999999999999999", 28, "from $1");
  refuse("SELECT /* /* */ 1", 17, "inside");
}

static void what_is_not_closed_or_holds_a_nul_is_refused(void **state) {
  (void)state;
  refuse("SELECT 'abc", 11, "not closed");
  refuse("SELECT \"abc", 11, "not closed");
  refuse("SELECT [abc", 11, "not closed");
  refuse("SELECT /*", 9, "not closed");
  refuse("SELECT /*/", 10, "not closed");
  refuse("SELECT \0 1", 10, "NUL");
  refuse("SELECT '\0'", 10, "NUL");
}

static void a_text_that_is_too_long_is_refused(void **state) {
  (void)state;
  struct buf out;
  struct err err = {0};
  buf_init(&out, 8);
  assert_int_equal(sql_text_for_sqlite("SELECT $1", 9, &out, &err), -1);
  assert_string_equal(err.code, "too_large");
  assert_int_equal(out.length, 0);
  err.code = NULL;
  assert_int_equal(sql_text_for_sqlite("", SQL_TEXT_LENGTH_MAX + 1, &out, &err), -1);
  assert_string_equal(err.code, "too_large");
  buf_deinit(&out);
}

static void a_place_is_named_by_its_byte(void **state) {
  (void)state;
  refuse("SELECT ?", 8, "byte 8");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parameters_are_numbered_by_their_number_and_not_by_appearance),
      cmocka_unit_test(strings_names_and_comments_are_left_as_they_are),
      cmocka_unit_test(a_semicolon_may_end_the_one_statement),
      cmocka_unit_test(what_the_two_stores_read_differently_is_refused),
      cmocka_unit_test(what_is_not_closed_or_holds_a_nul_is_refused),
      cmocka_unit_test(a_text_that_is_too_long_is_refused),
      cmocka_unit_test(a_place_is_named_by_its_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
