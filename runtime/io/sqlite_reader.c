#include "io/sqlite_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/condition.h"

/* How long a thread that was told to stop may take before it is left behind. */
#define HANG_NS (UINT64_C(2000) * 1000 * 1000)

struct reader {
  struct sqlite_readers *pool;
  pthread_t thread;
  struct sqlite_connection connection;
};

struct sqlite_readers {
  struct sqlite_settings settings;
  struct sqlite_forward forward;
  char *path;           /* the settings' */
  atomic_bool stop_now; /* ends what the connections are doing */

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t wakes; /* the threads */
  pthread_cond_t ends;  /* sqlite_readers_stop */
  struct store_queue queries;
  unsigned running; /* threads */
  bool stopping;
  uint64_t answered;
  uint64_t refused;

  unsigned count;
  struct reader readers[];
};

static const struct err stopped = {.code = "unavailable", .message = "the store has stopped"};

/* A damaged file or a failed disk: what the connection has in memory is not trusted again. */
static void drop_broken(struct reader *reader, int code) {
  if (!sqlite_statement_is_environment(code)) return;
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED) return;
  sqlite_connection_close(&reader->connection);
}

/* Hands a statement that writes to whoever may: false when it reads, or is refused. */
static bool forward(struct reader *reader, struct store_request *request) {
  const struct sqlite_forward *target = &reader->pool->forward;
  if (target->submit == NULL || !sqlite_connection_writes(&reader->connection, request))
    return false;
  if (target->submit(target->context, request, &request->err) != 0) store_request_finish(request);
  return true;
}

static bool is_ready(struct reader *reader, struct store_request *request) {
  if (atomic_load_explicit(&request->cancelled, memory_order_relaxed)) return false;
  if (store_request_is_late(request, clock_real_monotonic_ns())) {
    err_set(&request->err, "timeout", "the store was too busy to read");
    return false;
  }
  return reader->connection.db != NULL ||
         sqlite_connection_open_reader(&reader->connection, &reader->pool->settings,
                                       &request->err) == 0;
}

static void answer(struct reader *reader, struct store_request *request) {
  if (is_ready(reader, request)) {
    if (forward(reader, request)) return;
    int code = sqlite_connection_run(&reader->connection, request, 0);
    if (code != SQLITE_OK) drop_broken(reader, code);
  }
  store_request_finish(request);
}

/* NULL: the end. */
static struct store_request *next_query(struct sqlite_readers *pool) {
  pthread_mutex_lock(&pool->lock);
  while (pool->queries.first == NULL && !pool->stopping)
    pthread_cond_wait(&pool->wakes, &pool->lock);
  struct store_request *request = pool->stopping ? NULL : store_queue_pop(&pool->queries);
  if (request != NULL) pool->answered++;
  pthread_mutex_unlock(&pool->lock);
  return request;
}

static void *reader_main(void *argument) {
  struct reader *reader = argument;
  struct sqlite_readers *pool = reader->pool;
  struct store_request *request = next_query(pool);
  while (request != NULL) {
    answer(reader, request);
    request = next_query(pool);
  }
  sqlite_connection_close(&reader->connection);
  pthread_mutex_lock(&pool->lock);
  pool->running--;
  pthread_cond_signal(&pool->ends);
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

static int start_threads(struct sqlite_readers *pool, unsigned count, struct err *err) {
  for (unsigned i = 0; i < count; i++) {
    struct reader *reader = &pool->readers[i];
    reader->pool = pool;
    int status = pthread_create(&reader->thread, NULL, reader_main, reader);
    if (status != 0)
      return err_set(err, "unavailable", "store: cannot start a thread: %s", strerror(status));
    pool->count++;
    pthread_mutex_lock(&pool->lock);
    pool->running++;
    pthread_mutex_unlock(&pool->lock);
  }
  return 0;
}

struct sqlite_readers *sqlite_readers_start(const struct sqlite_settings *settings, unsigned count,
                                            struct sqlite_forward forward, struct err *err) {
  struct sqlite_readers *pool = calloc(1, sizeof *pool + count * sizeof pool->readers[0]);
  char *path = strdup(settings->path);
  if (pool == NULL || path == NULL) {
    err_set(err, "unavailable", "store: no memory");
    free(pool);
    free(path);
    return NULL;
  }
  pool->settings = *settings;
  pool->forward = forward;
  pool->settings.path = pool->path = path;
  pool->settings.stop = &pool->stop_now;
  pthread_mutex_init(&pool->lock, NULL);
  condition_init(&pool->wakes);
  condition_init(&pool->ends);
  if (start_threads(pool, count, err) == 0) return pool;
  sqlite_readers_stop(pool, NULL);
  return NULL;
}

int sqlite_readers_submit(struct sqlite_readers *pool, struct store_request *request,
                          struct err *err) {
  int status = 0;
  pthread_mutex_lock(&pool->lock);
  if (pool->stopping) {
    status = err_set(err, stopped.code, "%s", stopped.message);
  } else if (pool->queries.count >= SQLITE_READER_QUERIES_MAX) {
    pool->refused++;
    status = err_set(err, "overloaded", "too many queries wait for the store");
  } else {
    store_queue_push(&pool->queries, request);
    pthread_cond_signal(&pool->wakes);
  }
  pthread_mutex_unlock(&pool->lock);
  return status;
}

void sqlite_readers_read_stats(struct sqlite_readers *pool, struct store_stats *stats) {
  pthread_mutex_lock(&pool->lock);
  stats->queries += pool->answered;
  stats->refused_requests += pool->refused;
  stats->waiting_requests += pool->queries.count;
  pthread_mutex_unlock(&pool->lock);
}

/* Under the lock. */
static bool wait_for_end(struct sqlite_readers *pool) {
  uint64_t time_ns = clock_real_monotonic_ns() + HANG_NS;
  while (pool->running > 0 && condition_wait_until(&pool->ends, &pool->lock, time_ns)) continue;
  return pool->running == 0;
}

int sqlite_readers_stop(struct sqlite_readers *pool, struct err *err) {
  atomic_store_explicit(&pool->stop_now, true, memory_order_relaxed);
  pthread_mutex_lock(&pool->lock);
  pool->stopping = true;
  while (pool->queries.first != NULL) {
    pool->queries.first->err = stopped;
    store_request_finish(store_queue_pop(&pool->queries));
  }
  pthread_cond_broadcast(&pool->wakes);
  bool ended = wait_for_end(pool);
  pthread_mutex_unlock(&pool->lock);
  if (!ended) return err_set(err, "timeout", "a reader of the store hangs in the system");
  for (unsigned i = 0; i < pool->count; i++) pthread_join(pool->readers[i].thread, NULL);
  pthread_cond_destroy(&pool->ends);
  pthread_cond_destroy(&pool->wakes);
  pthread_mutex_destroy(&pool->lock);
  free(pool->path);
  free(pool);
  return 0;
}
