#include "io/sqlite_writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/condition.h"
#include "io/sqlite_batch.h"
#include "io/sqlite_migration.h"
#include "io/sqlite_writable.h"

#define MS_NS UINT64_C(1000000)
/* How long a thread that was told to stop at once may take before it is left behind. */
#define HANG_NS (2000 * MS_NS)

enum work { WORK_BATCH, WORK_MIGRATE, WORK_TIDY, WORK_END };

/* What one round of work came to; added to the writer under its lock afterwards, so that
 * nobody has to wait for the lock while requests are answered. */
struct tally {
  uint64_t requests_settled;
  uint64_t rows_settled;
  uint64_t rows_failed;
  uint64_t statements_committed;
  uint64_t commits;
  uint64_t failed_commits;
  uint64_t commit_ns;
  struct store_queue again; /* rows that wait for another try */
  struct err err;           /* the last that nobody was told of; code NULL: none */
};

struct sqlite_writer {
  char *path;
  pthread_t thread;

  pthread_mutex_t lock; /* guards what follows, up to the thread's own */
  pthread_cond_t wakes; /* the thread */
  pthread_cond_t ends;  /* sqlite_writer_stop */
  struct store_queue requests;
  struct store_queue rows;
  struct store_queue flushes;
  size_t request_bytes_busy; /* of the batch that is being written */
  size_t row_bytes_busy;
  size_t rows_busy;
  uint64_t requests_taken;   /* ever, and of them: */
  uint64_t requests_settled; /* answered */
  uint64_t rows_taken;
  uint64_t rows_settled;  /* committed or given up */
  uint64_t rows_due_ns;   /* when gathered rows are written without other company */
  uint64_t rows_retry_ns; /* not before; after a failure that concerned them all */
  uint64_t stop_by_ns;
  bool stopping;
  bool ended;
  struct store_stats stats;

  /* The thread's own. */
  struct sqlite_writable writable;
  bool needs_tidying;
  struct tally tally;
  atomic_bool stop_now; /* ends what the connection is doing; any thread */
};

static uint64_t now_ns(void) {
  return clock_real_monotonic_ns();
}

static bool flush_is_settled(const struct sqlite_writer *writer,
                             const struct store_request *flush) {
  return writer->requests_settled >= flush->ticket && writer->rows_settled >= flush->row_ticket;
}

/* Under the lock; a request's client has a lock of its own, always taken after this one. */
static void answer_flushes(struct sqlite_writer *writer) {
  while (writer->flushes.first != NULL && flush_is_settled(writer, writer->flushes.first))
    store_request_finish(store_queue_pop(&writer->flushes));
}

/* When the rows are next to be written; UINT64_MAX: there are none. */
static uint64_t rows_time(const struct sqlite_writer *writer) {
  if (writer->rows.count == 0) return UINT64_MAX;
  bool hurry =
      writer->stopping || writer->flushes.count > 0 || writer->rows.count >= SQLITE_WRITER_BATCH;
  uint64_t due = hurry ? 0 : writer->rows_due_ns;
  return due > writer->rows_retry_ns ? due : writer->rows_retry_ns;
}

/* Moves what may share a commit to `batch`; under the lock. */
static void take_requests(struct sqlite_writer *writer, struct store_queue *batch) {
  size_t before = batch->bytes;
  while (writer->requests.first != NULL && writer->requests.first->kind != STORE_MIGRATE &&
         batch->count < SQLITE_WRITER_BATCH)
    store_queue_push(batch, store_queue_pop(&writer->requests));
  writer->request_bytes_busy += batch->bytes - before;
}

static void take_rows(struct sqlite_writer *writer, struct store_queue *batch) {
  size_t most = batch->count > 0 ? SQLITE_WRITER_BATCH : SQLITE_WRITER_BATCH_ROWS;
  size_t count = batch->count;
  size_t bytes = batch->bytes;
  while (writer->rows.first != NULL && batch->count < most)
    store_queue_push(batch, store_queue_pop(&writer->rows));
  writer->rows_busy += batch->count - count;
  writer->row_bytes_busy += batch->bytes - bytes;
}

