#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/time_format.h"

#define WRITE_WAIT_MS 100 /* between looks at whether the log is to end */

struct log {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  struct buf queue;    /* under the mutex */
  int next_descriptor; /* under the mutex; -1: the same */
  struct buf writing;  /* the thread's */
  int descriptor;
  bool owns_descriptor;
  bool stop, ended;
  _Atomic bool abandon; /* do not wait for the descriptor any more */
  _Atomic bool broken;  /* nobody reads any more */
  size_t chunk;         /* most bytes that one write may have without blocking */
  bool in_line;         /* the last write ended within a line; the thread's */
  _Atomic uint64_t dropped;
  uint64_t reported; /* drops that a line has told of; the thread's */
  _Atomic int level;
};

/* --- the thread --- */

/* False when nobody can read any more, or when the end cannot wait for it. */
static bool wait_writable(struct log *log) {
  struct pollfd entry = {.fd = log->descriptor, .events = POLLOUT};
  while (poll(&entry, 1, WRITE_WAIT_MS) <= 0)
    if (atomic_load(&log->abandon)) return false;
  return (entry.revents & (POLLERR | POLLNVAL)) == 0;
}

/* Returns how much was written before something failed. A disk that is full may have room
 * again; a reader that is gone does not come back. */
static size_t write_out(struct log *log, const char *bytes, size_t length) {
  size_t written = 0;
  while (written < length) {
    if (!wait_writable(log)) {
      atomic_store(&log->broken, true);
      break;
    }
    size_t left = length - written;
    ssize_t count = write(log->descriptor, bytes + written, left < log->chunk ? left : log->chunk);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) {
      if (errno == EPIPE || errno == EBADF || errno == EINVAL) atomic_store(&log->broken, true);
      break;
    }
    written += (size_t)count;
  }
  if (written > 0) log->in_line = bytes[written - 1] != '\n';
  return written;
}

static void count_lines(struct log *log, const char *bytes, size_t length) {
  uint64_t lines = 0;
  for (size_t index = 0; index < length; index++)
    if (bytes[index] == '\n') lines++;
  atomic_fetch_add(&log->dropped, lines);
}

/* Of a line that was cut short, the rest is dropped; the next one must not continue it. */
static void write_lines(struct log *log, const char *bytes, size_t length) {
  size_t written = 0;
  bool broken = atomic_load(&log->broken);
  if (!broken && (!log->in_line || write_out(log, "\n", 1) == 1))
    written = write_out(log, bytes, length);
  count_lines(log, bytes + written, length - written);
}

static void report_drops(struct log *log) {
  char time[TIME_FORMAT_RFC3339_LENGTH + 1], line[160];
  uint64_t dropped = atomic_load(&log->dropped);
  if (dropped == log->reported || log->in_line || atomic_load(&log->broken)) return;
  if (time_format_rfc3339(clock_real_wall_ms(), time) != 0) return;
  int length = snprintf(line, sizeof line,
                        "{\"time\":\"%s\",\"level\":\"warn\","
                        "\"message\":\"log lines were dropped\",\"count\":%llu}\n",
                        time, (unsigned long long)(dropped - log->reported));
  if (write_out(log, line, (size_t)length) == (size_t)length) log->reported = dropped;
}

/* A pipe that polls as writable takes PIPE_BUF bytes at once; a larger write would wait for
 * its reader, past any deadline of log_free. */
static size_t chunk_of(int descriptor) {
  struct stat status;
  bool file = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  return file ? LOG_QUEUE_BYTES : PIPE_BUF;
}

/* The mutex is held. A reader of the one before that is gone is no matter any more. */
static void take_descriptor(struct log *log) {
  if (log->next_descriptor < 0) return;
  if (log->owns_descriptor) close(log->descriptor);
  log->descriptor = log->next_descriptor;
  log->next_descriptor = -1;
  log->owns_descriptor = true;
  log->chunk = chunk_of(log->descriptor);
  log->in_line = false;
  atomic_store(&log->broken, false);
}

