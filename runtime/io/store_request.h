/* One request to the store: its statements with their values, copied into a single block of
 * memory, and what became of it. Drivers see this struct; everybody else uses the functions
 * of io/store_client.h.
 *
 * The bytes are copied because a cancelled owner goes at once while the writer may still
 * read them. Making and copying a request of two rows costs 0.6 µs of the 15 µs that their
 * commit takes, so there is little to gain by pointing at them instead.
 */
#ifndef TIDEGATE_IO_STORE_REQUEST_H
#define TIDEGATE_IO_STORE_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/wake.h"
#include "io/store_result.h"

#define STORE_STATEMENTS_MAX 4096
#define STORE_REQUEST_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define STORE_TIMEOUT_NS (UINT64_C(10) * 1000 * 1000 * 1000)
#define STORE_MIGRATE_TIMEOUT_NS (UINT64_C(300) * 1000 * 1000 * 1000)

enum store_kind {
  STORE_QUERY,   /* one statement that reads, on a reader */
  STORE_EXECUTE, /* statements that write, all or none, answered after the commit */
  STORE_ENQUEUE, /* one statement that writes, nobody waits */
  STORE_FLUSH,   /* answered when all that was taken before it has been committed */
  STORE_MIGRATE, /* one statement per migration: its text, values { number, name } */
  /* A transaction between whose statements a script runs (io/store_session.h). The statements of
   * the first and the last are the framework's own. */
  STORE_BEGIN,  /* waits for its turn; answered when the transaction is open */
  STORE_STEP,   /* one statement */
  STORE_COMMIT, /* answered after the commit */
};

struct store_session;

struct store_statement {
  const char *sql; /* not NUL-terminated; `$n` parameters */
  size_t sql_length;
  const struct store_value *values; /* $1 first */
  size_t value_count;
  bool is_lasting; /* `sql` is the store's own (store_lasting_text) and is not copied */
};

struct store_spec {
  enum store_kind kind;
  const struct store_statement *statements;
  size_t statement_count;
  const char *space;             /* STORE_MIGRATE: the name space, NUL-terminated; else NULL */
  struct store_session *session; /* STORE_BEGIN, STORE_STEP, STORE_COMMIT */
  size_t max_rows;     /* of one result; 0: STORE_RESULT_ROWS_MAX, which it cannot exceed */
  uint64_t timeout_ns; /* 0: STORE_TIMEOUT_NS, for migrations STORE_MIGRATE_TIMEOUT_NS */
};

struct store_client;

struct store_request {
  /* Fixed from the start. */
  enum store_kind kind;
  size_t statement_count;
  struct store_statement *statements;
  const char *space;
  struct store_session *session; /* a reference, or NULL */
  size_t max_rows;
  uint64_t deadline_ns; /* real monotonic time */
  size_t size;          /* bytes of this block, for the bounds of queues */

  /* The driver's, until it calls store_request_finish. */
  struct store_request *next; /* in one queue at a time */
  uint64_t ticket;            /* a flush: rows and acknowledgements that it waits for */
  uint64_t row_ticket;
  struct store_result *results; /* one per statement */
  struct err err;               /* err.code NULL: it worked */
  atomic_bool cancelled;        /* set by the client: nobody will look at the outcome */

  /* Called by store_request_finish, on the driver's thread; NULL: free it. */
  void (*on_finish)(struct store_request *request);

  /* The client's (io/store_client.c), on its loop's thread. */
  struct store_client *client;
  struct store_request *previous_pending;
  struct store_request *next_pending;
  wake_fn wake;
  void *argument;
  bool delivered; /* the driver has finished with it */
  bool timed_out; /* the owner was told so before the driver finished */
  bool released;  /* the owner has gone; freed when delivered */
};

/* Copies `spec`. NULL and "too_large" (STORE_STATEMENTS_MAX, STORE_REQUEST_BYTES_MAX) or
 * "unavailable" without memory. */
struct store_request *store_request_new(const struct store_spec *spec, struct err *err);
/* Frees it, whoever holds it. */
void store_request_free(struct store_request *request);
/* A driver's last touch of a request: the outcome is final. Any thread. */
void store_request_finish(struct store_request *request);
/* Drops what the statements have answered so far, so that they can run again. */
void store_request_reset(struct store_request *request);
bool store_request_is_late(const struct store_request *request, uint64_t now_ns);

/* First in, first out, linked through `next`; no lock of its own. */
struct store_queue {
  struct store_request *first;
  struct store_request *last;
  size_t count;
  size_t bytes;
};

void store_queue_push(struct store_queue *queue, struct store_request *request);
/* Moves all of `other` behind the last of `queue`. */
void store_queue_append(struct store_queue *queue, struct store_queue *other);
/* NULL when empty. */
struct store_request *store_queue_pop(struct store_queue *queue);

#endif
