#include "store_fixture.h"

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

static const char table_sql[] = "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT NOT NULL)";
static const char insert_sql[] = "INSERT INTO t (id, note) VALUES ($1, $2)";
static const char endless_sql[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

static void values_come_back_as_they_went_in(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, "CREATE TABLE v (a, b, c, d, e, f, g)");
  const struct store_value values[] = {
      integer(INT64_MAX),
      {.type = STORE_FLOAT, .real = 0.1},
      text_of("a\0b", 3),
      {.type = STORE_BLOB, .bytes = {"\xff\0", 2}},
      {.type = STORE_BLOB, .bytes = {NULL, 0}},
      {.type = STORE_NULL},
      {.type = STORE_BOOLEAN, .integer = 1},
  };
  assert_null(run_with(fixture, "INSERT INTO v VALUES ($1, $2, $3, $4, $5, $6, $7)", values, 7));
  struct store_request *request = start(fixture, STORE_QUERY, "SELECT * FROM v", NULL, 0);
  wait_for(fixture, request);
  const struct store_result *result = store_request_result(request, 0);
  assert_int_equal(result->column_count, 7);
  assert_int_equal(result->row_count, 1);
  struct store_cursor cursor;
  struct store_value got[14];
  store_cursor_init(&cursor, result);
  for (int i = 0; i < 14; i++) assert_true(store_cursor_next(&cursor, &got[i]));
  assert_false(store_cursor_next(&cursor, &got[0]));
  assert_memory_equal(got[6].bytes.data, "g", 1);
  assert_true(got[7].integer == INT64_MAX);
  assert_true(got[8].real == 0.1);
  assert_int_equal(got[9].type, STORE_TEXT);
  assert_int_equal(got[9].bytes.length, 3);
  assert_memory_equal(got[9].bytes.data, "a\0b", 3);
  assert_int_equal(got[10].type, STORE_BLOB);
  assert_memory_equal(got[10].bytes.data, "\xff\0", 2);
  assert_int_equal(got[11].type, STORE_BLOB);
  assert_int_equal(got[11].bytes.length, 0);
  assert_int_equal(got[12].type, STORE_NULL);
  assert_int_equal(got[13].type, STORE_INTEGER);
  assert_int_equal(got[13].integer, 1);
  store_request_release(request);
}

static void parameters_are_bound_by_number(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, table_sql);
  const struct store_value values[] = {text("seven"), integer(7)};
  assert_null(run_with(fixture, "INSERT INTO t (id, note) VALUES ($2, $1)", values, 2));
  assert_int_equal(query_integer(fixture, "SELECT id FROM t WHERE note = 'seven'"), 7);
  assert_string_equal(run_with(fixture, insert_sql, values, 1), "sql");
  assert_string_equal(run_with(fixture, "DELETE FROM t", values, 1), "sql");
}

static void changes_count_the_rows_of_the_statement_itself(void **state) {
  struct fixture *fixture = *state;
  static const char sql[] = "INSERT INTO t VALUES ($1, 'x') ON CONFLICT DO NOTHING";
  must_run(fixture, table_sql);
  const struct store_value value = integer(1);
  int64_t expected[] = {1, 0};
  for (int i = 0; i < 2; i++) {
    struct store_request *request = start(fixture, STORE_EXECUTE, sql, &value, 1);
    wait_for(fixture, request);
    assert_int_equal(store_request_result(request, 0)->changes, expected[i]);
    store_request_release(request);
  }
  struct store_request *request =
      start(fixture, STORE_EXECUTE, "CREATE TABLE other (id INTEGER)", NULL, 0);
  wait_for(fixture, request);
  assert_int_equal(store_request_result(request, 0)->changes, 0);
  store_request_release(request);
}

static void start_inserts(struct fixture *fixture, struct store_request **requests, int count,
                          int bad) {
  for (int i = 0; i < count; i++) {
    const struct store_value values[] = {integer(i),
                                         i == bad ? (struct store_value){0} : text("n")};
    requests[i] = start(fixture, STORE_EXECUTE, insert_sql, values, 2);
  }
}

