#include <sys/stat.h>

#include "io/sqlite_checkpointer.h"
#include "store_fixture.h"

#define PAGE_BYTES 4096
#define FRAME_BYTES (PAGE_BYTES + 24)
#define ROWS 20000
#define ROWS_A_REQUEST 50

static off_t file_size(const struct fixture *fixture, const char *suffix) {
  char path[128];
  struct stat status;
  snprintf(path, sizeof path, "%s%s", fixture->path, suffix);
  return stat(path, &status) == 0 ? status.st_size : 0;
}

static void insert_rows(struct fixture *fixture) {
  static char body[2500];
  struct store_statement statements[ROWS_A_REQUEST];
  const char *sql = "INSERT INTO t (body) VALUES ($1)";
  memset(body, 'x', sizeof body);
  struct store_value value = text_of(body, sizeof body);
  for (size_t i = 0; i < ROWS_A_REQUEST; i++)
    statements[i] = (struct store_statement){sql, strlen(sql), &value, 1, false};
  struct store_spec spec = {
      .kind = STORE_EXECUTE, .statements = statements, .statement_count = ROWS_A_REQUEST};
  assert_null(finish(fixture, start_spec(fixture, &spec, NULL)));
}

static void the_log_stays_within_its_bound_while_rows_keep_coming(void **state) {
  struct fixture *fixture = *state;
  off_t largest = 0;
  must_run(fixture, "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)");
  for (int i = 0; i < ROWS / ROWS_A_REQUEST; i++) {
    insert_rows(fixture);
    off_t size = file_size(fixture, "-wal");
    if (size > largest) largest = size;
  }
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), ROWS);
  /* What a commit adds comes on top, and what was committed while a checkpoint ran. */
  assert_true(largest <= (off_t)FRAME_BYTES * SQLITE_LOG_PAGES_MAX * 5 / 4);
}

static void what_was_moved_is_in_the_file_before_the_store_is_closed(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)");
  for (int i = 0; i < 2 * SQLITE_LOG_PAGES_STEP / ROWS_A_REQUEST + 1; i++) insert_rows(fixture);
  off_t least = (off_t)PAGE_BYTES * SQLITE_LOG_PAGES_STEP / 2;
  for (int i = 0; i < 1000 && file_size(fixture, "") < least; i++) usleep(10000);
  assert_true(file_size(fixture, "") >= least);
}

static void closing_leaves_no_log_and_every_row(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)");
  for (int i = 0; i < 40; i++) insert_rows(fixture);
  assert_int_equal(fixture_close(fixture), 0);
  assert_int_equal(file_size(fixture, "-wal"), 0);
  fixture_open(fixture, NULL);
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 40 * ROWS_A_REQUEST);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_log_stays_within_its_bound_while_rows_keep_coming, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(what_was_moved_is_in_the_file_before_the_store_is_closed,
                                      setup, teardown),
      cmocka_unit_test_setup_teardown(closing_leaves_no_log_and_every_row, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
