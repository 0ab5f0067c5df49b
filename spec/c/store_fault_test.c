/* The store when the disk, the file or the process fails. */
#include "faulty_disk.h"
#include "locker.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char table_sql[] = "CREATE TABLE t (id INTEGER PRIMARY KEY, note BLOB NOT NULL)";
static const char insert_sql[] = "INSERT INTO t (id, note) VALUES ($1, $2)";

static const char *insert(struct fixture *fixture, int64_t id, size_t length) {
  char *bytes = calloc(1, length + 1);
  const struct store_value values[] = {integer(id), text_of(bytes, length)};
  const char *code = run_with(fixture, insert_sql, values, 2);
  free(bytes);
  return code;
}

static int enqueue(struct fixture *fixture, int64_t id, size_t length, struct err *err) {
  char *bytes = calloc(1, length + 1);
  const struct store_value values[] = {integer(id), text_of(bytes, length)};
  struct store_statement statement = {insert_sql, strlen(insert_sql), values, 2, false};
  int status = store_enqueue(fixture->store, &statement, err);
  free(bytes);
  return status;
}

static struct fixture *prepare(const struct store_options *options) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_folder(fixture);
  fixture_open(fixture, options);
  must_run(fixture, table_sql);
  return fixture;
}

static void discard(struct fixture *fixture) {
  if (fixture->store != NULL) fixture_close(fixture);
  fixture_remove(fixture);
  free(fixture);
}

static void a_commit_whose_sync_failed_is_not_acknowledged(void **state) {
  (void)state;
  faulty_disk_install();
  struct fixture *fixture = prepare(NULL);
  struct err err = {0};
  assert_null(insert(fixture, 1, 10));
  faulty_disk_fail(true);
  assert_string_equal(insert(fixture, 2, 10), "unavailable");
  assert_int_equal(enqueue(fixture, 3, 10, &err), 0);
  assert_string_equal(insert(fixture, 4, 10), "unavailable");
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 1);
  faulty_disk_fail(false);
  assert_null(insert(fixture, 5, 10));
  assert_null(flush(fixture, 0));
  assert_int_equal(query_integer(fixture, "SELECT sum(id) FROM t"), 1 + 3 + 5);
  struct store_stats stats;
  store_read_stats(fixture->store, &stats);
  assert_true(stats.failed_commits >= 2);
  discard(fixture);
  faulty_disk_remove();
}

static void a_full_disk_refuses_writes_keeps_rows_and_recovers(void **state) {
  (void)state;
  struct fixture *fixture = prepare(&(struct store_options){.page_limit = 100});
  struct err err = {0};
  int64_t id = 0;
  const char *code = NULL;
  while (code == NULL) code = insert(fixture, ++id, 20000);
  assert_string_equal(code, "unavailable");
  assert_in_range(id, 10, 25);
  assert_int_equal(enqueue(fixture, 1000, 20000, &err), 0);
  assert_string_equal(flush(fixture, SECOND_NS), "timeout");
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), id - 1);
  must_run(fixture, "DELETE FROM t WHERE id < 6");
  assert_null(insert(fixture, id, 20000));
  assert_null(flush(fixture, SECOND_NS));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t WHERE id = 1000"), 1);
  discard(fixture);
}

static void a_lock_of_another_process_is_waited_for_and_then_refused(void **state) {
  (void)state;
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_folder(fixture);
  struct locker locker = locker_start(fixture->path);
  fixture_open(fixture, &(struct store_options){.lock_wait_ms = 300});
  must_run(fixture, table_sql);
  locker_order(&locker, 'l');
  uint64_t begin = clock_real_monotonic_ns();
  assert_string_equal(insert(fixture, 1, 10), "unavailable");
  assert_true(clock_real_monotonic_ns() - begin >= SECOND_NS / 4);
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), 0);
  locker_order(&locker, 'u');
  assert_null(insert(fixture, 1, 10));
  locker_end(&locker);
  discard(fixture);
}

