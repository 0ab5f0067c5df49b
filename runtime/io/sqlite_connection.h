/* One connection to the SQLite file, the writer's or a reader's. Used by one thread at a
 * time.
 *
 * What statements of others may do is fenced (io/sqlite_fence.h); the store's own may do all. */
#ifndef TIDEGATE_IO_SQLITE_CONNECTION_H
#define TIDEGATE_IO_SQLITE_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/sqlite_fence.h"
#include "io/sqlite_statement.h"

/* Longest that one statement may run, unless the settings say otherwise. */
#define SQLITE_STATEMENT_TIMEOUT_NS (UINT64_C(5) * 1000 * 1000 * 1000)

struct sqlite_connection {
  sqlite3 *db; /* NULL: closed */
  struct sqlite_statements statements;
  /* The store's own, apart: one that was found by its text alone would bring its rights along. */
  struct sqlite_statements own_statements;
  bool own; /* the statement being prepared or run is the store's own */
  enum sqlite_fence fence;
  struct err denial;    /* why the fence refused, while a statement is prepared; or no code */
  uint64_t deadline_ns; /* real monotonic: when the running statement is stopped */
  const atomic_bool *cancelled; /* the same, when set; NULL: no such flag */
  const atomic_bool *stop;      /* while set, nothing runs or waits on; NULL: no such flag */
  uint64_t statement_ns;        /* longest run of one statement */
  unsigned lock_wait_ms;        /* longest wait for another process's lock */
  uint64_t lock_wait_end_ns;    /* of the present wait; 0: none */
  void (*on_log)(void *context, sqlite3 *db, int pages); /* the settings' */
  void *on_log_context;
};

struct sqlite_settings {
  const char *path;
  enum sqlite_fence fence;
  unsigned lock_wait_ms;
  uint64_t statement_ns;   /* longest run of one statement; 0: SQLITE_STATEMENT_TIMEOUT_NS */
  uint64_t page_limit;     /* 0: none; the writer's */
  const atomic_bool *stop; /* may be set by any thread; outlives the connection, or NULL */
  /* Called after each commit of the writer with the pages of the log, in its thread; NULL: SQLite
   * moves the log into the file by itself, in the commit that passes 1,000 pages. */
  void (*on_log)(void *context, sqlite3 *db, int pages);
  void *on_log_context;
};

/* Opens the database for writing; creates the file (mode 0600) when there is none, in WAL
 * mode with a sync at each commit. The struct must stay where it is. -1 and "unavailable". */
int sqlite_connection_open_writer(struct sqlite_connection *connection,
                                  const struct sqlite_settings *settings, struct err *err);
/* Opens one that is there, for the upkeep of it: a second one that writes, which never does so
 * while the first one does. -1 and "unavailable". */
int sqlite_connection_open_other(struct sqlite_connection *connection,
                                 const struct sqlite_settings *settings, struct err *err);
/* Opens it for reading only. -1 and "unavailable". */
int sqlite_connection_open_reader(struct sqlite_connection *connection,
                                  const struct sqlite_settings *settings, struct err *err);
/* The last close will not move the log into the file: for one that is damaged. */
void sqlite_connection_leave_file(struct sqlite_connection *connection);
/* Idempotent. */
void sqlite_connection_close(struct sqlite_connection *connection);

/* Runs the store's own statements, without values or rows. SQLITE_OK, or an extended code
 * with `err` filled. */
int sqlite_connection_control(struct sqlite_connection *connection, const char *sql,
                              struct err *err);
/* Runs a statement of a request, stopped after the settings' `statement_ns` or when the
 * request is late or, if it reads, cancelled. As sqlite_statement_run. */
int sqlite_connection_run(struct sqlite_connection *connection, struct store_request *request,
                          size_t index);
/* The same for a statement that reads or writes, stopped at `deadline_ns` or when `cancelled`
 * (may be NULL) is set. */
int sqlite_connection_run_until(struct sqlite_connection *connection, struct store_request *request,
                                size_t index, uint64_t deadline_ns, const atomic_bool *cancelled);
/* The same for one of the store's own, which nothing stops. */
int sqlite_connection_run_own(struct sqlite_connection *connection, struct store_request *request,
                              size_t index);
/* Puts into `err`, which says that the statement prepared last was refused, why the fence did so,
 * if it has. Returns `code`. */
int sqlite_connection_explain(const struct sqlite_connection *connection, int code,
                              struct err *err);
/* Whether the request's statement is one that writes; false when it cannot be prepared. */
bool sqlite_connection_writes(struct sqlite_connection *connection,
                              const struct store_request *request);

#endif