/* Waits for something to do. Under the lock. */
static enum work next_work(struct sqlite_writer *writer, struct store_queue *batch) {
  uint64_t idle_ns = writer->needs_tidying ? now_ns() + SQLITE_WRITER_IDLE_MS * MS_NS : UINT64_MAX;
  for (;;) {
    uint64_t now = now_ns();
    uint64_t rows_ns = rows_time(writer);
    answer_flushes(writer);
    /* Into a damaged file nothing will ever be written: no use waiting for the deadline. */
    if (writer->stopping && (now >= writer->stop_by_ns || writer->writable.damage.code != NULL))
      return WORK_END;
    if (writer->requests.first != NULL && writer->requests.first->kind == STORE_MIGRATE) {
      store_queue_push(batch, store_queue_pop(&writer->requests));
      return WORK_MIGRATE;
    }
    if (writer->requests.first != NULL || now >= rows_ns) {
      take_requests(writer, batch);
      if (now >= writer->rows_retry_ns) take_rows(writer, batch);
      return WORK_BATCH;
    }
    if (writer->stopping && writer->rows.count == 0) return WORK_END;
    if (now >= idle_ns) return WORK_TIDY;
    uint64_t until = rows_ns < idle_ns ? rows_ns : idle_ns;
    if (writer->stopping && writer->stop_by_ns < until) until = writer->stop_by_ns;
    condition_wait_until(&writer->wakes, &writer->lock, until);
  }
}

/* What waits by now joins the batch that is about to be committed. */
static void take_more(void *context, struct store_queue *batch) {
  struct sqlite_writer *writer = context;
  pthread_mutex_lock(&writer->lock);
  take_requests(writer, batch);
  pthread_mutex_unlock(&writer->lock);
}

static bool run_batch(struct sqlite_writer *writer, struct store_queue *requests, struct err *err) {
  struct sqlite_writable *writable = &writer->writable;
  if (sqlite_writable_ready(writable, err) != 0) return false;
  struct sqlite_batch batch = {.requests = requests, .more = take_more, .context = writer};
  enum sqlite_batch_outcome outcome = sqlite_batch_run(writable->connection, &batch, err);
  sqlite_writable_note(writable, outcome, err);
  return outcome == SQLITE_BATCH_COMMITTED;
}

static void settle_row(struct tally *tally, struct store_request *row) {
  tally->rows_settled++;
  if (row->err.code != NULL) {
    tally->rows_failed++;
    tally->err = row->err;
  }
  store_request_free(row);
}

static void settle_request(struct tally *tally, struct store_request *request) {
  tally->requests_settled++;
  store_request_finish(request);
}

static void settle_committed(struct tally *tally, struct store_queue *batch) {
  tally->commits++;
  while (batch->first != NULL) {
    struct store_request *request = store_queue_pop(batch);
    if (request->err.code == NULL) tally->statements_committed += request->statement_count;
    if (request->kind == STORE_ENQUEUE)
      settle_row(tally, request);
    else
      settle_request(tally, request);
  }
}

/* Nothing was committed: who waits is told, rows wait for another try. */
static void settle_refused(struct tally *tally, struct store_queue *batch, const struct err *err) {
  tally->failed_commits++;
  tally->err = *err;
  while (batch->first != NULL) {
    struct store_request *request = store_queue_pop(batch);
    store_request_reset(request);
    request->err.code = NULL;
    if (request->kind == STORE_ENQUEUE) {
      store_queue_push(&tally->again, request);
      continue;
    }
    request->err = *err;
    settle_request(tally, request);
  }
}

static void work_batch(struct sqlite_writer *writer, struct store_queue *batch) {
  struct err err = {0};
  uint64_t begin = now_ns();
  if (!run_batch(writer, batch, &err)) {
    settle_refused(&writer->tally, batch, &err);
    return;
  }
  writer->tally.commit_ns += now_ns() - begin;
  writer->needs_tidying = true;
  settle_committed(&writer->tally, batch);
}

static void work_migrate(struct sqlite_writer *writer, struct store_queue *batch) {
  struct sqlite_writable *writable = &writer->writable;
  struct store_request *request = store_queue_pop(batch);
  if (sqlite_writable_ready(writable, &request->err) == 0) {
    sqlite_migration_run(writable->connection, request);
    writer->needs_tidying = true;
    writable->broken = request->err.code != NULL;
  }
  settle_request(&writer->tally, request);
}