static void a_request_that_the_store_cannot_answer_ends_at_its_deadline(void **state) {
  (void)state;
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_folder(fixture);
  struct locker locker = locker_start(fixture->path);
  fixture_open(fixture, &(struct store_options){.lock_wait_ms = 3000});
  must_run(fixture, table_sql);
  locker_order(&locker, 'l');
  struct store_statement statement = {"DELETE FROM t", 13, NULL, 0, false};
  struct store_spec spec = {.kind = STORE_EXECUTE,
                            .statements = &statement,
                            .statement_count = 1,
                            .timeout_ns = SECOND_NS / 5};
  uint64_t begin = clock_real_monotonic_ns();
  assert_string_equal(finish(fixture, start_spec(fixture, &spec, NULL)), "timeout");
  assert_true(clock_real_monotonic_ns() - begin < 2 * SECOND_NS);
  locker_order(&locker, 'u');
  assert_null(insert(fixture, 1, 10));
  locker_end(&locker);
  discard(fixture);
}

static void queues_past_their_bounds_refuse_and_count(void **state) {
  (void)state;
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_folder(fixture);
  struct locker locker = locker_start(fixture->path);
  fixture_open(fixture, &(struct store_options){.lock_wait_ms = 10000});
  must_run(fixture, table_sql);
  locker_order(&locker, 'l');
  struct store_request *first = start(fixture, STORE_EXECUTE, "DELETE FROM t", NULL, 0);
  struct err err = {0};
  int64_t rows = 0;
  while (enqueue(fixture, rows, 1000000, &err) == 0) rows++;
  assert_string_equal(err.code, "overloaded");
  assert_in_range(rows, 60, 67);
  struct store_stats stats;
  store_read_stats(fixture->store, &stats);
  assert_int_equal(stats.dropped_rows, 1);
  assert_in_range(stats.queued_bytes, 60 * 1000000, 64 * 1024 * 1024);
  struct store_value value = {.type = STORE_BLOB, .bytes = {calloc(1, 8 << 20), 8 << 20}};
  struct store_statement statement = {"DELETE FROM t WHERE note = $1", 29, &value, 1, false};
  struct store_spec spec = {.kind = STORE_EXECUTE, .statements = &statement, .statement_count = 1};
  struct store_request *request = start_spec(fixture, &spec, NULL);
  while (request != NULL) {
    store_request_release(request);
    request = store_client_start(fixture->client, &spec, on_wake, NULL, &err);
  }
  assert_string_equal(err.code, "overloaded");
  free((void *)value.bytes.data);
  locker_order(&locker, 'u');
  assert_null(finish(fixture, first));
  assert_null(flush(fixture, 0));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t"), rows);
  locker_end(&locker);
  discard(fixture);
}

static void closing_past_the_deadline_says_what_was_lost(void **state) {
  (void)state;
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_folder(fixture);
  struct locker locker = locker_start(fixture->path);
  fixture_open(fixture, &(struct store_options){.lock_wait_ms = 10000});
  must_run(fixture, table_sql);
  locker_order(&locker, 'l');
  struct err err = {0};
  for (int i = 0; i < 3; i++) assert_int_equal(enqueue(fixture, i, 10, &err), 0);
  store_client_close(fixture->client);
  uv_run(&fixture->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&fixture->loop), 0);
  uint64_t begin = clock_real_monotonic_ns();
  assert_int_equal(store_close(fixture->store, begin + SECOND_NS / 5, &err), -1);
  assert_true(clock_real_monotonic_ns() - begin < 2 * SECOND_NS);
  assert_non_null(strstr(err.message, "3 rows"));
  fixture->store = NULL;
  locker_end(&locker);
  discard(fixture);
}

static off_t file_size(const char *path) {
  struct stat stat_of_file;
  return stat(path, &stat_of_file) == 0 ? stat_of_file.st_size : -1;
}

static void damage(const char *path, off_t from, off_t to) {
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  assert_true(descriptor >= 0);
  for (off_t at = from; at < to; at += 8)
    assert_int_equal(pwrite(descriptor, "\xde\xad\xbe\xef\xde\xad\xbe\xef", 8, at), 8);
  close(descriptor);
}

static void a_file_that_is_no_database_is_refused_and_left_alone(void **state) {
  (void)state;
  struct fixture *fixture = prepare(NULL);
  struct err err = {0};
  for (int i = 0; i < 20; i++) assert_null(insert(fixture, i, 3000));
  fixture_close(fixture);
  off_t size = file_size(fixture->path);
  damage(fixture->path, 0, 100);
  assert_null(fixture_try_open(fixture, NULL, &err));
  assert_string_equal(err.code, "unavailable");
  assert_non_null(strstr(err.message, "damaged"));
  assert_int_equal(file_size(fixture->path), size);
  discard(fixture);
}