static void requests_that_wait_together_share_commits(void **state) {
  struct fixture *fixture = *state;
  struct store_request *requests[400];
  struct store_stats before;
  struct store_stats after;
  must_run(fixture, table_sql);
  store_read_stats(fixture->store, &before);
  start_inserts(fixture, requests, 400, -1);
  for (int i = 0; i < 400; i++) assert_null(finish(fixture, requests[i]));
  store_read_stats(fixture->store, &after);
  assert_int_equal(after.committed_rows - before.committed_rows, 400);
  assert_in_range(after.commits - before.commits, 1, 100);
  assert_true(after.commit_ns > before.commit_ns);
}

static void a_constraint_failure_fails_its_own_request_only(void **state) {
  struct fixture *fixture = *state;
  struct store_request *requests[100];
  must_run(fixture, table_sql);
  start_inserts(fixture, requests, 100, 50);
  for (int i = 0; i < 100; i++) {
    const char *code = finish(fixture, requests[i]);
    if (i == 50)
      assert_string_equal(code, "constraint");
    else
      assert_null(code);
  }
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 99);
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t WHERE id = 50"), 0);
}

static void a_write_that_runs_too_long_fails_its_own_request_only(void **state) {
  struct fixture *fixture = *state;
  struct store_request *requests[20];
  must_run(fixture, table_sql);
  start_inserts(fixture, requests, 10, -1);
  static const char endless[] =
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n)"
      " SELECT i, 'x' FROM n WHERE i < 0";
  struct store_statement statement = {endless, strlen(endless), NULL, 0, false};
  struct store_spec spec = {.kind = STORE_EXECUTE,
                            .statements = &statement,
                            .statement_count = 1,
                            .timeout_ns = SECOND_NS / 2};
  struct store_request *slow = start_spec(fixture, &spec, NULL);
  const struct store_value values[] = {integer(10), text("after")};
  requests[10] = start(fixture, STORE_EXECUTE, insert_sql, values, 2);
  assert_string_equal(finish(fixture, slow), "timeout");
  for (int i = 0; i < 11; i++) assert_null(finish(fixture, requests[i]));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 11);
}

static void a_transaction_is_all_or_nothing(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, table_sql);
  const struct store_value values[][2] = {{integer(1), text("a")}, {integer(1), text("b")}};
  struct store_statement statements[] = {{insert_sql, strlen(insert_sql), values[0], 2, false},
                                         {insert_sql, strlen(insert_sql), values[1], 2, false}};
  struct store_spec spec = {.kind = STORE_EXECUTE, .statements = statements, .statement_count = 2};
  assert_string_equal(finish(fixture, start_spec(fixture, &spec, NULL)), "constraint");
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 0);
  static const char returning[] = "INSERT INTO t (note) VALUES ('r') RETURNING id, note";
  statements[1] = (struct store_statement){returning, strlen(returning), NULL, 0, false};
  struct store_request *request = start_spec(fixture, &spec, NULL);
  wait_for(fixture, request);
  assert_null(store_request_error(request));
  assert_int_equal(store_request_result(request, 0)->row_count, 0);
  assert_int_equal(store_request_result(request, 1)->row_count, 1);
  assert_int_equal(store_request_result(request, 1)->column_count, 2);
  store_request_release(request);
}

static void writes_happen_in_the_order_they_were_asked_for(void **state) {
  struct fixture *fixture = *state;
  struct store_request *requests[64];
  must_run(fixture, "CREATE TABLE o (at INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER)");
  for (int i = 0; i < 64; i++) {
    const struct store_value value = integer(i);
    requests[i] = start(fixture, STORE_EXECUTE, "INSERT INTO o (id) VALUES ($1)", &value, 1);
  }
  for (int i = 0; i < 64; i++) assert_null(finish(fixture, requests[i]));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM o WHERE at = id + 1"), 64);
}

