#include "io/sqlite_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/sql_text.h"

#define PROGRESS_OPCODES 10000
#define LOCK_NAP_US 2000
#define VALUE_BYTES_MAX (32 * 1024 * 1024)

static bool is_set(const atomic_bool *flag) {
  return flag != NULL && atomic_load_explicit(flag, memory_order_relaxed);
}

static int on_progress(void *context) {
  struct sqlite_connection *connection = context;
  if (is_set(connection->stop)) return 1;
  if (connection->own) return 0;
  if (is_set(connection->cancelled)) return 1;
  return clock_real_monotonic_ns() > connection->deadline_ns;
}

/* Instead of sqlite3_busy_timeout, whose sleep no one could end early. */
static int on_busy(void *context, int count) {
  struct sqlite_connection *connection = context;
  uint64_t now = clock_real_monotonic_ns();
  if (count == 0)
    connection->lock_wait_end_ns = now + (uint64_t)connection->lock_wait_ms * 1000 * 1000;
  if (now >= connection->lock_wait_end_ns || is_set(connection->stop)) return 0;
  usleep(LOCK_NAP_US);
  return 1;
}

static int on_authorize(void *context, int action, const char *first, const char *second,
                        const char *database, const char *trigger) {
  (void)database;
  (void)trigger;
  struct sqlite_connection *connection = context;
  if (connection->own) return SQLITE_OK;
  bool allowed = sqlite_fence_allows(connection->fence, action, first, second, &connection->denial);
  return allowed ? SQLITE_OK : SQLITE_DENY;
}

static void install(struct sqlite_connection *connection) {
  sqlite3 *db = connection->db;
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_handler(db, on_busy, connection);
  sqlite3_progress_handler(db, PROGRESS_OPCODES, on_progress, connection);
  sqlite3_set_authorizer(db, on_authorize, connection);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  /* The project's own schema may use JSON, say, in defaults and triggers; its fence sees that. */
  int is_trusted = connection->fence == SQLITE_FENCE_PROJECT;
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, is_trusted, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
  /* "name" is a name, as in PostgreSQL, and never a string by mistake. */
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
  sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 2 * SQL_TEXT_LENGTH_MAX);
  sqlite3_limit(db, SQLITE_LIMIT_VARIABLE_NUMBER, SQL_TEXT_PARAMETERS_MAX);
}

