#include "faulty_disk.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The log and the database have different methods. */
static atomic_bool sync_fails;
static sqlite3_io_methods faulty_methods[2];
static const sqlite3_io_methods *real_methods[2];
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static sqlite3_vfs faulty_vfs;

static int faulty_sync(sqlite3_file *file, int flags) {
  if (atomic_load(&sync_fails)) return SQLITE_IOERR_FSYNC;
  return real_methods[file->pMethods - faulty_methods]->xSync(file, flags);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                       int *out) {
  int code = real_open(vfs, name, file, flags, out);
  if (code != SQLITE_OK) return code;
  int kind = (flags & SQLITE_OPEN_MAIN_DB) == 0;
  if (real_methods[kind] == NULL) {
    real_methods[kind] = file->pMethods;
    faulty_methods[kind] = *file->pMethods;
    faulty_methods[kind].xSync = faulty_sync;
  }
  assert(file->pMethods == real_methods[kind]);
  file->pMethods = &faulty_methods[kind];
  return code;
}

void faulty_disk_install(void) {
  if (real_open != NULL) return;
  sqlite3_vfs *system = sqlite3_vfs_find(NULL);
  faulty_vfs = *system;
  faulty_vfs.zName = "faulty";
  faulty_vfs.pNext = NULL;
  real_open = system->xOpen;
  faulty_vfs.xOpen = faulty_open;
  if (sqlite3_vfs_register(&faulty_vfs, 1) != SQLITE_OK) abort();
}

void faulty_disk_remove(void) {
  sqlite3_vfs_unregister(&faulty_vfs);
  real_open = NULL;
}

void faulty_disk_fail(bool fails) {
  atomic_store(&sync_fails, fails);
}
