/* The one thread that writes to the SQLite file. Whatever waits before it commits goes
 * into one commit: the disk's own latency is the time in which the next batch gathers.
 *
 * Requests that somebody waits for go first; rows that nobody waits for follow in the same
 * commit, or gather for SQLITE_WRITER_GATHER_MS when there is no other. A full disk or a
 * lock refuses the former at once and keeps the latter for another try. After an I/O error
 * nothing is tried again on the same connection: it is opened anew. Once the file has proved
 * corrupt, every write is refused until the program is started again. */
#ifndef TIDEGATE_IO_SQLITE_WRITER_H
#define TIDEGATE_IO_SQLITE_WRITER_H

#include "io/sqlite_connection.h"
#include "io/store.h"

/* Requests waiting, and the bytes of either kind; past them "overloaded". */
#define SQLITE_WRITER_REQUESTS_MAX 65536
#define SQLITE_WRITER_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Requests and rows in one commit while a request waits, and when none does. */
#define SQLITE_WRITER_BATCH 512
#define SQLITE_WRITER_BATCH_ROWS 4096
#define SQLITE_WRITER_GATHER_MS 20
#define SQLITE_WRITER_RETRY_MS 250
#define SQLITE_WRITER_IDLE_MS 1000

/* What sqlite_writer_stop returns when the thread has not ended. */
#define SQLITE_WRITER_HANGS (-2)

struct sqlite_writer;

/* Opens (creates) the database and starts the thread. `settings` is copied.
 * NULL and "unavailable". */
struct sqlite_writer *sqlite_writer_start(const struct sqlite_settings *settings, struct err *err);
/* Takes a request, of any kind but STORE_QUERY. As store_driver.submit. */
int sqlite_writer_submit(struct sqlite_writer *writer, struct store_request *request,
                         struct err *err);
/* Any thread. */
void sqlite_writer_read_stats(struct sqlite_writer *writer, struct store_stats *stats);
/* Commits until the deadline; see store_driver.close. */
int sqlite_writer_stop(struct sqlite_writer *writer, uint64_t deadline_ns, struct err *err);

#endif
