/* Moves the write-ahead log into the database file, beside the writer: a thread with a connection
 * of its own. In the writer's commit this would hold up everybody who waits for it, every few
 * hundred events, for as long as many pages take to reach the disk.
 *
 * SQLite begins the log anew when all of it has been moved and nobody reads it. Under load that
 * moment does not come by itself: past SQLITE_LOG_PAGES_MAX the writer moves what little is left.
 */
#ifndef TIDEGATE_IO_SQLITE_CHECKPOINTER_H
#define TIDEGATE_IO_SQLITE_CHECKPOINTER_H

#include "io/sqlite_connection.h"

/* Pages that the log gains before they are moved, and that it may hold. */
#define SQLITE_LOG_PAGES_STEP 400
#define SQLITE_LOG_PAGES_MAX 8000

struct sqlite_checkpointer;

/* After the writer has made the file. `settings` is copied. NULL and "unavailable". */
struct sqlite_checkpointer *sqlite_checkpointer_start(const struct sqlite_settings *settings,
                                                      struct err *err);
/* The log has `pages` now: called by the writer after each commit. Does not wait for the disk. */
void sqlite_checkpointer_note(struct sqlite_checkpointer *checkpointer, int pages);
/* Ends the thread and closes its connection, before the writer is stopped, who may go on to call
 * note. -1 when it hangs in the system: then it may not be freed. */
int sqlite_checkpointer_stop(struct sqlite_checkpointer *checkpointer, struct err *err);
/* After the writer was stopped. */
void sqlite_checkpointer_free(struct sqlite_checkpointer *checkpointer);

#endif
