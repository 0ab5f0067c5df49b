#include "io/sqlite_statement.h"

#include <stdlib.h>
#include <string.h>

#include "io/sql_text.h"

struct sqlite_statement {
  sqlite3_stmt *prepared;
  uint64_t hash;
  struct sqlite_statement *next_in_slot;
  struct sqlite_statement *newer;
  struct sqlite_statement *older;
  size_t length;
  char sql[]; /* as it was asked for */
};

/* Multiplies eight bytes at a time: a byte at a time cost more than the look-up. */
static uint64_t hash_text(const char *text, size_t length) {
  uint64_t hash = length * UINT64_C(0x9E3779B97F4A7C15);
  while (length > 0) {
    uint64_t word = 0;
    size_t step = length < sizeof word ? length : sizeof word;
    memcpy(&word, text, step);
    hash = (hash ^ word) * UINT64_C(0x9FB21C651E98DF25);
    hash ^= hash >> 32;
    text += step;
    length -= step;
  }
  return hash;
}

void sqlite_statements_init(struct sqlite_statements *statements) {
  *statements = (struct sqlite_statements){0};
}

static struct sqlite_statement **slot_of(struct sqlite_statements *statements, uint64_t hash) {
  return &statements->slots[hash % SQLITE_STATEMENT_SLOTS];
}

static void unlink_age(struct sqlite_statements *statements, struct sqlite_statement *entry) {
  if (entry->newer != NULL)
    entry->newer->older = entry->older;
  else
    statements->newest = entry->older;
  if (entry->older != NULL)
    entry->older->newer = entry->newer;
  else
    statements->oldest = entry->newer;
}

static void link_newest(struct sqlite_statements *statements, struct sqlite_statement *entry) {
  entry->newer = NULL;
  entry->older = statements->newest;
  if (statements->newest != NULL)
    statements->newest->newer = entry;
  else
    statements->oldest = entry;
  statements->newest = entry;
}

static void forget(struct sqlite_statements *statements, struct sqlite_statement *entry) {
  struct sqlite_statement **at = slot_of(statements, entry->hash);
  while (*at != entry) at = &(*at)->next_in_slot;
  *at = entry->next_in_slot;
  unlink_age(statements, entry);
  statements->count--;
  sqlite3_finalize(entry->prepared);
  free(entry);
}

void sqlite_statements_deinit(struct sqlite_statements *statements) {
  while (statements->oldest != NULL) forget(statements, statements->oldest);
}

static struct sqlite_statement *find(struct sqlite_statements *statements, uint64_t hash,
                                     const char *sql, size_t length) {
  struct sqlite_statement *entry = *slot_of(statements, hash);
  while (entry != NULL) {
    if (entry->hash == hash && entry->length == length && memcmp(entry->sql, sql, length) == 0)
      return entry;
    entry = entry->next_in_slot;
  }
  return NULL;
}

static int prepare(sqlite3 *db, const char *sql, size_t length, sqlite3_stmt **prepared,
                   struct err *err) {
  struct buf text;
  int code = SQLITE_ERROR;
  *prepared = NULL;
  buf_init(&text, (size_t)2 * SQL_TEXT_LENGTH_MAX);
  if (sql_text_for_sqlite(sql, length, &text, err) == 0) {
    code = sqlite3_prepare_v3(db, text.data, (int)text.length, SQLITE_PREPARE_PERSISTENT, prepared,
                              NULL);
    if (code != SQLITE_OK) sqlite_statement_fail(db, code, err);
    if (code == SQLITE_OK && *prepared == NULL) {
      err_set(err, "sql", "the SQL statement is empty");
      code = SQLITE_ERROR;
    }
  }
  buf_deinit(&text);
  return code;
}

