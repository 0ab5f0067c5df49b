#include "bind/process.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bind/shared.h"
#include "io/http_client.h"
#include "io/store.h"
#include "io/tls_identity.h"
#include "state/breaker.h"
#include "state/bucket.h"
#include "state/cache.h"
#include "state/call_statistics.h"
#include "state/counters.h"
#include "state/publication.h"
#include "state/refusals.h"
#include "state/secrets.h"
#include "state/singleflight.h"
#include "state/slots.h"
#include "state/trial.h"

#define LOG_WAIT_MS 2000
#define CACHE_BYTES_MAX (128 * 1024 * 1024) /* until the configuration is read */
#define STORE_CLOSE_NS 10000000000ull

static int open_all(struct shared *shared) {
  if ((shared->log = log_new(STDOUT_FILENO)) == NULL) return -1;
  if ((shared->counters = counters_new()) == NULL) return -1;
  if ((shared->statistics = call_statistics_new()) == NULL) return -1;
  if ((shared->breakers = breakers_new()) == NULL) return -1;
  if ((shared->limiters = limiters_new()) == NULL) return -1;
  if ((shared->slots = slots_table_new()) == NULL) return -1;
  if ((shared->trials = trial_table_new()) == NULL) return -1;
  if ((shared->refusals = refusals_new()) == NULL) return -1;
  if ((shared->singleflight = singleflight_new()) == NULL) return -1;
  if ((shared->cache = cache_new(CACHE_BYTES_MAX)) == NULL) return -1;
  if ((shared->publications = publications_new()) == NULL) return -1;
  if ((shared->secrets = secrets_new()) == NULL) return -1;
  if ((shared->tls_identity = tls_identity_new()) == NULL) return -1;
  return http_client_open_library();
}

struct shared *process_open(void) {
  struct shared *shared = calloc(1, sizeof *shared);
  if (shared != NULL && open_all(shared) == 0) return shared;
  process_close(shared);
  fputs("tidegate: no memory to start\n", stderr);
  return NULL;
}

static void close_store(struct store *store) {
  struct err err;
  if (store == NULL) return;
  if (store_close(store, clock_real_monotonic_ns() + STORE_CLOSE_NS, &err) != 0)
    fprintf(stderr, "tidegate: %s\n", err.message);
}

void process_close(struct shared *shared) {
  if (shared == NULL) return;
  close_store(shared->database);
  close_store(shared->store);
  tls_identity_free(shared->tls_identity);
  secrets_free(shared->secrets);
  publications_free(shared->publications);
  cache_free(shared->cache);
  singleflight_free(shared->singleflight);
  call_statistics_free(shared->statistics);
  refusals_free(shared->refusals);
  name_table_free(shared->trials);
  name_table_free(shared->slots);
  limiters_free(shared->limiters);
  breakers_free(shared->breakers);
  counters_free(shared->counters);
  http_client_close_library();
  log_free(shared->log, LOG_WAIT_MS);
  free(shared);
}