static void take(struct log *log) {
  struct buf empty = log->writing;
  log->writing = log->queue;
  log->queue = empty;
  buf_clear(&log->queue);
}

static void *run(void *argument) {
  struct log *log = argument;
  pthread_mutex_lock(&log->mutex);
  for (;;) {
    while (log->queue.length == 0 && !log->stop) pthread_cond_wait(&log->changed, &log->mutex);
    if (log->queue.length == 0) break;
    take(log);
    take_descriptor(log);
    pthread_mutex_unlock(&log->mutex);
    write_lines(log, log->writing.data, log->writing.length);
    report_drops(log);
    pthread_mutex_lock(&log->mutex);
  }
  log->ended = true;
  pthread_cond_broadcast(&log->changed);
  pthread_mutex_unlock(&log->mutex);
  return NULL;
}

/* --- its users --- */

static int start(struct log *log) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int status = pthread_create(&log->thread, NULL, run, log);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return status;
}

struct log *log_new(int descriptor) {
  struct log *log = calloc(1, sizeof *log);
  if (log == NULL) return NULL;
  log->descriptor = descriptor;
  log->next_descriptor = -1;
  log->chunk = chunk_of(descriptor);
  atomic_init(&log->level, LOG_LEVEL_INFO);
  buf_init(&log->queue, LOG_QUEUE_BYTES);
  buf_init(&log->writing, LOG_QUEUE_BYTES);
  pthread_mutex_init(&log->mutex, NULL);
  condition_init(&log->changed);
  if (start(log) == 0) return log;
  free(log);
  return NULL;
}

static bool wait_for_end(struct log *log, unsigned wait_ms) {
  uint64_t until_ns = clock_real_monotonic_ns() + (uint64_t)wait_ms * 1000000;
  while (!log->ended && condition_wait_until(&log->changed, &log->mutex, until_ns)) continue;
  return log->ended;
}

void log_free(struct log *log, unsigned wait_ms) {
  if (log == NULL) return;
  pthread_mutex_lock(&log->mutex);
  log->stop = true;
  pthread_cond_broadcast(&log->changed);
  if (!wait_for_end(log, wait_ms)) atomic_store(&log->abandon, true);
  bool ended = wait_for_end(log, 10 * WRITE_WAIT_MS);
  pthread_mutex_unlock(&log->mutex);
  if (!ended) return; /* it hangs in write(2) */
  pthread_join(log->thread, NULL);
  if (log->next_descriptor >= 0) close(log->next_descriptor);
  if (log->owns_descriptor) close(log->descriptor);
  buf_deinit(&log->queue);
  buf_deinit(&log->writing);
  pthread_cond_destroy(&log->changed);
  pthread_mutex_destroy(&log->mutex);
  free(log);
}

void log_redirect(struct log *log, int descriptor) {
  pthread_mutex_lock(&log->mutex);
  if (log->next_descriptor >= 0) close(log->next_descriptor);
  log->next_descriptor = descriptor;
  pthread_mutex_unlock(&log->mutex);
}

/* The mutex is held. All of the line or nothing. */
static bool append(struct log *log, const char *line, size_t length) {
  if (buf_reserve(&log->queue, length + 1) != 0) return false;
  return buf_append(&log->queue, line, length) == 0 && buf_append(&log->queue, "\n", 1) == 0;
}

bool log_write(struct log *log, const char *line, size_t length) {
  bool queued = false;
  if (length <= LOG_LINE_MAX && !atomic_load(&log->broken)) {
    pthread_mutex_lock(&log->mutex);
    queued = !log->stop && append(log, line, length);
    if (queued) pthread_cond_signal(&log->changed);
    pthread_mutex_unlock(&log->mutex);
  }
  if (!queued) atomic_fetch_add(&log->dropped, 1);
  return queued;
}

uint64_t log_dropped(struct log *log) {
  return atomic_load(&log->dropped);
}

void log_set_level(struct log *log, enum log_level level) {
  atomic_store(&log->level, (int)level);
}

bool log_is_enabled(struct log *log, enum log_level level) {
  return (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}
