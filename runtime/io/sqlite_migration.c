#include "io/sqlite_migration.h"

#include <stdio.h>
#include <string.h>

struct migration {
  struct sqlite_connection *connection;
  const char *space;
  int64_t number;
  const char *name; /* not NUL-terminated */
  int name_length;
  const char *sql;
  size_t sql_length;
};

static struct migration migration_at(struct sqlite_connection *connection,
                                     const struct store_request *request, size_t index) {
  const struct store_statement *statement = &request->statements[index];
  return (struct migration){
      .connection = connection,
      .space = request->space,
      .number = statement->values[0].integer,
      .name = statement->values[1].bytes.data,
      .name_length = (int)statement->values[1].bytes.length,
      .sql = statement->sql,
      .sql_length = statement->sql_length,
  };
}

static int fail(const struct migration *migration, const struct err *cause, struct err *err) {
  return err_set(err, cause->code, "migration %03lld_%.*s of %s: %s", (long long)migration->number,
                 migration->name_length, migration->name, migration->space, cause->message);
}

static int check_order(struct store_request *request) {
  for (size_t i = 1; i < request->statement_count; i++) {
    int64_t before = request->statements[i - 1].values[0].integer;
    int64_t number = request->statements[i].values[0].integer;
    if (number <= before)
      return err_set(&request->err, "sql", "migrations of %s: %lld comes after %lld",
                     request->space, (long long)number, (long long)before);
  }
  return 0;
}

/* The newest number applied in the space, 0 for none. */
static int newest_applied(struct sqlite_connection *connection, const char *space, int64_t *newest,
                          struct err *err) {
  sqlite3_stmt *statement = NULL;
  static const char sql[] = "SELECT max(number) FROM schema_migrations WHERE space = ?1";
  int code = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
  if (code == SQLITE_OK) code = sqlite3_bind_text(statement, 1, space, -1, SQLITE_STATIC);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  if (code == SQLITE_ROW) *newest = sqlite3_column_int64(statement, 0);
  if (code != SQLITE_ROW) sqlite_statement_fail(connection->db, code, err);
  sqlite3_finalize(statement);
  return code == SQLITE_ROW ? 0 : -1;
}

static int check_known(struct sqlite_connection *connection, struct store_request *request) {
  int64_t newest = 0;
  int64_t known = request->statements[request->statement_count - 1].values[0].integer;
  connection->own = true;
  int status = newest_applied(connection, request->space, &newest, &request->err);
  connection->own = false;
  if (status != 0) return -1;
  if (newest <= known) return 0;
  return err_set(&request->err, "sql",
                 "the database has migration %lld of %s, this program knows them up to %lld only: "
                 "start the newer version that made it, or restore the backup from before",
                 (long long)newest, request->space, (long long)known);
}

/* 1: applied before; 0: new; -1: refused. */
static int is_applied(const struct migration *migration, int64_t newest, struct err *err) {
  static const char sql[] = "SELECT name FROM schema_migrations WHERE space = ?1 AND number = ?2";
  sqlite3 *db = migration->connection->db;
  sqlite3_stmt *statement = NULL;
  int applied = -1;
  int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_bind_text(statement, 1, migration->space, -1, SQLITE_STATIC);
  if (code == SQLITE_OK) code = sqlite3_bind_int64(statement, 2, migration->number);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(statement, 0);
    int length = sqlite3_column_bytes(statement, 0);
    applied = 1;
    if (length != migration->name_length || memcmp(name, migration->name, (size_t)length) != 0)
      applied = err_set(err, "sql",
                        "it was applied under the name \"%.*s\": number the new one "
                        "after the last",
                        length, name);
  } else if (code == SQLITE_DONE) {
    applied = 0;
    if (migration->number < newest)
      applied = err_set(err, "sql", "it is new, but %lld was applied already: number it after that",
                        (long long)newest);
  } else {
    sqlite_statement_fail(db, code, err);
  }
  sqlite3_finalize(statement);
  return applied;
}

static int line_of(const struct migration *migration, const char *at) {
  int line = 1;
  for (const char *byte = migration->sql; byte < at; byte++) line += *byte == '\n';
  return line;
}

static int fail_at(const struct migration *migration, const char *at, int code, struct err *err) {
  struct err cause;
  int offset = sqlite3_error_offset(migration->connection->db);
  sqlite_statement_fail(migration->connection->db, code, &cause);
  sqlite_connection_explain(migration->connection, code, &cause);
  return err_set(err, cause.code, "line %d: %s", line_of(migration, offset > 0 ? at + offset : at),
                 cause.message);
}

