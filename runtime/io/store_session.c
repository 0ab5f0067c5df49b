#include "io/store_session.h"

#include <stdlib.h>

struct store_session *store_session_new(uint64_t limit_ns) {
  struct store_session *session = calloc(1, sizeof *session);
  if (session == NULL) return NULL;
  atomic_init(&session->references, 1);
  atomic_init(&session->abandoned, false);
  session->limit_ns = limit_ns;
  return session;
}

void store_session_retain(struct store_session *session) {
  atomic_fetch_add_explicit(&session->references, 1, memory_order_relaxed);
}

void store_session_release(struct store_session *session) {
  if (session != NULL && atomic_fetch_sub(&session->references, 1) == 1) free(session);
}
