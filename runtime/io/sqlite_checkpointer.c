#include "io/sqlite_checkpointer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/condition.h"

#define HANG_NS (UINT64_C(5) * 1000 * 1000 * 1000)

struct sqlite_checkpointer {
  struct sqlite_settings settings;
  char *path;
  struct sqlite_connection connection; /* the thread's */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wakes;
  pthread_cond_t ends;
  int pages; /* in the log, as last heard */
  int moved; /* of these, by the last checkpoint */
  bool stopping, ended;
  atomic_bool stop_now;
};

/* Under the lock. A log that is shorter than what was moved has begun anew. */
static bool is_due(struct sqlite_checkpointer *checkpointer) {
  if (checkpointer->pages < checkpointer->moved) checkpointer->moved = 0;
  return checkpointer->pages - checkpointer->moved >= SQLITE_LOG_PAGES_STEP;
}

/* Waits for something to do; false: the end. */
static bool next_step(struct sqlite_checkpointer *checkpointer) {
  pthread_mutex_lock(&checkpointer->lock);
  while (!checkpointer->stopping && !is_due(checkpointer))
    pthread_cond_wait(&checkpointer->wakes, &checkpointer->lock);
  bool more = !checkpointer->stopping;
  pthread_mutex_unlock(&checkpointer->lock);
  return more;
}

/* A failure (a full disk, the writer's own checkpoint) is the writer's to tell, if it lasts; it
 * is tried again when the log has grown further. */
static void move_log(struct sqlite_checkpointer *checkpointer) {
  int pages = 0, moved = 0;
  int code = sqlite3_wal_checkpoint_v2(checkpointer->connection.db, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                       &pages, &moved);
  pthread_mutex_lock(&checkpointer->lock);
  checkpointer->moved = code == SQLITE_OK && moved >= 0 ? moved : checkpointer->pages;
  pthread_mutex_unlock(&checkpointer->lock);
}

static void *checkpointer_main(void *argument) {
  struct sqlite_checkpointer *checkpointer = argument;
  while (next_step(checkpointer)) move_log(checkpointer);
  sqlite_connection_close(&checkpointer->connection);
  pthread_mutex_lock(&checkpointer->lock);
  checkpointer->ended = true;
  pthread_cond_signal(&checkpointer->ends);
  pthread_mutex_unlock(&checkpointer->lock);
  return NULL;
}

void sqlite_checkpointer_free(struct sqlite_checkpointer *checkpointer) {
  sqlite_connection_close(&checkpointer->connection);
  pthread_cond_destroy(&checkpointer->ends);
  pthread_cond_destroy(&checkpointer->wakes);
  pthread_mutex_destroy(&checkpointer->lock);
  free(checkpointer->path);
  free(checkpointer);
}

struct sqlite_checkpointer *sqlite_checkpointer_start(const struct sqlite_settings *settings,
                                                      struct err *err) {
  struct sqlite_checkpointer *checkpointer = calloc(1, sizeof *checkpointer);
  char *path = strdup(settings->path);
  if (checkpointer == NULL || path == NULL) {
    err_set(err, "unavailable", "store: no memory");
    free(checkpointer);
    free(path);
    return NULL;
  }
  checkpointer->settings = *settings;
  checkpointer->settings.path = checkpointer->path = path;
  checkpointer->settings.stop = &checkpointer->stop_now;
  pthread_mutex_init(&checkpointer->lock, NULL);
  condition_init(&checkpointer->wakes);
  condition_init(&checkpointer->ends);
  if (sqlite_connection_open_other(&checkpointer->connection, &checkpointer->settings, err) == 0) {
    int status = pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer);
    if (status == 0) return checkpointer;
    err_set(err, "unavailable", "store: cannot start a thread: %s", strerror(status));
  }
  sqlite_checkpointer_free(checkpointer);
  return NULL;
}

void sqlite_checkpointer_note(struct sqlite_checkpointer *checkpointer, int pages) {
  pthread_mutex_lock(&checkpointer->lock);
  checkpointer->pages = pages;
  if (is_due(checkpointer)) pthread_cond_signal(&checkpointer->wakes);
  pthread_mutex_unlock(&checkpointer->lock);
}

int sqlite_checkpointer_stop(struct sqlite_checkpointer *checkpointer, struct err *err) {
  uint64_t until_ns = clock_real_monotonic_ns() + HANG_NS;
  atomic_store_explicit(&checkpointer->stop_now, true, memory_order_relaxed);
  pthread_mutex_lock(&checkpointer->lock);
  checkpointer->stopping = true;
  pthread_cond_signal(&checkpointer->wakes);
  while (!checkpointer->ended &&
         condition_wait_until(&checkpointer->ends, &checkpointer->lock, until_ns))
    continue;
  bool ended = checkpointer->ended;
  pthread_mutex_unlock(&checkpointer->lock);
  if (!ended) return err_set(err, "timeout", "the store's checkpoint hangs in the system");
  pthread_join(checkpointer->thread, NULL);
  return 0;
}