/* Under the lock. */
static void add_tally(struct sqlite_writer *writer) {
  struct tally *tally = &writer->tally;
  struct store_stats *stats = &writer->stats;
  writer->requests_settled += tally->requests_settled;
  writer->rows_settled += tally->rows_settled;
  stats->failed_rows += tally->rows_failed;
  stats->committed_rows += tally->statements_committed;
  stats->commits += tally->commits;
  stats->failed_commits += tally->failed_commits;
  stats->commit_ns += tally->commit_ns;
  if (tally->err.code != NULL)
    snprintf(stats->last_error, sizeof stats->last_error, "%s", tally->err.message);
  if (tally->commits > 0) writer->rows_retry_ns = 0;
  if (tally->failed_commits > 0) writer->rows_retry_ns = now_ns() + SQLITE_WRITER_RETRY_MS * MS_NS;
  store_queue_append(&tally->again, &writer->rows);
  writer->rows = tally->again;
  writer->request_bytes_busy = 0;
  writer->row_bytes_busy = 0;
  writer->rows_busy = 0;
  /* Not the whole struct: the message is long. */
  memset(tally, 0, offsetof(struct tally, err));
  tally->err.code = NULL;
}

static void refuse_rest(struct sqlite_writer *writer) {
  static const struct err closing = {.code = "unavailable", .message = "the store has stopped"};
  while (writer->requests.first != NULL) {
    struct store_request *request = store_queue_pop(&writer->requests);
    request->err = closing;
    store_request_finish(request);
  }
  while (writer->flushes.first != NULL) {
    writer->flushes.first->err = closing;
    store_request_finish(store_queue_pop(&writer->flushes));
  }
  writer->stats.dropped_rows += writer->rows.count;
  while (writer->rows.first != NULL) store_request_free(store_queue_pop(&writer->rows));
}

static void *writer_main(void *argument) {
  struct sqlite_writer *writer = argument;
  struct store_queue batch = {0};
  pthread_mutex_lock(&writer->lock);
  enum work work = next_work(writer, &batch);
  while (work != WORK_END) {
    pthread_mutex_unlock(&writer->lock);
    if (work == WORK_BATCH) work_batch(writer, &batch);
    if (work == WORK_MIGRATE) work_migrate(writer, &batch);
    if (work == WORK_TIDY) writer->needs_tidying = sqlite_writable_tidy(&writer->writable);
    pthread_mutex_lock(&writer->lock);
    add_tally(writer);
    work = next_work(writer, &batch);
  }
  refuse_rest(writer);
  pthread_mutex_unlock(&writer->lock);
  sqlite_writable_close(&writer->writable);
  pthread_mutex_lock(&writer->lock);
  writer->ended = true;
  pthread_cond_signal(&writer->ends);
  pthread_mutex_unlock(&writer->lock);
  return NULL;
}

static void writer_free(struct sqlite_writer *writer) {
  sqlite_writable_close(&writer->writable);
  pthread_cond_destroy(&writer->ends);
  pthread_cond_destroy(&writer->wakes);
  pthread_mutex_destroy(&writer->lock);
  free(writer->path);
  free(writer);
}

struct sqlite_writer *sqlite_writer_start(const struct sqlite_settings *settings, struct err *err) {
  struct sqlite_writer *writer = calloc(1, sizeof *writer);
  char *path = strdup(settings->path);
  if (writer == NULL || path == NULL) {
    err_set(err, "unavailable", "store: no memory");
    free(writer);
    free(path);
    return NULL;
  }
  struct sqlite_settings own = *settings;
  own.path = writer->path = path;
  own.stop = &writer->stop_now;
  pthread_mutex_init(&writer->lock, NULL);
  condition_init(&writer->wakes);
  condition_init(&writer->ends);
  if (sqlite_writable_open(&writer->writable, &own, err) == 0) {
    int status = pthread_create(&writer->thread, NULL, writer_main, writer);
    if (status == 0) return writer;
    err_set(err, "unavailable", "store: cannot start a thread: %s", strerror(status));
  }
  writer_free(writer);
  return NULL;
}

