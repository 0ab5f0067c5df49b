/* The framework's database behind one asynchronous interface, free of any dialect.
 *
 * One `struct store` serves the framework. Requests come from the workers through their
 * clients (io/store_client.h) and run on the driver's threads: no function here but
 * store_open and store_close waits for a disk or a lock. A driver (SQLite; PostgreSQL later)
 * is a `struct store_driver`; nothing above it knows which one runs.
 *
 * The project's own tables are behind the same interface, in a store of their own: a script's
 * transaction, which stays open while the script runs, delays no acknowledgement there. */
#ifndef TIDEGATE_IO_STORE_H
#define TIDEGATE_IO_STORE_H

#include <stdint.h>

#include "base/err.h"
#include "io/store_request.h"

struct store;

/* Zero means the default everywhere. */
struct store_options {
  unsigned readers;      /* reading connections: 2, at most STORE_READERS_MAX */
  unsigned lock_wait_ms; /* longest wait for another process's lock: 5000 */
  uint64_t page_limit;   /* most pages of the database file; no limit (specs fill a disk) */
};

#define STORE_READERS_MAX 16

/* Sums since the store was opened, and lengths now. */
struct store_stats {
  uint64_t queued_bytes;     /* rows that nobody waits for, not yet committed */
  uint64_t queued_rows;      /* the same, counted */
  uint64_t waiting_requests; /* acknowledgements and reads not yet taken up */
  uint64_t dropped_rows;     /* refused because the queue was full */
  uint64_t failed_rows;      /* given up because their statement failed */
  uint64_t refused_requests; /* answered "overloaded" */
  uint64_t commits;
  uint64_t failed_commits;
  uint64_t committed_rows; /* statements of acknowledged requests and rows */
  uint64_t commit_ns;      /* time from BEGIN to the end of COMMIT, summed */
  uint64_t queries;
  char last_error[ERR_MESSAGE_MAX]; /* of a row or a commit that nobody was told of; "" */
};

#define STORE_LASTING_TEXTS_MAX 64

struct store_driver {
  const char *scheme; /* of the URL that chooses it: "sqlite" */
  /* Opens the database at `location` (the URL after "scheme:") and starts the threads. */
  void *(*open)(const char *location, const struct store_options *options, struct err *err);
  /* Takes a request over until it calls store_request_finish, or refuses it: -1 and
   * "overloaded" or "unavailable". Any thread; never waits. */
  int (*submit)(void *driver, struct store_request *request, struct err *err);
  /* Rolls a session back as soon as its turn allows. Any thread; never waits. NULL where there
   * are no sessions. */
  void (*abandon)(void *driver, struct store_session *session);
  /* Any thread. */
  void (*read_stats)(void *driver, struct store_stats *stats);
  /* Commits what is queued until `deadline_ns`, finishes the rest with "unavailable", ends
   * the threads and frees the driver. -1 when something queued was lost, or when a thread
   * hangs in the system: then memory is left to it on purpose. */
  int (*close)(void *driver, uint64_t deadline_ns, struct err *err);
};

/* Opens "sqlite:PATH", the framework's database, or "project:PATH", that of the project's own
 * tables. Waits for the disk, so only at start. `options` may be NULL. The
 * result belongs to the caller. NULL and "unavailable" (locked, corrupt, not a database, no
 * directory, no memory) or "sql" (a URL of no store that this program knows). */
struct store *store_open(const char *url, const struct store_options *options, struct err *err);

/* After the last client was closed. Frees the store in any case; see store_driver.close. */
int store_close(struct store *store, uint64_t deadline_ns, struct err *err);

/* Queues one writing statement that nobody waits for. -1: dropped and counted ("overloaded"
 * when the queue is full). Any thread; does not wait. */
int store_enqueue(struct store *store, const struct store_statement *statement, struct err *err);

/* A copy of an SQL text that lives as long as the store, the same for the same text: for
 * statements that are written very often (store_statement.is_lasting). NULL when
 * STORE_LASTING_TEXTS_MAX are kept, or without memory. Any thread. */
const char *store_lasting_text(struct store *store, const char *text, size_t length);

/* For clients: as store_driver.submit. */
int store_submit(struct store *store, struct store_request *request, struct err *err);

/* Ends a session's transaction without its effects, unless it has ended: at once, or as soon as
 * its commit has failed. Does not wait; what is begun afterwards comes after it. Any thread. */
void store_abandon(struct store *store, struct store_session *session);

/* Any thread. */
void store_read_stats(struct store *store, struct store_stats *stats);

#endif
