/* Numbered changes of the schema, each applied once, in order, in a transaction of its own
 * that also writes its row of `schema_migrations`. On the writer's thread. */
#ifndef TIDEGATE_IO_SQLITE_MIGRATION_H
#define TIDEGATE_IO_SQLITE_MIGRATION_H

#include "io/sqlite_connection.h"

/* Runs a STORE_MIGRATE request; results[0].changes is how many were new. Those before a
 * failing one stay applied. Failures are in request->err: "sql" (a fault in a migration, with
 * its number and line; numbers that do not rise; one that was applied under another name; a
 * database that knows more migrations than the request), or "unavailable". */
void sqlite_migration_run(struct sqlite_connection *connection, struct store_request *request);

#endif