static int take_row(struct sqlite_writer *writer, struct store_request *row, struct err *err) {
  if (writer->rows.bytes + writer->row_bytes_busy + row->size > SQLITE_WRITER_BYTES_MAX) {
    writer->stats.dropped_rows++;
    return err_set(err, "overloaded", "the store's queue of rows is full; the row was dropped");
  }
  writer->rows_taken++;
  store_queue_push(&writer->rows, row);
  if (writer->rows.count == 1) writer->rows_due_ns = now_ns() + SQLITE_WRITER_GATHER_MS * MS_NS;
  /* In between, the writer knows by itself when to look. */
  if (writer->rows.count == 1 || writer->rows.count == SQLITE_WRITER_BATCH)
    pthread_cond_signal(&writer->wakes);
  return 0;
}

static void take_flush(struct sqlite_writer *writer, struct store_request *flush) {
  flush->ticket = writer->requests_taken;
  flush->row_ticket = writer->rows_taken;
  store_queue_push(&writer->flushes, flush);
  pthread_cond_signal(&writer->wakes);
}

static int take_request(struct sqlite_writer *writer, struct store_request *request,
                        struct err *err) {
  if (writer->requests.count + writer->flushes.count >= SQLITE_WRITER_REQUESTS_MAX ||
      writer->requests.bytes + writer->request_bytes_busy + request->size >
          SQLITE_WRITER_BYTES_MAX) {
    writer->stats.refused_requests++;
    return err_set(err, "overloaded", "too many requests wait for the store");
  }
  if (request->kind == STORE_FLUSH) {
    take_flush(writer, request);
    return 0;
  }
  writer->requests_taken++;
  store_queue_push(&writer->requests, request);
  pthread_cond_signal(&writer->wakes);
  return 0;
}

int sqlite_writer_submit(struct sqlite_writer *writer, struct store_request *request,
                         struct err *err) {
  pthread_mutex_lock(&writer->lock);
  int status = 0;
  if (writer->stopping)
    status = err_set(err, "unavailable", "the store has stopped");
  else if (request->kind == STORE_ENQUEUE)
    status = take_row(writer, request, err);
  else
    status = take_request(writer, request, err);
  pthread_mutex_unlock(&writer->lock);
  return status;
}

void sqlite_writer_read_stats(struct sqlite_writer *writer, struct store_stats *stats) {
  pthread_mutex_lock(&writer->lock);
  *stats = writer->stats;
  stats->queued_bytes = writer->rows.bytes + writer->row_bytes_busy;
  stats->queued_rows = writer->rows.count + writer->rows_busy;
  stats->waiting_requests = writer->requests.count + writer->flushes.count;
  pthread_mutex_unlock(&writer->lock);
}

/* False when the thread has not ended by then. */
static bool wait_for_end(struct sqlite_writer *writer, uint64_t time_ns) {
  while (!writer->ended && condition_wait_until(&writer->ends, &writer->lock, time_ns)) continue;
  return writer->ended;
}

int sqlite_writer_stop(struct sqlite_writer *writer, uint64_t deadline_ns, struct err *err) {
  pthread_mutex_lock(&writer->lock);
  uint64_t dropped_before = writer->stats.dropped_rows;
  writer->stopping = true;
  writer->stop_by_ns = deadline_ns;
  pthread_cond_signal(&writer->wakes);
  if (!wait_for_end(writer, deadline_ns)) {
    atomic_store_explicit(&writer->stop_now, true, memory_order_relaxed);
    wait_for_end(writer, now_ns() + HANG_NS);
  }
  bool ended = writer->ended;
  uint64_t dropped = writer->stats.dropped_rows - dropped_before;
  pthread_mutex_unlock(&writer->lock);
  if (!ended) {
    err_set(err, "timeout", "the store's writer hangs in the system");
    return SQLITE_WRITER_HANGS;
  }
  pthread_join(writer->thread, NULL);
  writer_free(writer);
  if (dropped == 0) return 0;
  return err_set(err, "timeout", "%llu rows were not written in time", (unsigned long long)dropped);
}