static void enqueue_note(struct fixture *fixture, int64_t id) {
  const struct store_value values[] = {integer(id), text("row")};
  struct store_statement statement = {insert_sql, strlen(insert_sql), values, 2, false};
  struct err err = {0};
  if (store_enqueue(fixture->store, &statement, &err) != 0) fail_msg("%s", err.message);
}

static void a_flush_waits_for_all_rows_queued_before_it(void **state) {
  struct fixture *fixture = *state;
  struct store_stats stats;
  must_run(fixture, table_sql);
  for (int i = 0; i < 10000; i++) enqueue_note(fixture, i);
  assert_null(flush(fixture, 0));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 10000);
  store_read_stats(fixture->store, &stats);
  assert_int_equal(stats.queued_bytes, 0);
  assert_int_equal(stats.queued_rows, 0);
  assert_null(flush(fixture, 0));
}

static void rows_are_written_without_a_flush(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, table_sql);
  enqueue_note(fixture, 1);
  while (query_integer(fixture, "SELECT count(*) FROM t") == 0) continue;
}

static void a_row_that_cannot_be_stored_is_counted_and_named(void **state) {
  struct fixture *fixture = *state;
  struct store_stats stats;
  must_run(fixture, table_sql);
  for (int i = 0; i < 10; i++) enqueue_note(fixture, i);
  enqueue_note(fixture, 5);
  for (int i = 10; i < 20; i++) enqueue_note(fixture, i);
  assert_null(flush(fixture, 0));
  store_read_stats(fixture->store, &stats);
  assert_int_equal(stats.failed_rows, 1);
  assert_non_null(strstr(stats.last_error, "UNIQUE"));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 20);
}

static void what_was_committed_is_seen_by_the_next_query(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, table_sql);
  for (int i = 0; i < 20; i++) {
    const struct store_value values[] = {integer(i), text("x")};
    assert_null(run_with(fixture, insert_sql, values, 2));
    assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), i + 1);
  }
}

static void a_released_write_still_happens_and_wakes_nobody(void **state) {
  struct fixture *fixture = *state;
  int wakes = 0;
  must_run(fixture, table_sql);
  const struct store_value values[] = {integer(1), text("x")};
  struct store_statement statement = {insert_sql, strlen(insert_sql), values, 2, false};
  struct store_spec spec = {.kind = STORE_EXECUTE, .statements = &statement, .statement_count = 1};
  store_request_release(start_spec(fixture, &spec, &wakes));
  while (store_client_pending(fixture->client) > 0) uv_run(&fixture->loop, UV_RUN_ONCE);
  assert_int_equal(wakes, 0);
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 1);
}

static void a_request_wakes_its_owner_once(void **state) {
  struct fixture *fixture = *state;
  int wakes = 0;
  struct store_spec spec = {.kind = STORE_FLUSH};
  struct store_request *request = start_spec(fixture, &spec, &wakes);
  assert_false(store_request_is_done(request));
  assert_int_equal(wakes, 0);
  wait_for(fixture, request);
  uv_run(&fixture->loop, UV_RUN_NOWAIT);
  assert_int_equal(wakes, 1);
  assert_ptr_equal(store_request_argument(request), &wakes);
  store_request_release(request);
}

static struct store_request *start_endless(struct fixture *fixture, uint64_t timeout_ns) {
  struct store_statement statement = {endless_sql, strlen(endless_sql), NULL, 0, false};
  struct store_spec spec = {.kind = STORE_QUERY,
                            .statements = &statement,
                            .statement_count = 1,
                            .timeout_ns = timeout_ns};
  return start_spec(fixture, &spec, NULL);
}

static void a_query_past_its_deadline_is_stopped(void **state) {
  struct fixture *fixture = *state;
  struct store_request *requests[4];
  for (int i = 0; i < 4; i++) requests[i] = start_endless(fixture, SECOND_NS / 5);
  for (int i = 0; i < 4; i++) assert_string_equal(finish(fixture, requests[i]), "timeout");
  assert_int_equal(query_integer(fixture, "SELECT 1"), 1);
}