static int open_database(struct sqlite_connection *connection,
                         const struct sqlite_settings *settings, int flags, struct err *err) {
  *connection = (struct sqlite_connection){
      .statement_ns = settings->statement_ns ? settings->statement_ns : SQLITE_STATEMENT_TIMEOUT_NS,
      .lock_wait_ms = settings->lock_wait_ms,
      .stop = settings->stop,
      .fence = settings->fence,
      .on_log = settings->on_log,
      .on_log_context = settings->on_log_context,
  };
  sqlite_statements_init(&connection->statements);
  sqlite_statements_init(&connection->own_statements);
  int code = sqlite3_open_v2(settings->path, &connection->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
  if (code == SQLITE_OK) {
    install(connection);
    return 0;
  }
  err_set(err, "unavailable", "cannot open the database %s: %s", settings->path,
          sqlite3_errstr(code));
  sqlite_connection_close(connection);
  return -1;
}

/* Rows may hold what callers sent: for the owner's eyes only. SQLite gives its other files
 * the same mode. Closing a descriptor of a file that this process already has open in SQLite
 * would drop its locks, hence only when it is new. */
static int create_file(const char *path, struct err *err) {
  int descriptor = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return close(descriptor);
  if (errno == EEXIST) return 0;
  return err_set(err, "unavailable", "cannot create the database %s: %s", path, strerror(errno));
}

static int expect_wal(void *context, int count, char **values, char **names) {
  (void)names;
  *(bool *)context = count == 1 && values[0] != NULL && strcmp(values[0], "wal") == 0;
  return 0;
}

/* Where shared memory is impossible (network file systems) SQLite stays in another mode and
 * says so only in this statement's row. */
static int enter_wal(struct sqlite_connection *connection, struct err *err) {
  bool is_wal = false;
  connection->own = true;
  int code = sqlite3_exec(connection->db, "PRAGMA journal_mode = WAL", expect_wal, &is_wal, NULL);
  connection->own = false;
  if (code != SQLITE_OK) return sqlite_statement_fail(connection->db, code, err);
  if (is_wal) return SQLITE_OK;
  err_set(err, "unavailable", "the file system cannot hold a write-ahead log: use a local disk");
  return SQLITE_CANTOPEN;
}

static int configure_writer(struct sqlite_connection *connection,
                            const struct sqlite_settings *settings, struct err *err) {
  /* auto_vacuum counts only before the first table exists. Reading the schema finds a file
   * that is damaged or no database before anything is written to it. */
  static const char first_sql[] = "PRAGMA auto_vacuum = INCREMENTAL;"
                                  "SELECT count(*) FROM sqlite_schema;"
                                  "PRAGMA synchronous = FULL;"
                                  "PRAGMA journal_size_limit = 67108864";
  int code = sqlite_connection_control(connection, first_sql, err);
  if (code == SQLITE_OK) code = enter_wal(connection, err);
  if (code != SQLITE_OK) return code;
  /* What a crashed process left in the log goes into the file, so that new commits do not
   * stand behind frames of which nobody knows whether they reached the disk. */
  sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  if (settings->page_limit == 0) return code;
  char limit[64];
  sqlite3_snprintf(sizeof limit, limit, "PRAGMA max_page_count = %lld",
                   (long long)settings->page_limit);
  return sqlite_connection_control(connection, limit, err);
}

static int hear_of_log(void *context, sqlite3 *db, const char *name, int pages) {
  const struct sqlite_connection *connection = context;
  (void)name;
  connection->on_log(connection->on_log_context, db, pages);
  return SQLITE_OK;
}

int sqlite_connection_open_writer(struct sqlite_connection *connection,
                                  const struct sqlite_settings *settings, struct err *err) {
  if (create_file(settings->path, err) != 0) return -1;
  if (open_database(connection, settings, SQLITE_OPEN_READWRITE, err) != 0) return -1;
  struct err cause;
  if (settings->on_log != NULL) sqlite3_wal_hook(connection->db, hear_of_log, connection);
  if (configure_writer(connection, settings, &cause) == SQLITE_OK) return 0;
  err_set(err, "unavailable", "cannot use the database %s: %s", settings->path, cause.message);
  sqlite_connection_close(connection);
  return -1;
}

int sqlite_connection_open_other(struct sqlite_connection *connection,
                                 const struct sqlite_settings *settings, struct err *err) {
  if (open_database(connection, settings, SQLITE_OPEN_READWRITE, err) != 0) return -1;
  sqlite3_wal_autocheckpoint(connection->db, 0);
  /* Before it has read something it does not know of the log. */
  if (sqlite_connection_control(connection, "SELECT count(*) FROM sqlite_schema", err) == SQLITE_OK)
    return 0;
  sqlite_connection_close(connection);
  return -1;
}

int sqlite_connection_open_reader(struct sqlite_connection *connection,
                                  const struct sqlite_settings *settings, struct err *err) {
  return open_database(connection, settings, SQLITE_OPEN_READONLY, err);
}

void sqlite_connection_leave_file(struct sqlite_connection *connection) {
  sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

void sqlite_connection_close(struct sqlite_connection *connection) {
  sqlite_statements_deinit(&connection->statements);
  sqlite_statements_deinit(&connection->own_statements);
  sqlite3_close(connection->db);
  connection->db = NULL;
}

int sqlite_connection_control(struct sqlite_connection *connection, const char *sql,
                              struct err *err) {
  connection->own = true;
  int code = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
  connection->own = false;
  if (code == SQLITE_OK) return code;
  return sqlite_statement_fail(connection->db, code, err);
}

/* Of those of others or, while connection->own is set, of the store's own. */
static int get_statement(struct sqlite_connection *connection, const struct store_statement *source,
                         sqlite3_stmt **statement, struct err *err) {
  struct sqlite_statements *statements =
      connection->own ? &connection->own_statements : &connection->statements;
  connection->denial.code = NULL;
  return sqlite_statements_get(statements, connection->db, source->sql, source->sql_length,
                               statement, err);
}

/* What the fence has to say may come with any code. */
int sqlite_connection_explain(const struct sqlite_connection *connection, int code,
                              struct err *err) {
  bool is_denied = code != SQLITE_OK &&
                   ((code & 0xff) == SQLITE_AUTH || strstr(err->message, "not authorized") != NULL);
  if (is_denied && connection->denial.code != NULL) *err = connection->denial;
  return code;
}

static int run(struct sqlite_connection *connection, struct store_request *request, size_t index) {
  const struct store_statement *source = &request->statements[index];
  sqlite3_stmt *statement;
  request->err.code = NULL;
  int code = get_statement(connection, source, &statement, &request->err);
  if (code == SQLITE_OK)
    code = sqlite_statement_run(statement, source, request->max_rows, &request->results[index],
                                &request->err);
  return sqlite_connection_explain(connection, code, &request->err);
}

int sqlite_connection_run_until(struct sqlite_connection *connection, struct store_request *request,
                                size_t index, uint64_t deadline_ns, const atomic_bool *cancelled) {
  connection->deadline_ns = deadline_ns;
  connection->cancelled = cancelled;
  return run(connection, request, index);
}

int sqlite_connection_run_own(struct sqlite_connection *connection, struct store_request *request,
                              size_t index) {
  connection->own = true;
  int code = run(connection, request, index);
  connection->own = false;
  return code;
}

bool sqlite_connection_writes(struct sqlite_connection *connection,
                              const struct store_request *request) {
  struct err err;
  sqlite3_stmt *statement;
  int code = get_statement(connection, &request->statements[0], &statement, &err);
  return code == SQLITE_OK && !sqlite3_stmt_readonly(statement);
}

int sqlite_connection_run(struct sqlite_connection *connection, struct store_request *request,
                          size_t index) {
  bool reads = request->kind == STORE_QUERY;
  if (reads && sqlite_connection_writes(connection, request)) {
    err_set(&request->err, "sql", "a query only reads; statements that write are executed");
    return SQLITE_ERROR;
  }
  uint64_t limit = clock_real_monotonic_ns() + connection->statement_ns;
  if (request->deadline_ns < limit) limit = request->deadline_ns;
  /* A write goes on without its owner: it may share a transaction with others'. */
  return sqlite_connection_run_until(connection, request, index, limit,
                                     reads ? &request->cancelled : NULL);
}