static struct sqlite_statement *add(struct sqlite_statements *statements, sqlite3_stmt *prepared,
                                    uint64_t hash, const char *sql, size_t length) {
  struct sqlite_statement *entry = malloc(sizeof *entry + length);
  if (entry == NULL) return NULL;
  if (statements->count == SQLITE_STATEMENTS_MAX) forget(statements, statements->oldest);
  *entry = (struct sqlite_statement){.prepared = prepared, .hash = hash, .length = length};
  memcpy(entry->sql, sql, length);
  entry->next_in_slot = *slot_of(statements, hash);
  *slot_of(statements, hash) = entry;
  link_newest(statements, entry);
  statements->count++;
  return entry;
}

int sqlite_statements_get(struct sqlite_statements *statements, sqlite3 *db, const char *sql,
                          size_t length, sqlite3_stmt **prepared, struct err *err) {
  /* Most often it is the one before: rows of one kind come in a row. */
  struct sqlite_statement *entry = statements->newest;
  if (entry != NULL && entry->length == length && memcmp(entry->sql, sql, length) == 0) {
    *prepared = entry->prepared;
    return SQLITE_OK;
  }
  uint64_t hash = hash_text(sql, length);
  entry = find(statements, hash, sql, length);
  if (entry == NULL) {
    int code = prepare(db, sql, length, prepared, err);
    if (code != SQLITE_OK) return code;
    if (add(statements, *prepared, hash, sql, length) != NULL) return SQLITE_OK;
    sqlite3_finalize(*prepared);
    return sqlite_statement_fail(NULL, SQLITE_NOMEM, err);
  }
  unlink_age(statements, entry);
  link_newest(statements, entry);
  *prepared = entry->prepared;
  return SQLITE_OK;
}

bool sqlite_statement_is_environment(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
    case SQLITE_NOTADB:
    case SQLITE_PERM:
      return true;
    default:
      return false;
  }
}

static const char *advice(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ": another process holds a lock on the database file";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ": the file is damaged; nothing was changed: restore it from a backup";
    case SQLITE_FULL:
      return ": free some disk space";
    case SQLITE_IOERR:
      return ": the disk failed to read or write";
    default:
      return "";
  }
}

int sqlite_statement_fail(sqlite3 *db, int code, struct err *err) {
  const char *message = db ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  if (sqlite_statement_is_environment(code)) {
    err_set(err, "unavailable", "store: %s%s", message, advice(code));
    return code;
  }
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      err_set(err, "constraint", "%s", message);
      break;
    case SQLITE_INTERRUPT:
      err_set(err, "timeout", "the statement ran for too long and was stopped");
      break;
    case SQLITE_TOOBIG:
      err_set(err, "too_large", "store: %s", message);
      break;
    case SQLITE_AUTH:
      err_set(err, "sql", "%s: transactions, PRAGMA, ATTACH and VACUUM are the store's own",
              message);
      break;
    default:
      err_set(err, "sql", "%s", message);
  }
  return code;
}

static int bind_value(sqlite3_stmt *statement, int index, const struct store_value *value) {
  switch (value->type) {
    case STORE_NULL:
      return sqlite3_bind_null(statement, index);
    case STORE_BOOLEAN:
      return sqlite3_bind_int(statement, index, value->integer != 0);
    case STORE_INTEGER:
      return sqlite3_bind_int64(statement, index, value->integer);
    case STORE_FLOAT:
      return sqlite3_bind_double(statement, index, value->real);
    case STORE_TEXT:
      return sqlite3_bind_text64(statement, index, value->bytes.data, value->bytes.length,
                                 SQLITE_STATIC, SQLITE_UTF8);
    case STORE_BLOB:
      /* A NULL pointer would bind NULL; no bytes are still a blob. */
      if (value->bytes.length == 0) return sqlite3_bind_zeroblob(statement, index, 0);
      return sqlite3_bind_blob64(statement, index, value->bytes.data, value->bytes.length,
                                 SQLITE_STATIC);
  }
  return SQLITE_MISUSE;
}

