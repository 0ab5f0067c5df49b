#include "io/store.h"

#include <stdlib.h>
#include <string.h>

#include "io/store_sqlite.h"

struct store {
  const struct store_driver *driver;
  void *state;
};

static const struct store_driver *const drivers[] = {&store_sqlite_driver};

static const struct store_driver *driver_for(const char *url, const char **location) {
  for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
    size_t length = strlen(drivers[i]->scheme);
    if (strncmp(url, drivers[i]->scheme, length) != 0 || url[length] != ':') continue;
    *location = url + length + 1;
    return drivers[i];
  }
  return NULL;
}

struct store *store_open(const char *url, const struct store_options *options, struct err *err) {
  const char *location = NULL;
  const struct store_driver *driver = driver_for(url, &location);
  /* The URL is not repeated: one for PostgreSQL holds a password. */
  if (driver == NULL) {
    err_set(err, "sql", "store: the URL is none this program knows; write sqlite:PATH");
    return NULL;
  }
  struct store *store = calloc(1, sizeof *store);
  if (store == NULL) {
    err_set(err, "unavailable", "store: no memory");
    return NULL;
  }
  static const struct store_options defaults = {0};
  store->driver = driver;
  store->state = driver->open(location, options ? options : &defaults, err);
  if (store->state != NULL) return store;
  free(store);
  return NULL;
}

int store_close(struct store *store, uint64_t deadline_ns, struct err *err) {
  if (store == NULL) return 0;
  int status = store->driver->close(store->state, deadline_ns, err);
  free(store);
  return status;
}

int store_submit(struct store *store, struct store_request *request, struct err *err) {
  return store->driver->submit(store->state, request, err);
}

int store_enqueue(struct store *store, const struct store_statement *statement, struct err *err) {
  struct store_spec spec = {.kind = STORE_ENQUEUE, .statements = statement, .statement_count = 1};
  struct store_request *request = store_request_new(&spec, err);
  if (request == NULL) return -1;
  if (store_submit(store, request, err) == 0) return 0;
  store_request_free(request);
  return -1;
}

void store_read_stats(struct store *store, struct store_stats *stats) {
  *stats = (struct store_stats){0};
  store->driver->read_stats(store->state, stats);
}
