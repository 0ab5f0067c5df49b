#include "io/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "io/store_project.h"
#include "io/store_sqlite.h"

struct lasting_text {
  char *bytes;
  size_t length;
};

struct store {
  const struct store_driver *driver;
  void *state;
  pthread_mutex_t mutex; /* guards what follows */
  struct lasting_text texts[STORE_LASTING_TEXTS_MAX];
  size_t text_count;
};

static const struct store_driver *const drivers[] = {&store_sqlite_driver, &store_project_driver};

static const struct store_driver *driver_for(const char *url, const char **location) {
  for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
    size_t length = strlen(drivers[i]->scheme);
    if (strncmp(url, drivers[i]->scheme, length) != 0 || url[length] != ':') continue;
    *location = url + length + 1;
    return drivers[i];
  }
  return NULL;
}

static void free_store(struct store *store) {
  for (size_t i = 0; i < store->text_count; i++) free(store->texts[i].bytes);
  pthread_mutex_destroy(&store->mutex);
  free(store);
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
  pthread_mutex_init(&store->mutex, NULL);
  if (store->state != NULL) return store;
  free_store(store);
  return NULL;
}

int store_close(struct store *store, uint64_t deadline_ns, struct err *err) {
  if (store == NULL) return 0;
  int status = store->driver->close(store->state, deadline_ns, err);
  free_store(store);
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

static const char *find_text(const struct store *store, const char *text, size_t length) {
  for (size_t i = 0; i < store->text_count; i++)
    if (store->texts[i].length == length && memcmp(store->texts[i].bytes, text, length) == 0)
      return store->texts[i].bytes;
  return NULL;
}

static const char *add_text(struct store *store, const char *text, size_t length) {
  if (store->text_count == STORE_LASTING_TEXTS_MAX) return NULL;
  char *bytes = malloc(length + 1);
  if (bytes == NULL) return NULL;
  memcpy(bytes, text, length);
  bytes[length] = '\0';
  store->texts[store->text_count++] = (struct lasting_text){bytes, length};
  return bytes;
}

const char *store_lasting_text(struct store *store, const char *text, size_t length) {
  pthread_mutex_lock(&store->mutex);
  const char *found = find_text(store, text, length);
  if (found == NULL) found = add_text(store, text, length);
  pthread_mutex_unlock(&store->mutex);
  return found;
}

void store_abandon(struct store *store, struct store_session *session) {
  if (store->driver->abandon != NULL) store->driver->abandon(store->state, session);
}

void store_read_stats(struct store *store, struct store_stats *stats) {
  *stats = (struct store_stats){0};
  store->driver->read_stats(store->state, stats);
}
