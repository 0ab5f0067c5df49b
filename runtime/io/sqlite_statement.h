/* The prepared statements of one SQLite connection: at most SQLITE_STATEMENTS_MAX, found by
 * their text, the one unused for longest making room. Belongs to the connection's thread. */
#ifndef TIDEGATE_IO_SQLITE_STATEMENT_H
#define TIDEGATE_IO_SQLITE_STATEMENT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/store_request.h"

#define SQLITE_STATEMENTS_MAX 256
#define SQLITE_STATEMENT_SLOTS 64

struct sqlite_statement;

struct sqlite_statements {
  struct sqlite_statement *slots[SQLITE_STATEMENT_SLOTS];
  struct sqlite_statement *newest;
  struct sqlite_statement *oldest;
  size_t count;
};

/* Cannot fail; allocates nothing. */
void sqlite_statements_init(struct sqlite_statements *statements);
/* Finalizes all; before the connection is closed. */
void sqlite_statements_deinit(struct sqlite_statements *statements);

/* Finds or makes the prepared form of `sql` (with `$n` parameters); it stays the cache's.
 * SQLITE_OK, or an extended code with `err` filled as by sqlite_statement_fail, or by
 * sql_text_for_sqlite. */
int sqlite_statements_get(struct sqlite_statements *statements, sqlite3 *db, const char *sql,
                          size_t length, sqlite3_stmt **prepared, struct err *err);

/* Binds the values, runs to the end, collects rows (at most `max_rows`) and changes into
 * `result`, and resets. Returns SQLITE_OK, or the extended code of what failed with `err`
 * filled: SQLITE_TOOBIG and "too_large" for a result past its bounds. */
int sqlite_statement_run(sqlite3_stmt *statement, const struct store_statement *source,
                         size_t max_rows, struct store_result *result, struct err *err);

/* Names what SQLite refused: "constraint", "timeout" (interrupted), "too_large",
 * "unavailable" (see sqlite_statement_is_environment) or "sql". Returns `code`. */
int sqlite_statement_fail(sqlite3 *db, int code, struct err *err);

/* Whether `code` is about the disk, the file, a lock or memory, and not about the statement:
 * then the others of its transaction would fail as well. */
bool sqlite_statement_is_environment(int code);

#endif
