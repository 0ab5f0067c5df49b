/* A disk whose sync fails on demand: SQLite's own file methods behind one more layer. */
#ifndef TIDEGATE_SPEC_FAULTY_DISK_H
#define TIDEGATE_SPEC_FAULTY_DISK_H

#include <stdbool.h>

/* Before a database is opened. Idempotent. */
void faulty_disk_install(void);
/* After the last is closed. */
void faulty_disk_remove(void);
/* Whether each sync fails from now on. */
void faulty_disk_fail(bool fails);

#endif