static void a_released_query_is_stopped(void **state) {
  struct fixture *fixture = *state;
  struct store_request *requests[4];
  for (int i = 0; i < 4; i++) requests[i] = start_endless(fixture, 60 * SECOND_NS);
  for (int i = 0; i < 4; i++) store_request_release(requests[i]);
  assert_int_equal(query_integer(fixture, "SELECT 1"), 1);
}

static void a_result_past_its_bounds_is_refused(void **state) {
  struct fixture *fixture = *state;
  static const char rows[] =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10001) SELECT i FROM n";
  static const char bytes[] = "SELECT zeroblob(9000000)";
  assert_string_equal(finish(fixture, start(fixture, STORE_QUERY, rows, NULL, 0)), "too_large");
  assert_string_equal(finish(fixture, start(fixture, STORE_QUERY, bytes, NULL, 0)), "too_large");
  static const char few[] = "SELECT 1 UNION SELECT 2";
  struct store_statement statement = {few, strlen(few), NULL, 0, false};
  struct store_spec spec = {
      .kind = STORE_QUERY, .statements = &statement, .statement_count = 1, .max_rows = 1};
  assert_string_equal(finish(fixture, start_spec(fixture, &spec, NULL)), "too_large");
}

static void a_request_past_its_bounds_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  struct store_value value = {.type = STORE_BLOB, .bytes = {"", STORE_REQUEST_BYTES_MAX}};
  struct store_statement statement = {"SELECT $1", 9, &value, 1, false};
  struct store_spec spec = {.kind = STORE_QUERY, .statements = &statement, .statement_count = 1};
  assert_null(store_client_start(fixture->client, &spec, on_wake, NULL, &err));
  assert_string_equal(err.code, "too_large");
  assert_int_equal(store_client_pending(fixture->client), 0);
}

static void a_query_cannot_write(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, table_sql);
  struct store_request *request = start(fixture, STORE_QUERY, "DELETE FROM t", NULL, 0);
  assert_string_equal(finish(fixture, request), "sql");
}

static void statements_that_belong_to_the_store_are_refused(void **state) {
  struct fixture *fixture = *state;
  static const char *const refused[] = {
      "BEGIN",
      "COMMIT",
      "ROLLBACK",
      "SAVEPOINT s",
      "PRAGMA synchronous = OFF",
      "VACUUM",
      "ATTACH 'x.db' AS x",
      "SELECT load_extension('x')",
      "SELECT \"text\"",
      "",
      "SELECT 1; SELECT 2",
      "nonsense",
  };
  must_run(fixture, table_sql);
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    struct store_request *request = start(fixture, STORE_EXECUTE, refused[i], NULL, 0);
    const struct store_value values[] = {integer((int64_t)i), text("neighbour")};
    struct store_request *neighbour = start(fixture, STORE_EXECUTE, insert_sql, values, 2);
    const char *code = finish(fixture, request);
    if (code == NULL || strcmp(code, "sql") != 0) fail_msg("%s: %s", refused[i], code);
    assert_null(finish(fixture, neighbour));
  }
}

static void more_statements_than_the_cache_holds_still_run(void **state) {
  struct fixture *fixture = *state;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 600; i++) {
      char sql[32];
      snprintf(sql, sizeof sql, "SELECT %d", i);
      assert_int_equal(query_integer(fixture, sql), i);
    }
  }
}

static void the_file_is_for_its_owner_only(void **state) {
  struct fixture *fixture = *state;
  struct stat stat_of_file;
  char path[128];
  must_run(fixture, table_sql);
  assert_int_equal(stat(fixture->path, &stat_of_file), 0);
  assert_int_equal(stat_of_file.st_mode & 0777, 0600);
  snprintf(path, sizeof path, "%s-wal", fixture->path);
  assert_int_equal(stat(path, &stat_of_file), 0);
  assert_int_equal(stat_of_file.st_mode & 0777, 0600);
}

static void freed_pages_can_be_given_back(void **state) {
  struct fixture *fixture = *state;
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  must_run(fixture, table_sql);
  assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA auto_vacuum", -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  assert_int_equal(sqlite3_column_int(statement, 0), 2);
  sqlite3_finalize(statement);
  sqlite3_close(db);
}

