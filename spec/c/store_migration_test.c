/* Numbered migrations. */
#include "store_fixture.h"

struct step {
  int64_t number;
  const char *name;
  const char *sql;
};

/* How many were applied, or -1 with `err` filled. */
static int64_t migrate(struct fixture *fixture, const char *space, const struct step *steps,
                       size_t count, struct err *err) {
  struct store_value values[8][2];
  struct store_statement statements[8];
  assert_in_range(count, 0, 8);
  for (size_t i = 0; i < count; i++) {
    values[i][0] = integer(steps[i].number);
    values[i][1] = text(steps[i].name);
    statements[i] =
        (struct store_statement){steps[i].sql, strlen(steps[i].sql), values[i], 2, false};
  }
  struct store_spec spec = {
      .kind = STORE_MIGRATE, .statements = statements, .statement_count = count, .space = space};
  struct store_request *request = start_spec(fixture, &spec, NULL);
  wait_for(fixture, request);
  int64_t applied = -1;
  if (store_request_error(request) != NULL)
    *err = *store_request_error(request);
  else
    applied = store_request_result(request, 0)->changes;
  store_request_release(request);
  return applied;
}

static const struct step first_steps[] = {
    {1, "tables", "-- two\nCREATE TABLE a (id INTEGER);\nCREATE TABLE b (id INTEGER); ;\n"},
    {2, "row", "INSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2)"},
    {4, "trigger",
     "CREATE TRIGGER c AFTER INSERT ON a BEGIN INSERT INTO b VALUES (1); DELETE FROM b; END;"},
};

static void each_migration_runs_once_and_in_order(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 2, &err), 2);
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 2, &err), 0);
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 3, &err), 1);
  assert_int_equal(query_integer(fixture, "SELECT sum(id) FROM a"), 3);
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM schema_migrations WHERE "
                                          "space = 'tidegate' AND applied_at LIKE '2%Z'"),
                   3);
}

static void spaces_have_numbers_of_their_own(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  static const struct step project[] = {{1, "own", "CREATE TABLE own (id INTEGER)"}};
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 3, &err), 3);
  assert_int_equal(migrate(fixture, "project", project, 1, &err), 1);
}

static void a_newer_database_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 3, &err), 3);
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 2, &err), -1);
  assert_string_equal(err.code, "sql");
  assert_non_null(strstr(err.message, "has migration 4 of tidegate"));
  assert_non_null(strstr(err.message, "up to 2 only"));
}

static void a_failing_migration_leaves_no_trace_and_names_its_line(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  static const struct step steps[] = {
      {1, "good", "CREATE TABLE good (id INTEGER)"},
      {2, "bad", "CREATE TABLE half (id INTEGER);\n\nINSERT INTO\n  nowhere VALUES (1);"},
      {3, "never", "CREATE TABLE never (id INTEGER)"},
  };
  assert_int_equal(migrate(fixture, "project", steps, 3, &err), -1);
  assert_string_equal(err.code, "sql");
  assert_non_null(strstr(err.message, "002_bad of project: line 3: no such table: nowhere"));
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM sqlite_schema WHERE name IN "
                                          "('half', 'never')"),
                   0);
  assert_int_equal(query_integer(fixture, "SELECT max(number) FROM schema_migrations"), 1);
}

static void numbers_and_names_that_do_not_fit_are_refused(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  static const struct step falling[] = {{2, "b", "SELECT 1"}, {1, "a", "SELECT 1"}};
  static const struct step renamed[] = {{1, "tables", ""}, {2, "renamed", ""}, {4, "trigger", ""}};
  static const struct step late[] = {
      {1, "tables", ""}, {2, "row", ""}, {3, "late", ""}, {4, "trigger", ""}};
  assert_int_equal(migrate(fixture, "tidegate", falling, 2, &err), -1);
  assert_non_null(strstr(err.message, "1 comes after 2"));
  assert_int_equal(migrate(fixture, "tidegate", first_steps, 3, &err), 3);
  assert_int_equal(migrate(fixture, "tidegate", renamed, 3, &err), -1);
  assert_non_null(strstr(err.message, "\"row\""));
  assert_int_equal(migrate(fixture, "tidegate", late, 4, &err), -1);
  assert_non_null(strstr(err.message, "003_late"));
}

static void a_migration_cannot_leave_its_transaction(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  static const char *const texts[] = {"COMMIT", "CREATE TABLE x (id INTEGER); ROLLBACK; SELECT 1",
                                      "PRAGMA synchronous = OFF", "VACUUM"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    const struct step step = {1, "escape", texts[i]};
    assert_int_equal(migrate(fixture, "project", &step, 1, &err), -1);
    assert_string_equal(err.code, "sql");
  }
  assert_int_equal(query_integer(fixture, "SELECT count(*) FROM schema_migrations"), 0);
}

static void requests_behind_a_migration_see_its_tables(void **state) {
  struct fixture *fixture = *state;
  struct store_value values[] = {integer(1), text("t")};
  static const char sql[] = "CREATE TABLE t (id INTEGER)";
  struct store_statement statement = {sql, strlen(sql), values, 2, false};
  struct store_spec spec = {
      .kind = STORE_MIGRATE, .statements = &statement, .statement_count = 1, .space = "project"};
  struct store_request *migration = start_spec(fixture, &spec, NULL);
  struct store_request *insert = start(fixture, STORE_EXECUTE, "INSERT INTO t VALUES (1)", NULL, 0);
  assert_null(finish(fixture, insert));
  assert_null(finish(fixture, migration));
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      SPEC(each_migration_runs_once_and_in_order),
      SPEC(spaces_have_numbers_of_their_own),
      SPEC(a_newer_database_is_refused),
      SPEC(a_failing_migration_leaves_no_trace_and_names_its_line),
      SPEC(numbers_and_names_that_do_not_fit_are_refused),
      SPEC(a_migration_cannot_leave_its_transaction),
      SPEC(requests_behind_a_migration_see_its_tables),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
