/* The database of the project's own tables: transactions between whose statements a script runs. */
#include "faulty_disk.h"
#include "locker.h"
#include "store_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "io/store_session.h"

#define MS_NS UINT64_C(1000000)
#define ENDLESS \
  "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

static const char migration_sql[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, note BLOB);"
    "CREATE TABLE child (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)";

static void migrate(struct fixture *fixture) {
  const struct store_value values[] = {integer(1), text("tables")};
  struct store_statement statement = {migration_sql, strlen(migration_sql), values, 2, false};
  struct store_spec spec = {
      .kind = STORE_MIGRATE, .statements = &statement, .statement_count = 1, .space = "project"};
  assert_null(finish(fixture, start_spec(fixture, &spec, NULL)));
}

static struct fixture *prepare(const struct store_options *options) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture->scheme = "project";
  fixture_folder(fixture);
  fixture_open(fixture, options);
  migrate(fixture);
  return fixture;
}

static int open_project(void **state) {
  *state = prepare(NULL);
  return 0;
}

/* --- transactions ------------------------------------------------------------------------- */

static struct store_session *new_session(uint64_t limit_ns) {
  struct store_session *session = store_session_new(limit_ns);
  assert_non_null(session);
  return session;
}

/* NULL and `err` when it is refused at once. `sql` may be NULL. */
static struct store_request *try_ask(struct fixture *fixture, enum store_kind kind,
                                     struct store_session *session, const char *sql,
                                     struct err *err) {
  struct store_statement statement = {sql, sql ? strlen(sql) : 0, NULL, 0, false};
  struct store_spec spec = {
      .kind = kind, .statements = &statement, .statement_count = sql != NULL, .session = session};
  return store_client_start(fixture->client, &spec, on_wake, NULL, err);
}

static struct store_request *ask(struct fixture *fixture, enum store_kind kind,
                                 struct store_session *session, const char *sql) {
  struct err err = {0};
  struct store_request *request = try_ask(fixture, kind, session, sql, &err);
  if (request == NULL) fail_msg("%s", err.message);
  return request;
}

/* The code with which it ended, NULL when it worked. */
static const char *outcome(struct fixture *fixture, enum store_kind kind,
                           struct store_session *session, const char *sql) {
  struct err err = {0};
  struct store_request *request = try_ask(fixture, kind, session, sql, &err);
  return request ? finish(fixture, request) : err.code;
}

static struct store_session *begin(struct fixture *fixture, uint64_t limit_ns) {
  struct store_session *session = new_session(limit_ns);
  assert_null(outcome(fixture, STORE_BEGIN, session, NULL));
  return session;
}

static const char *step(struct fixture *fixture, struct store_session *session, const char *sql) {
  return outcome(fixture, STORE_STEP, session, sql);
}

static const char *commit(struct fixture *fixture, struct store_session *session) {
  const char *code = outcome(fixture, STORE_COMMIT, session, NULL);
  store_session_release(session);
  return code;
}

static void leave(struct fixture *fixture, struct store_session *session) {
  store_abandon(fixture->store, session);
  store_session_release(session);
}

static int64_t count(struct fixture *fixture) {
  return query_integer(fixture, "SELECT count(*) FROM t");
}

/* A statement alone, whichever way it goes. */
static const char *alone(struct fixture *fixture, const char *sql) {
  return finish(fixture, start(fixture, STORE_QUERY, sql, NULL, 0));
}

static void what_is_committed_is_seen_by_others_and_nothing_before(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  assert_int_equal(count(fixture), 0);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (2)"));
  assert_null(commit(fixture, session));
  assert_int_equal(count(fixture), 2);
}

static void one_that_is_left_has_no_effect_and_lets_the_next_begin(void **state) {
  struct fixture *fixture = *state;
  struct store_session *first = begin(fixture, 60 * SECOND_NS);
  struct store_session *second = new_session(SECOND_NS);
  assert_null(step(fixture, first, "INSERT INTO t (id) VALUES (1)"));
  struct store_request *waiting = ask(fixture, STORE_BEGIN, second, NULL);
  leave(fixture, first);
  assert_null(finish(fixture, waiting));
  assert_null(step(fixture, second, "INSERT INTO t (id) VALUES (1)"));
  assert_null(commit(fixture, second));
  assert_int_equal(count(fixture), 1);
}

static void one_that_is_left_in_a_statement_is_stopped(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, 60 * SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  store_request_release(ask(fixture, STORE_STEP, session, ENDLESS));
  leave(fixture, session);
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (2)"));
  assert_int_equal(query_integer(fixture, "SELECT sum(id) FROM t"), 2);
}

