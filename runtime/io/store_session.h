/* A transaction that stays open between the requests of a script: STORE_BEGIN, any number of
 * STORE_STEP, STORE_COMMIT (io/store_request.h).
 *
 * Its owner holds a reference, and so does each of its requests. Until it is committed it can be
 * abandoned (store_abandon), which rolls it back; so does its time, which runs from its begin. */
#ifndef TIDEGATE_IO_STORE_SESSION_H
#define TIDEGATE_IO_STORE_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/store_request.h"

/* Requests of one session that wait; past it "overloaded". */
#define STORE_SESSION_STEPS_MAX 64

struct store_session {
  atomic_uint references;
  atomic_bool abandoned;
  uint64_t limit_ns; /* how long it may stay open */

  /* The driver's, under a lock of its own. */
  struct store_queue steps; /* its statements and its commit, not yet taken up */
  uint64_t deadline_ns;     /* real monotonic, from its begin on */
  bool ended;
  struct err end; /* what a request that comes after the end is told */
};

/* With one reference. NULL without memory. */
struct store_session *store_session_new(uint64_t limit_ns);
void store_session_retain(struct store_session *session);
/* NULL is ignored. */
void store_session_release(struct store_session *session);

#endif