static int bind_all(sqlite3_stmt *statement, const struct store_statement *source,
                    struct err *err) {
  int wanted = sqlite3_bind_parameter_count(statement);
  if ((size_t)wanted != source->value_count) {
    err_set(err, "sql", "the statement has %d parameters and was given %zu values", wanted,
            source->value_count);
    return SQLITE_RANGE;
  }
  for (int i = 0; i < wanted; i++) {
    int code = bind_value(statement, i + 1, &source->values[i]);
    if (code != SQLITE_OK) return sqlite_statement_fail(sqlite3_db_handle(statement), code, err);
  }
  return SQLITE_OK;
}

static struct store_value column_value(sqlite3_stmt *statement, int column) {
  struct store_value value = {.type = STORE_NULL};
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      value.type = STORE_INTEGER;
      value.integer = sqlite3_column_int64(statement, column);
      break;
    case SQLITE_FLOAT:
      value.type = STORE_FLOAT;
      value.real = sqlite3_column_double(statement, column);
      break;
    case SQLITE_TEXT:
      value.type = STORE_TEXT;
      value.bytes.data = (const char *)sqlite3_column_text(statement, column);
      value.bytes.length = (size_t)sqlite3_column_bytes(statement, column);
      break;
    case SQLITE_BLOB:
      value.type = STORE_BLOB;
      value.bytes.data = sqlite3_column_blob(statement, column);
      value.bytes.length = (size_t)sqlite3_column_bytes(statement, column);
      break;
  }
  return value;
}

static int add_names(sqlite3_stmt *statement, struct store_result *result) {
  for (size_t i = 0; i < result->column_count; i++) {
    const char *name = sqlite3_column_name(statement, (int)i);
    if (name == NULL) return -1;
    struct store_value value = {.type = STORE_TEXT, .bytes = {name, strlen(name)}};
    if (store_result_add(result, &value) != 0) return -1;
  }
  return 0;
}

static int add_row(sqlite3_stmt *statement, size_t max_rows, struct store_result *result) {
  if (result->row_count == max_rows) return -1;
  for (size_t i = 0; i < result->column_count; i++) {
    struct store_value value = column_value(statement, (int)i);
    if (store_result_add(result, &value) != 0) return -1;
  }
  result->row_count++;
  return 0;
}

static int too_large(size_t max_rows, struct err *err) {
  err_set(err, "too_large", "the result exceeds %zu rows or %zu MB: ask for fewer with LIMIT",
          max_rows, STORE_RESULT_BYTES_MAX / (1024 * 1024));
  return SQLITE_TOOBIG;
}

static int step_all(sqlite3_stmt *statement, size_t max_rows, struct store_result *result,
                    struct err *err) {
  result->column_count = (size_t)sqlite3_column_count(statement);
  if (add_names(statement, result) != 0) return too_large(max_rows, err);
  int code = sqlite3_step(statement);
  while (code == SQLITE_ROW) {
    if (add_row(statement, max_rows, result) != 0) return too_large(max_rows, err);
    code = sqlite3_step(statement);
  }
  if (code == SQLITE_DONE) return SQLITE_OK;
  sqlite3 *db = sqlite3_db_handle(statement);
  return sqlite_statement_fail(db, sqlite3_extended_errcode(db), err);
}

int sqlite_statement_run(sqlite3_stmt *statement, const struct store_statement *source,
                         size_t max_rows, struct store_result *result, struct err *err) {
  sqlite3 *db = sqlite3_db_handle(statement);
  sqlite3_int64 before = sqlite3_total_changes64(db);
  int code = bind_all(statement, source, err);
  if (code == SQLITE_OK) code = step_all(statement, max_rows, result, err);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  /* A statement that changes nothing leaves sqlite3_changes as the one before set it. */
  if (code == SQLITE_OK && sqlite3_total_changes64(db) != before)
    result->changes = sqlite3_changes64(db);
  return code;
}