static void one_that_is_left_in_the_line_never_begins(void **state) {
  struct fixture *fixture = *state;
  struct store_session *first = begin(fixture, 60 * SECOND_NS);
  struct store_session *second = new_session(60 * SECOND_NS);
  store_request_release(ask(fixture, STORE_BEGIN, second, NULL));
  leave(fixture, second);
  assert_null(commit(fixture, first));
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
}

static void they_run_in_the_order_in_which_they_came(void **state) {
  struct fixture *fixture = *state;
  enum { ALL = 20 };
  struct store_session *sessions[ALL];
  struct store_request *begins[ALL];
  struct store_session *first = begin(fixture, 60 * SECOND_NS);
  for (int i = 0; i < ALL; i++) {
    sessions[i] = new_session(SECOND_NS);
    begins[i] = ask(fixture, STORE_BEGIN, sessions[i], NULL);
  }
  assert_null(commit(fixture, first));
  for (int i = 0; i < ALL; i++) {
    assert_null(finish(fixture, begins[i]));
    if (i + 1 < ALL) assert_false(store_request_is_done(begins[i + 1]));
    assert_null(step(fixture, sessions[i], "INSERT INTO t (note) VALUES ('x')"));
    assert_null(commit(fixture, sessions[i]));
  }
  assert_int_equal(count(fixture), ALL);
}

static void past_its_time_it_is_rolled_back_and_says_timeout_ever_after(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, 50 * MS_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)")); /* waits for its end */
  assert_string_equal(step(fixture, session, "INSERT INTO t (id) VALUES (2)"), "timeout");
  assert_string_equal(commit(fixture, session), "timeout");
  assert_int_equal(count(fixture), 1);
}

static void a_statement_is_stopped_at_the_end_of_the_transactions_time(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, 100 * MS_NS);
  uint64_t before = clock_real_monotonic_ns();
  assert_string_equal(step(fixture, session, ENDLESS), "timeout");
  assert_true(clock_real_monotonic_ns() - before < 2 * SECOND_NS);
  assert_string_equal(commit(fixture, session), "timeout");
}

static void a_statement_that_fails_leaves_the_transaction_open(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  assert_string_equal(step(fixture, session, "INSERT INTO t (id) VALUES (2), (1)"), "constraint");
  assert_string_equal(step(fixture, session, "INSERT INTO nothing VALUES (1)"), "sql");
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (3)"));
  assert_null(commit(fixture, session));
  assert_int_equal(query_integer(fixture, "SELECT sum(id) FROM t"), 1 + 3);
}

static void a_commit_that_a_constraint_forbids_rolls_back(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  assert_null(step(fixture, session, "INSERT INTO child VALUES (77)"));
  assert_string_equal(commit(fixture, session), "constraint");
  assert_int_equal(count(fixture), 0);
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
}

static void what_comes_after_the_end_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, SECOND_NS);
  store_session_retain(session);
  assert_null(commit(fixture, session));
  assert_string_equal(step(fixture, session, "INSERT INTO t (id) VALUES (1)"), "sql");
  assert_string_equal(commit(fixture, session), "sql");
}

static void the_statements_of_begin_and_commit_are_the_frameworks(void **state) {
  struct fixture *fixture = *state;
  static const char mark[] =
      "INSERT INTO tidegate_transactions VALUES ('event', 1, 'null', '2026-01-01')";
  static const char find[] = "SELECT number FROM tidegate_transactions";
  struct store_session *session = new_session(SECOND_NS);
  assert_null(outcome(fixture, STORE_BEGIN, session, find));
  assert_string_equal(step(fixture, session, find), "sql");
  assert_null(outcome(fixture, STORE_COMMIT, session, mark));
  store_session_release(session);
  session = new_session(SECOND_NS);
  struct store_request *request = ask(fixture, STORE_BEGIN, session, find);
  wait_for(fixture, request);
  assert_null(store_request_error(request));
  assert_int_equal(store_request_result(request, 0)->row_count, 1);
  store_request_release(request);
  assert_string_equal(outcome(fixture, STORE_COMMIT, session, mark), "constraint");
  store_session_release(session);
}

static void more_than_the_line_holds_are_refused(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  struct store_session *first = begin(fixture, 60 * SECOND_NS);
  struct store_session *other = new_session(SECOND_NS);
  int taken = 0;
  for (struct store_request *request = NULL; taken < 2000; taken++) {
    request = try_ask(fixture, STORE_BEGIN, other, NULL, &err);
    if (request == NULL) break;
    store_request_release(request);
  }
  assert_int_equal(taken, 1000);
  assert_string_equal(err.code, "overloaded");
  leave(fixture, other);
  assert_null(commit(fixture, first));
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
}