static void a_corrupt_page_is_reported_and_stops_all_writes(void **state) {
  (void)state;
  struct fixture *fixture = prepare(NULL);
  struct err err = {0};
  for (int i = 0; i < 200; i++) assert_null(insert(fixture, i, 3000));
  must_run(fixture, "CREATE TABLE sound (id INTEGER)");
  fixture_close(fixture);
  damage(fixture->path, 2 * 4096, 150 * 4096);
  off_t size = file_size(fixture->path);
  fixture_open(fixture, NULL);
  struct store_request *request =
      start(fixture, STORE_QUERY, "SELECT sum(length(note)) FROM t", NULL, 0);
  wait_for(fixture, request);
  assert_non_null(store_request_error(request));
  assert_string_equal(store_request_error(request)->code, "unavailable");
  assert_non_null(strstr(store_request_error(request)->message, "damaged"));
  store_request_release(request);
  assert_string_equal(run(fixture, "UPDATE t SET note = 'x' WHERE id = 20"), "unavailable");
  assert_string_equal(run(fixture, "INSERT INTO sound VALUES (1)"), "unavailable");
  assert_int_equal(query_integer(fixture, "SELECT 1"), 1);
  assert_int_equal(file_size(fixture->path), size);
  assert_int_equal(enqueue(fixture, 1, 10, &err), 0);
  discard(fixture);
}

/* Writes with 16 requests in flight and tells of each acknowledged id, until it is killed. */
static void writing_child(struct fixture *fixture, int answers) {
  enum { IN_FLIGHT = 16 };
  struct store_request *requests[IN_FLIGHT];
  fixture_open(fixture, NULL);
  for (int64_t id = 0;; id += IN_FLIGHT) {
    for (int64_t i = 0; i < IN_FLIGHT; i++) {
      const struct store_value values[] = {integer(id + i), text("acknowledged")};
      requests[i] = start(fixture, STORE_EXECUTE, insert_sql, values, 2);
    }
    for (int64_t i = 0; i < IN_FLIGHT; i++) {
      int64_t acknowledged = id + i;
      if (finish(fixture, requests[i]) != NULL) _exit(1);
      if (write(answers, &acknowledged, sizeof acknowledged) != sizeof acknowledged) _exit(1);
    }
  }
}

static void nothing_acknowledged_is_lost_when_the_process_is_killed(void **state) {
  (void)state;
  struct fixture *fixture = prepare(NULL);
  fixture_close(fixture);
  for (int round = 0; round < 5; round++) {
    int answers[2];
    int64_t id = -1;
    int64_t last = -1;
    assert_int_equal(pipe(answers), 0);
    pid_t child = fork();
    if (child == 0) {
      close(answers[0]);
      writing_child(fixture, answers[1]);
    }
    close(answers[1]);
    for (int i = 0; i < 50 + 37 * round; i++)
      assert_int_equal(read(answers[0], &id, sizeof id), sizeof id);
    kill(child, SIGKILL);
    last = id;
    while (read(answers[0], &id, sizeof id) == sizeof id) last = id;
    close(answers[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    fixture_open(fixture, NULL);
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE id <= %lld", (long long)last);
    assert_int_equal(query_integer(fixture, sql), last + 1);
    struct store_request *check = start(fixture, STORE_QUERY, "SELECT count(*) FROM t", NULL, 0);
    assert_null(finish(fixture, check));
    must_run(fixture, "DELETE FROM t");
    fixture_close(fixture);
  }
  discard(fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_acknowledged_is_lost_when_the_process_is_killed),
      cmocka_unit_test(a_lock_of_another_process_is_waited_for_and_then_refused),
      cmocka_unit_test(a_request_that_the_store_cannot_answer_ends_at_its_deadline),
      cmocka_unit_test(queues_past_their_bounds_refuse_and_count),
      cmocka_unit_test(closing_past_the_deadline_says_what_was_lost),
      cmocka_unit_test(a_full_disk_refuses_writes_keeps_rows_and_recovers),
      cmocka_unit_test(a_file_that_is_no_database_is_refused_and_left_alone),
      cmocka_unit_test(a_corrupt_page_is_reported_and_stops_all_writes),
      cmocka_unit_test(a_commit_whose_sync_failed_is_not_acknowledged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