static void closing_writes_what_is_queued(void **state) {
  struct fixture *fixture = *state;
  must_run(fixture, table_sql);
  for (int i = 0; i < 5000; i++) enqueue_note(fixture, i);
  assert_int_equal(fixture_close(fixture), 0);
  fixture_open(fixture, NULL);
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 5000);
}

static void a_url_of_no_store_is_refused(void **state) {
  (void)state;
  static const char *const urls[] = {
      "", "mysql://x", "sqlite", "sqlite:", "sqlite::memory:", "sqlite:/nonexistent/folder/x.db"};
  for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
    struct err err = {0};
    assert_null(store_open(urls[i], NULL, &err));
    assert_true(strlen(err.message) > 0);
  }
}

/* Two workers with a loop and a client each. */
struct worker_thread {
  struct fixture *shared;
  int number;
  pthread_t thread;
};

static void *worker_main(void *argument) {
  struct worker_thread *worker = argument;
  struct fixture own = *worker->shared;
  uv_loop_init(&own.loop);
  own.client = store_client_new(own.store, &own.loop, NULL);
  for (int round = 0; round < 20; round++) {
    struct store_request *requests[25];
    for (int i = 0; i < 25; i++) {
      const struct store_value values[] = {integer((worker->number * 20 + round) * 25 + i),
                                           text("x")};
      requests[i] = start(&own, STORE_EXECUTE, insert_sql, values, 2);
    }
    enqueue_note(&own, 100000 + worker->number * 20 + round);
    for (int i = 0; i < 20; i++) assert_null(finish(&own, requests[i]));
    for (int i = 20; i < 25; i++) store_request_release(requests[i]);
    query_integer(&own, "SELECT count(*) FROM t");
  }
  store_client_close(own.client);
  uv_run(&own.loop, UV_RUN_DEFAULT);
  uv_loop_close(&own.loop);
  return NULL;
}

static void workers_share_one_store(void **state) {
  struct fixture *fixture = *state;
  struct worker_thread workers[2];
  must_run(fixture, table_sql);
  for (int i = 0; i < 2; i++) {
    workers[i] = (struct worker_thread){.shared = fixture, .number = i};
    pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
  }
  for (int i = 0; i < 2; i++) pthread_join(workers[i].thread, NULL);
  assert_null(flush(fixture, 0));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 2 * 20 * 26);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      SPEC(values_come_back_as_they_went_in),
      SPEC(parameters_are_bound_by_number),
      SPEC(changes_count_the_rows_of_the_statement_itself),
      SPEC(requests_that_wait_together_share_commits),
      SPEC(a_constraint_failure_fails_its_own_request_only),
      SPEC(a_write_that_runs_too_long_fails_its_own_request_only),
      SPEC(a_transaction_is_all_or_nothing),
      SPEC(writes_happen_in_the_order_they_were_asked_for),
      SPEC(a_flush_waits_for_all_rows_queued_before_it),
      SPEC(rows_are_written_without_a_flush),
      SPEC(a_row_that_cannot_be_stored_is_counted_and_named),
      SPEC(what_was_committed_is_seen_by_the_next_query),
      SPEC(a_released_write_still_happens_and_wakes_nobody),
      SPEC(a_request_wakes_its_owner_once),
      SPEC(a_query_past_its_deadline_is_stopped),
      SPEC(a_released_query_is_stopped),
      SPEC(a_result_past_its_bounds_is_refused),
      SPEC(a_request_past_its_bounds_is_refused),
      SPEC(a_query_cannot_write),
      SPEC(statements_that_belong_to_the_store_are_refused),
      SPEC(more_statements_than_the_cache_holds_still_run),
      SPEC(the_file_is_for_its_owner_only),
      SPEC(freed_pages_can_be_given_back),
      SPEC(closing_writes_what_is_queued),
      SPEC(workers_share_one_store),
      cmocka_unit_test(a_url_of_no_store_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
