/* The database of the project's own tables, as a store: one thread for transactions, some for
 * reading. See io/store.h. A single statement is a STORE_QUERY, whether it reads or writes. */
#ifndef TIDEGATE_IO_STORE_PROJECT_H
#define TIDEGATE_IO_STORE_PROJECT_H

#include "io/store.h"

extern const struct store_driver store_project_driver;

#endif
