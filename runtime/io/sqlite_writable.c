#include "io/sqlite_writable.h"

#include <stdio.h>
#include <stdlib.h>

#define VACUUM_PAGES 64

int sqlite_writable_open(struct sqlite_writable *writable, const struct sqlite_settings *settings,
                         struct err *err) {
  *writable = (struct sqlite_writable){.settings = *settings};
  writable->connection = &writable->slots[0];
  return sqlite_connection_open_writer(writable->connection, &writable->settings, err);
}

void sqlite_writable_close(struct sqlite_writable *writable) {
  sqlite_connection_close(writable->connection);
}

/* The new connection is opened before the old one is closed: while one is open, the shared
 * index of the log says where the last good commit ends, and what a failed sync left behind
 * that is overwritten. The first connection to a log reads its end from the file instead: it
 * would take those frames, which perhaps never reached the disk, for a commit, and a power cut
 * would later cut off what was acknowledged after them. */
static int replace_connection(struct sqlite_writable *writable, struct err *err) {
  size_t free_slot = writable->connection == &writable->slots[0] ? 1 : 0;
  struct sqlite_connection *other = &writable->slots[free_slot];
  if (sqlite_connection_open_writer(other, &writable->settings, err) != 0) return -1;
  sqlite_connection_close(writable->connection);
  writable->connection = other;
  writable->broken = false;
  return 0;
}

int sqlite_writable_ready(struct sqlite_writable *writable, struct err *err) {
  if (writable->damage.code != NULL) {
    *err = writable->damage;
    return -1;
  }
  return writable->broken ? replace_connection(writable, err) : 0;
}

void sqlite_writable_note(struct sqlite_writable *writable, enum sqlite_batch_outcome outcome,
                          const struct err *err) {
  if (outcome == SQLITE_BATCH_COMMITTED) return;
  writable->broken = outcome != SQLITE_BATCH_REFUSED;
  if (outcome != SQLITE_BATCH_DAMAGED) return;
  writable->damage = *err;
  sqlite_connection_leave_file(writable->connection);
}

static int read_count(void *context, int count, char **values, char **names) {
  (void)names;
  if (count == 1 && values[0] != NULL) *(long *)context = strtol(values[0], NULL, 10);
  return 0;
}

bool sqlite_writable_tidy(struct sqlite_writable *writable) {
  struct sqlite_connection *connection = writable->connection;
  long free_pages = 0;
  if (writable->broken || writable->damage.code != NULL) return false;
  connection->own = true;
  sqlite3_exec(connection->db, "PRAGMA freelist_count", read_count, &free_pages, NULL);
  connection->own = false;
  char sql[64];
  snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
  if (free_pages > 0) sqlite_connection_control(connection, sql, NULL);
  sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  return free_pages > VACUUM_PAGES;
}
