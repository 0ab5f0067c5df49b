/* The one thread that writes to the project's database: transactions of scripts one after the
 * other, each from its begin to its commit, and single statements in between, in the order in
 * which they came.
 *
 * While a transaction is open the thread waits for its next statement, until its time is up: then
 * it is rolled back, and whatever its owner asks afterwards is answered "timeout". */
#ifndef TIDEGATE_IO_SQLITE_SESSIONS_H
#define TIDEGATE_IO_SQLITE_SESSIONS_H

#include "io/sqlite_connection.h"
#include "io/store.h"

/* Transactions and statements that wait for their turn; past it "overloaded". */
#define SQLITE_SESSIONS_LINE_MAX 1000

struct sqlite_sessions;

/* Opens (creates) the database and the framework's table in it, and starts the thread. `settings`
 * is copied. NULL and "unavailable". */
struct sqlite_sessions *sqlite_sessions_start(const struct sqlite_settings *settings,
                                              struct err *err);
/* Takes STORE_BEGIN, STORE_STEP, STORE_COMMIT, STORE_MIGRATE, and one statement (STORE_EXECUTE or
 * STORE_QUERY), which is a transaction of its own. As store_driver.submit; a request of a session
 * that has ended is refused with the reason of its end. */
int sqlite_sessions_submit(struct sqlite_sessions *sessions, struct store_request *request,
                           struct err *err);
/* As store_driver.abandon. */
void sqlite_sessions_abandon(struct sqlite_sessions *sessions, struct store_session *session);
/* Adds to `stats`. Any thread. */
void sqlite_sessions_read_stats(struct sqlite_sessions *sessions, struct store_stats *stats);
/* Rolls back what is open, answers what waits with "unavailable" and ends the thread. -1 when it
 * hangs in the system. */
int sqlite_sessions_stop(struct sqlite_sessions *sessions, struct err *err);

#endif
