#include "io/sqlite_batch.h"

#include "base/clock.h"

enum sqlite_batch_outcome sqlite_batch_outcome_of(int code) {
  switch (code & 0xff) {
    case SQLITE_OK:
      return SQLITE_BATCH_COMMITTED;
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return SQLITE_BATCH_REFUSED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return SQLITE_BATCH_DAMAGED;
    default:
      return SQLITE_BATCH_BROKEN;
  }
}

static int run_request(struct sqlite_connection *connection, struct store_request *request) {
  if (store_request_is_late(request, clock_real_monotonic_ns())) {
    err_set(&request->err, "timeout", "the store was too busy; nothing was written");
    return SQLITE_OK;
  }
  for (size_t i = 0; i < request->statement_count; i++) {
    int code = sqlite_connection_run(connection, request, i);
    if (code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

/* Some errors (disk full, I/O, an interrupted write) have rolled back already. */
static void roll_back(struct sqlite_connection *connection) {
  if (!sqlite3_get_autocommit(connection->db))
    sqlite_connection_control(connection, "ROLLBACK", NULL);
}

/* The next to run. The second look lets those who were answered a moment ago, and have asked
 * again while these statements ran, share the commit. */
static struct store_request *next_request(const struct sqlite_batch *batch,
                                          struct store_request *request) {
  if (request->next == NULL && batch->more != NULL) batch->more(batch->context, batch->requests);
  return request->next;
}

static int run_together(struct sqlite_connection *connection, const struct sqlite_batch *batch,
                        struct err *err) {
  int code = sqlite_connection_control(connection, "BEGIN IMMEDIATE", err);
  if (code != SQLITE_OK) return code;
  struct store_request *request = batch->requests->first;
  while (request != NULL) {
    code = run_request(connection, request);
    if (code == SQLITE_OK) {
      request = next_request(batch, request);
      continue;
    }
    *err = request->err;
    /* Its neighbours run again; a request that cost everybody the transaction does not. */
    if (!sqlite3_get_autocommit(connection->db)) request->err.code = NULL;
    return code;
  }
  return sqlite_connection_control(connection, "COMMIT", err);
}

static int run_guarded(struct sqlite_connection *connection, struct store_request *request,
                       struct err *err) {
  int code = sqlite_connection_control(connection, "SAVEPOINT request", err);
  if (code != SQLITE_OK) return code;
  int failure = run_request(connection, request);
  if (failure == SQLITE_OK) return sqlite_connection_control(connection, "RELEASE request", err);
  *err = request->err;
  if (sqlite_statement_is_environment(failure)) return failure;
  store_request_reset(request);
  if (sqlite3_get_autocommit(connection->db)) return SQLITE_ABORT;
  return sqlite_connection_control(connection, "ROLLBACK TO request; RELEASE request", err);
}

static int run_one_by_one(struct sqlite_connection *connection, struct store_request *first,
                          struct err *err) {
  for (struct store_request *request = first; request != NULL; request = request->next)
    store_request_reset(request);
  int code = sqlite_connection_control(connection, "BEGIN IMMEDIATE", err);
  for (struct store_request *request = first; request && code == SQLITE_OK; request = request->next)
    if (request->err.code == NULL) code = run_guarded(connection, request, err);
  if (code != SQLITE_OK) return code;
  return sqlite_connection_control(connection, "COMMIT", err);
}

enum sqlite_batch_outcome sqlite_batch_run(struct sqlite_connection *connection,
                                           const struct sqlite_batch *batch, struct err *err) {
  int code = run_together(connection, batch, err);
  if (code != SQLITE_OK && !sqlite_statement_is_environment(code)) code = SQLITE_ABORT;
  /* Each further round leaves out at least the request that ended the one before. */
  while (code == SQLITE_ABORT) {
    roll_back(connection);
    code = run_one_by_one(connection, batch->requests->first, err);
  }
  if (code == SQLITE_OK) return SQLITE_BATCH_COMMITTED;
  roll_back(connection);
  err->code = "unavailable";
  return sqlite_batch_outcome_of(code);
}
