/* What SQL of others may do on a connection: asked by SQLite's authorizer while a statement is
 * prepared, for everything that it touches, triggers and views included. Any thread. */
#ifndef TIDEGATE_IO_SQLITE_FENCE_H
#define TIDEGATE_IO_SQLITE_FENCE_H

#include <stdbool.h>

#include "base/err.h"

enum sqlite_fence {
  /* The framework's statements: no transaction control, PRAGMA, ATTACH or VACUUM. */
  SQLITE_FENCE_STORE,
  /* Scripts': SELECT, INSERT, UPDATE and DELETE on the project's own tables, and functions of
   * a list. Tables of the framework (tidegate_…, schema_migrations) and of SQLite are not there. */
  SQLITE_FENCE_PROJECT,
  /* The project's migrations: as the store's, on the project's own tables, nothing temporary,
   * and of the modules for virtual tables fts5 and rtree alone. */
  SQLITE_FENCE_MIGRATION,
};

/* `action`, `first` and `second` are the authorizer's; the latter may be NULL. When refused, and
 * there is more to say than "not authorized", fills `denial` ("sql"). */
bool sqlite_fence_allows(enum sqlite_fence fence, int action, const char *first, const char *second,
                         struct err *denial);

#endif