static const char *skip_space(const char *at, const char *end) {
  while (at < end && strchr(" \t\r\n;", *at) != NULL) at++;
  return at;
}

static int run_text(const struct migration *migration, struct err *err) {
  sqlite3 *db = migration->connection->db;
  const char *at = migration->sql;
  const char *end = at + migration->sql_length;
  if (memchr(at, '\0', migration->sql_length) != NULL)
    return err_set(err, "sql", "the text has a NUL byte");
  for (at = skip_space(at, end); at < end; at = skip_space(at, end)) {
    sqlite3_stmt *statement = NULL;
    const char *tail = end;
    migration->connection->denial.code = NULL;
    int code = sqlite3_prepare_v2(db, at, (int)(end - at), &statement, &tail);
    if (code != SQLITE_OK) return fail_at(migration, at, code, err);
    if (statement != NULL) code = sqlite3_step(statement);
    while (code == SQLITE_ROW) code = sqlite3_step(statement);
    int status = 0;
    if (code != SQLITE_OK && code != SQLITE_DONE) status = fail_at(migration, at, code, err);
    sqlite3_finalize(statement);
    if (status != 0) return status;
    at = tail;
  }
  return 0;
}

static int record(const struct migration *migration, struct err *err) {
  static const char sql[] = "INSERT INTO schema_migrations (space, number, name, applied_at) "
                            "VALUES (?1, ?2, ?3, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))";
  sqlite3 *db = migration->connection->db;
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_bind_text(statement, 1, migration->space, -1, SQLITE_STATIC);
  if (code == SQLITE_OK) code = sqlite3_bind_int64(statement, 2, migration->number);
  if (code == SQLITE_OK)
    code = sqlite3_bind_text(statement, 3, migration->name, migration->name_length, SQLITE_STATIC);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  if (code != SQLITE_DONE) sqlite_statement_fail(db, code, err);
  sqlite3_finalize(statement);
  return code == SQLITE_DONE ? 0 : -1;
}

static int look_up(const struct migration *migration, struct err *err) {
  int64_t newest = 0;
  if (newest_applied(migration->connection, migration->space, &newest, err) != 0) return -1;
  return is_applied(migration, newest, err);
}

/* Inside its transaction, where no other process can apply it at the same time. Only the text is
 * not the store's own. */
static int apply(const struct migration *migration, bool *is_new, struct err *err) {
  migration->connection->own = true;
  int applied = look_up(migration, err);
  migration->connection->own = false;
  *is_new = applied == 0;
  if (applied != 0) return applied > 0 ? 0 : -1;
  if (run_text(migration, err) != 0) return -1;
  migration->connection->own = true;
  int status = record(migration, err);
  migration->connection->own = false;
  return status;
}

static int run_one(const struct migration *migration, bool *is_new, struct err *err) {
  struct sqlite_connection *connection = migration->connection;
  struct err cause = {.code = "sql"};
  if (sqlite_connection_control(connection, "BEGIN EXCLUSIVE", &cause) != SQLITE_OK)
    return fail(migration, &cause, err);
  int status = apply(migration, is_new, &cause);
  if (status == 0) status = sqlite_connection_control(connection, "COMMIT", &cause);
  if (status == 0) return 0;
  if (!sqlite3_get_autocommit(connection->db))
    sqlite_connection_control(connection, "ROLLBACK", NULL);
  return fail(migration, &cause, err);
}

static const char bookkeeping[] = "CREATE TABLE IF NOT EXISTS schema_migrations ("
                                  " space TEXT NOT NULL,"
                                  " number INTEGER NOT NULL,"
                                  " name TEXT NOT NULL,"
                                  " applied_at TEXT NOT NULL,"
                                  " PRIMARY KEY (space, number))";

static void run_all(struct sqlite_connection *connection, struct store_request *request) {
  if (sqlite_connection_control(connection, bookkeeping, &request->err) != SQLITE_OK) return;
  if (check_known(connection, request) != 0) return;
  for (size_t i = 0; i < request->statement_count; i++) {
    struct migration migration = migration_at(connection, request, i);
    bool is_new = false;
    if (run_one(&migration, &is_new, &request->err) != 0) return;
    request->results[0].changes += is_new;
  }
}

void sqlite_migration_run(struct sqlite_connection *connection, struct store_request *request) {
  enum sqlite_fence fence = connection->fence;
  if (request->statement_count == 0 || check_order(request) != 0) return;
  connection->deadline_ns = request->deadline_ns;
  connection->cancelled = NULL;
  if (fence == SQLITE_FENCE_PROJECT) connection->fence = SQLITE_FENCE_MIGRATION;
  run_all(connection, request);
  connection->fence = fence;
}
