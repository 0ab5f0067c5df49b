/* Many requests in one commit, each of which fails or succeeds alone.
 *
 * The batch first runs as it comes. If a statement fails, all is rolled back and run again
 * one by one, each request in a savepoint, so that the failing ones leave no trace and the
 * others are committed together all the same. */
#ifndef TIDEGATE_IO_SQLITE_BATCH_H
#define TIDEGATE_IO_SQLITE_BATCH_H

#include "io/sqlite_connection.h"

enum sqlite_batch_outcome {
  SQLITE_BATCH_COMMITTED, /* on disk; requests that failed alone have err.code */
  SQLITE_BATCH_REFUSED,   /* nothing was written: disk full, or locked by another process */
  SQLITE_BATCH_BROKEN,    /* nothing may be trusted: the connection must be opened anew */
  SQLITE_BATCH_DAMAGED,   /* as broken, and the file is corrupt */
};

/* What an extended code of SQLite, of a write that failed as a whole, comes to. */
enum sqlite_batch_outcome sqlite_batch_outcome_of(int code);

/* Where a batch comes from. */
struct sqlite_batch {
  struct store_queue *requests; /* at least one */
  /* Called when all of them have run and are about to be committed: whatever has come in the
   * meantime may be appended to `requests` and joins the same commit. NULL: nothing does. */
  void (*more)(void *context, struct store_queue *requests);
  void *context;
};

/* Runs the requests, which stay in the queue. Unless committed, `err` says why
 * ("unavailable"); what each request has in its own err is then meaningless. */
enum sqlite_batch_outcome sqlite_batch_run(struct sqlite_connection *connection,
                                           const struct sqlite_batch *batch, struct err *err);

#endif
