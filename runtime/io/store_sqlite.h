/* The store on one SQLite file: a writer, readers, and nothing else that knows of them. */
#ifndef TIDEGATE_IO_STORE_SQLITE_H
#define TIDEGATE_IO_STORE_SQLITE_H

#include "io/store.h"

/* "sqlite:PATH", to a file on a local disk; made when there is none. */
extern const struct store_driver store_sqlite_driver;

#endif
