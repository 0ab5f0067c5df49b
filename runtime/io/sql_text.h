/* The text of an SQL statement with `$1`…`$n` parameters, checked and rewritten for a store.
 *
 * Our statements are written once for both stores. SQLite numbers `$2, $1` by appearance
 * and takes `$1::text` for the name of a parameter that stays NULL in silence, so every
 * `$n` outside strings, quoted names and comments becomes `?n`, which it binds by number.
 * Pure functions, any thread. */
#ifndef TIDEGATE_IO_SQL_TEXT_H
#define TIDEGATE_IO_SQL_TEXT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define SQL_TEXT_LENGTH_MAX (1024 * 1024)
#define SQL_TEXT_PARAMETERS_MAX 32766

/* Appends the statement, written for SQLite and followed by a NUL, to `out`. -1 and code
 * "sql", with `out` as it was, for what the two stores would read differently: `?`, `:name`,
 * `@name` and `$name` parameters, `::type` casts, NUL bytes, an open string or comment,
 * `$0` or a number above SQL_TEXT_PARAMETERS_MAX, and more than one statement; "too_large"
 * past SQL_TEXT_LENGTH_MAX or the ceiling of `out`. */
int sql_text_for_sqlite(const char *sql, size_t length, struct buf *out, struct err *err)
    __attribute__((warn_unused_result));

#endif
