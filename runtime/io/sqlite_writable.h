/* The one writing connection of a database, through failures of the disk. Belongs to the thread
 * that writes.
 *
 * After an I/O error nothing is tried again on the same connection: it is opened anew. Once the
 * file has proved corrupt, it is not touched any more. */
#ifndef TIDEGATE_IO_SQLITE_WRITABLE_H
#define TIDEGATE_IO_SQLITE_WRITABLE_H

#include <stdbool.h>

#include "io/sqlite_batch.h"
#include "io/sqlite_connection.h"

struct sqlite_writable {
  struct sqlite_settings settings;
  struct sqlite_connection slots[2]; /* one in use; two only while it is replaced */
  struct sqlite_connection *connection;
  bool broken;       /* the connection must be replaced before it is used again */
  struct err damage; /* code NULL: none found */
};

/* Opens (creates) the database. `settings->path` must outlive it, and the struct stay where it is.
 * -1 and "unavailable". */
int sqlite_writable_open(struct sqlite_writable *writable, const struct sqlite_settings *settings,
                         struct err *err);
/* Idempotent. */
void sqlite_writable_close(struct sqlite_writable *writable);

/* Makes sure of a connection that may be written to. -1 and "unavailable". */
int sqlite_writable_ready(struct sqlite_writable *writable, struct err *err);
/* Draws the consequences of what became of a write; `err` says what went wrong. */
void sqlite_writable_note(struct sqlite_writable *writable, enum sqlite_batch_outcome outcome,
                          const struct err *err);
/* With nothing else to do: some freed pages go back to the system, and the log into the file, so
 * that the next burst finds it empty. Whether there is more to do. A failure shows at the next
 * write. */
bool sqlite_writable_tidy(struct sqlite_writable *writable);

#endif
