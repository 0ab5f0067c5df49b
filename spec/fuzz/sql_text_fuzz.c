/* Whatever the bytes, the rewriting ends, keeps its bounds, and what it accepts gives SQLite
 * one statement whose parameters all have a number. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/sql_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prepared(sqlite3 *db, const char *text) {
  sqlite3_stmt *statement = NULL;
  const char *tail = NULL;
  if (sqlite3_prepare_v2(db, text, -1, &statement, &tail) == SQLITE_OK && statement != NULL) {
    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
      const char *name = sqlite3_bind_parameter_name(statement, i);
      if (name != NULL && name[0] != '?') abort();
    }
    sqlite3_stmt *second = NULL;
    if (sqlite3_prepare_v2(db, tail, -1, &second, NULL) == SQLITE_OK && second != NULL) abort();
    sqlite3_finalize(second);
  }
  sqlite3_finalize(statement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct buf out;
  struct err err;
  sqlite3 *db = NULL;
  buf_init(&out, 64 * 1024);
  if (sql_text_for_sqlite((const char *)data, size, &out, &err) == 0) {
    if (out.length == 0 || out.data[out.length - 1] != '\0') abort();
    if (strlen(out.data) != out.length - 1) abort();
    if (sqlite3_open(":memory:", &db) == SQLITE_OK) check_prepared(db, out.data);
    sqlite3_close(db);
  } else if (out.length != 0) {
    abort();
  }
  buf_deinit(&out);
  return 0;
}
