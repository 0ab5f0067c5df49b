/* The threads that read from the SQLite file, each with its own connection: they see what
 * was committed before they began and wait for no writer. */
#ifndef TIDEGATE_IO_SQLITE_READER_H
#define TIDEGATE_IO_SQLITE_READER_H

#include "io/sqlite_connection.h"
#include "io/store.h"

/* Queries waiting; past it "overloaded". */
#define SQLITE_READER_QUERIES_MAX 4096

struct sqlite_readers;

/* Where a statement goes that turns out to write. submit NULL: it is refused ("sql"). */
struct sqlite_forward {
  int (*submit)(void *context, struct store_request *request, struct err *err);
  void *context;
};

/* After the writer has made the file. `settings` is copied. NULL and
 * "unavailable". */
struct sqlite_readers *sqlite_readers_start(const struct sqlite_settings *settings, unsigned count,
                                            struct sqlite_forward forward, struct err *err);
/* Takes a STORE_QUERY. As store_driver.submit. */
int sqlite_readers_submit(struct sqlite_readers *readers, struct store_request *request,
                          struct err *err);
/* Adds to `stats`. Any thread. */
void sqlite_readers_read_stats(struct sqlite_readers *readers, struct store_stats *stats);
/* Answers what waits with "unavailable", stops what runs and ends the threads. -1 when one
 * hangs in the system. */
int sqlite_readers_stop(struct sqlite_readers *readers, struct err *err);

#endif