static void more_statements_of_one_transaction_than_may_wait_are_refused(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  struct store_session *session = begin(fixture, 60 * SECOND_NS);
  store_request_release(ask(fixture, STORE_STEP, session, ENDLESS));
  int taken = 0;
  for (; taken < 200; taken++) {
    struct store_request *request = try_ask(fixture, STORE_STEP, session, "SELECT 1", &err);
    if (request == NULL) break;
    store_request_release(request);
  }
  /* The first may have been taken up, or wait with them. */
  assert_in_range(taken, STORE_SESSION_STEPS_MAX - 1, STORE_SESSION_STEPS_MAX);
  assert_string_equal(err.code, "overloaded");
  leave(fixture, session);
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
}

static void one_that_is_open_at_the_close_is_rolled_back(void **state) {
  struct fixture *fixture = *state;
  struct store_session *session = begin(fixture, 60 * SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  assert_int_equal(fixture_close(fixture), 0);
  store_session_release(session);
  fixture_open(fixture, NULL);
  assert_int_equal(count(fixture), 0);
}

/* --- single statements --------------------------------------------------------------------- */

static void a_statement_finds_its_way_whether_it_reads_or_writes(void **state) {
  struct fixture *fixture = *state;
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
  assert_null(alone(fixture, "  -- a comment\n INSERT INTO t (id) VALUES (2)"));
  assert_null(alone(fixture, "WITH c (x) AS (SELECT 3) INSERT INTO t (id) SELECT x FROM c"));
  assert_null(alone(fixture, "replace INTO t (id) VALUES (3)"));
  assert_int_equal(query_integer(fixture, "WITH c AS (SELECT id FROM t) SELECT sum(id) FROM c"), 6);
}

static void a_single_write_stops_with_its_owner(void **state) {
  struct fixture *fixture = *state;
  static const char sql[] = "INSERT INTO t (id) WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT "
                            "x + 1 FROM n) SELECT x FROM n";
  struct store_request *request = start(fixture, STORE_QUERY, sql, NULL, 0);
  usleep(20000);
  store_request_release(request);
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
  assert_int_equal(count(fixture), 1);
}

static void a_single_statement_is_stopped_at_its_deadline(void **state) {
  struct fixture *fixture = *state;
  static const char *const texts[] = {
      ENDLESS,
      "INSERT INTO t (id) WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
      "SELECT x FROM n"};
  for (size_t i = 0; i < 2; i++) {
    struct store_statement statement = {texts[i], strlen(texts[i]), NULL, 0, false};
    struct store_spec spec = {.kind = STORE_QUERY,
                              .statements = &statement,
                              .statement_count = 1,
                              .timeout_ns = 100 * MS_NS};
    struct store_request *request = start_spec(fixture, &spec, NULL);
    wait_for(fixture, request);
    assert_string_equal(store_request_error(request)->code, "timeout");
    assert_non_null(strstr(store_request_error(request)->message, "ran for too long"));
    store_request_release(request);
  }
  assert_int_equal(count(fixture), 0);
}

/* --- failures -------------------------------------------------------------------------------- */

static void discard(struct fixture *fixture) {
  fixture_close(fixture);
  fixture_remove(fixture);
  free(fixture);
}

static void a_commit_whose_sync_failed_is_not_acknowledged_and_the_next_is(void **state) {
  (void)state;
  faulty_disk_install();
  struct fixture *fixture = prepare(NULL);
  struct store_session *session = begin(fixture, SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (1)"));
  faulty_disk_fail(true);
  assert_string_equal(commit(fixture, session), "unavailable");
  assert_string_equal(alone(fixture, "INSERT INTO t (id) VALUES (2)"), "unavailable");
  assert_int_equal(count(fixture), 0);
  faulty_disk_fail(false);
  session = begin(fixture, SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (3)"));
  assert_null(commit(fixture, session));
  assert_int_equal(query_integer(fixture, "SELECT sum(id) FROM t"), 3);
  struct store_stats stats;
  store_read_stats(fixture->store, &stats);
  assert_true(stats.failed_commits >= 1);
  assert_non_null(strstr(stats.last_error, "disk"));
  discard(fixture);
  faulty_disk_remove();
}

static void a_full_disk_ends_the_transaction_and_heals(void **state) {
  (void)state;
  struct fixture *fixture = prepare(&(struct store_options){.page_limit = 100});
  assert_null(alone(fixture, "INSERT INTO t (id, note) VALUES (1, zeroblob(200000))"));
  struct store_session *session = begin(fixture, SECOND_NS);
  assert_null(step(fixture, session, "INSERT INTO t (id) VALUES (2)"));
  assert_string_equal(step(fixture, session, "INSERT INTO t VALUES (3, zeroblob(300000))"),
                      "unavailable");
  assert_string_equal(step(fixture, session, "INSERT INTO t (id) VALUES (4)"), "unavailable");
  assert_string_equal(commit(fixture, session), "unavailable");
  assert_int_equal(count(fixture), 1);
  assert_null(alone(fixture, "DELETE FROM t"));
  assert_null(alone(fixture, "INSERT INTO t VALUES (3, zeroblob(300000))"));
  discard(fixture);
}

static void a_lock_of_another_process_is_waited_for_and_then_refused(void **state) {
  (void)state;
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture->scheme = "project";
  fixture_folder(fixture);
  struct locker locker = locker_start(fixture->path);
  fixture_open(fixture, &(struct store_options){.lock_wait_ms = 200});
  migrate(fixture);
  locker_order(&locker, 'l');
  struct store_session *session = new_session(SECOND_NS);
  assert_string_equal(outcome(fixture, STORE_BEGIN, session, NULL), "unavailable");
  assert_string_equal(alone(fixture, "INSERT INTO t (id) VALUES (1)"), "unavailable");
  assert_int_equal(count(fixture), 0);
  locker_order(&locker, 'u');
  assert_null(alone(fixture, "INSERT INTO t (id) VALUES (1)"));
  store_session_release(session);
  locker_end(&locker);
  discard(fixture);
}

/* Begins transactions without end, the odd rows of which it commits. */
static void write_until_killed(struct fixture *fixture, int answers) {
  fixture_open(fixture, NULL);
  for (int i = 1;; i++) {
    char sql[64];
    struct store_session *session = begin(fixture, 60 * SECOND_NS);
    snprintf(sql, sizeof sql, "INSERT INTO t (id) VALUES (%d)", i);
    if (step(fixture, session, sql) != NULL) _exit(1);
    if (i % 2 == 0) {
      if (write(answers, "y", 1) != 1) _exit(1);
      usleep(200);
      leave(fixture, session);
    } else if (commit(fixture, session) != NULL) {
      _exit(1);
    }
  }
}

static void a_process_that_is_killed_leaves_none_of_an_open_transaction(void **state) {
  (void)state;
  for (int round = 0; round < 5; round++) {
    struct fixture *fixture = prepare(NULL);
    int answers[2];
    char answer;
    fixture_close(fixture);
    assert_int_equal(pipe(answers), 0);
    pid_t pid = fork();
    if (pid == 0) write_until_killed(fixture, answers[1]);
    close(answers[1]);
    for (int i = 0; i <= round * 3; i++) assert_int_equal(read(answers[0], &answer, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(answers[0]);
    fixture_open(fixture, NULL);
    assert_true(count(fixture) >= round * 3);
    assert_int_equal(query_integer(fixture, "SELECT count(*) FROM t WHERE id % 2 = 0"), 0);
    assert_int_equal(query_integer(fixture, "SELECT max(id) - 2 * count(*) FROM t"), -1);
    discard(fixture);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_project, teardown)
      TEST(what_is_committed_is_seen_by_others_and_nothing_before),
      TEST(one_that_is_left_has_no_effect_and_lets_the_next_begin),
      TEST(one_that_is_left_in_a_statement_is_stopped),
      TEST(one_that_is_left_in_the_line_never_begins),
      TEST(they_run_in_the_order_in_which_they_came),
      TEST(past_its_time_it_is_rolled_back_and_says_timeout_ever_after),
      TEST(a_statement_is_stopped_at_the_end_of_the_transactions_time),
      TEST(a_statement_that_fails_leaves_the_transaction_open),
      TEST(a_commit_that_a_constraint_forbids_rolls_back),
      TEST(what_comes_after_the_end_is_refused),
      TEST(the_statements_of_begin_and_commit_are_the_frameworks),
      TEST(more_than_the_line_holds_are_refused),
      TEST(more_statements_of_one_transaction_than_may_wait_are_refused),
      TEST(one_that_is_open_at_the_close_is_rolled_back),
      TEST(a_statement_finds_its_way_whether_it_reads_or_writes),
      TEST(a_single_write_stops_with_its_owner),
      TEST(a_single_statement_is_stopped_at_its_deadline),
#undef TEST
      cmocka_unit_test(a_commit_whose_sync_failed_is_not_acknowledged_and_the_next_is),
      cmocka_unit_test(a_full_disk_ends_the_transaction_and_heals),
      cmocka_unit_test(a_lock_of_another_process_is_waited_for_and_then_refused),
      cmocka_unit_test(a_process_that_is_killed_leaves_none_of_an_open_transaction),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
