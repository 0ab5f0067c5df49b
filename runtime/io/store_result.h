/* Values that go into a store and rows that come out of it, free of any dialect.
 *
 * A result is filled by a driver's thread and read by its owner after the request is done;
 * the hand-over orders the two, there is no lock. */
#ifndef TIDEGATE_IO_STORE_RESULT_H
#define TIDEGATE_IO_STORE_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Most bytes that the rows of one statement may take, and most rows unless asked for fewer. */
#define STORE_RESULT_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define STORE_RESULT_ROWS_MAX 10000

enum store_type {
  STORE_NULL,
  STORE_BOOLEAN, /* only as a parameter; comes back as the integer 0 or 1 */
  STORE_INTEGER,
  STORE_FLOAT,
  STORE_TEXT,
  STORE_BLOB,
};

struct store_value {
  enum store_type type;
  union {
    int64_t integer; /* STORE_BOOLEAN, STORE_INTEGER */
    double real;     /* STORE_FLOAT */
    struct {
      const char *data; /* STORE_TEXT, STORE_BLOB; not NUL-terminated, may hold NULs */
      size_t length;
    } bytes;
  };
};

struct store_result {
  int64_t changes;     /* rows inserted, changed or deleted by the statement itself */
  size_t column_count; /* 0: the statement returns no rows */
  size_t row_count;
  struct buf cells; /* the column names, then the rows, each value packed (store_cursor) */
};

/* Cannot fail; allocates nothing. */
void store_result_init(struct store_result *result);
/* Forgets everything. Idempotent. */
void store_result_deinit(struct store_result *result);
/* Appends a column name or a cell. -1 past STORE_RESULT_BYTES_MAX or without memory. */
int store_result_add(struct store_result *result, const struct store_value *value)
    __attribute__((warn_unused_result));

/* Reads a result from its beginning: column_count names (text), then row_count times
 * column_count cells. The bytes of texts and blobs stay the result's. */
struct store_cursor {
  const char *at;
  const char *end;
};

void store_cursor_init(struct store_cursor *cursor, const struct store_result *result);
/* False at the end. */
bool store_cursor_next(struct store_cursor *cursor, struct store_value *value);

#endif
