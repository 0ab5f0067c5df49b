#include "io/sqlite_sessions.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/condition.h"
#include "io/sqlite_migration.h"
#include "io/sqlite_writable.h"
#include "io/store_session.h"

#define MS_NS UINT64_C(1000000)
#define IDLE_NS (1000 * MS_NS)
/* How long a thread that was told to stop at once may take before it is left behind. */
#define HANG_NS (2000 * MS_NS)

enum work { WORK_REQUEST, WORK_ABANDONED, WORK_EXPIRED, WORK_TIDY, WORK_END };

struct sqlite_sessions {
  char *path;
  pthread_t thread;

  pthread_mutex_t lock; /* guards what follows, up to the thread's own, and sessions */
  pthread_cond_t wakes; /* the thread */
  pthread_cond_t ends;  /* sqlite_sessions_stop */
  struct store_queue line;
  struct store_session *current; /* a reference to the one whose transaction is open, or NULL */
  bool stopping;
  bool ended;
  uint64_t commits;
  uint64_t failed_commits;
  uint64_t refused;
  struct err last_error;

  /* The thread's own. */
  struct sqlite_writable writable;
  bool needs_tidying;
  atomic_bool stop_now; /* ends what the connection is doing; any thread */
};

static const struct err stopped = {.code = "unavailable", .message = "the store has stopped"};
static const struct err over = {.code = "sql", .message = "the transaction has ended"};
static const struct err rolled_back = {.code = "sql", .message = "the transaction was rolled back"};

/* What a transaction records of itself, so that a script that runs again finds what it has done
 * already. Of the framework: scripts cannot name it. */
static const char own_tables[] =
    "CREATE TABLE IF NOT EXISTS tidegate_transactions ("
    " event_id TEXT NOT NULL,"
    " number INTEGER NOT NULL,"
    " result TEXT NOT NULL,"
    " created_at TEXT NOT NULL,"
    " PRIMARY KEY (event_id, number)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS tidegate_transactions_age ON tidegate_transactions (created_at)";

static uint64_t now_ns(void) {
  return clock_real_monotonic_ns();
}

/* --- sessions, under the lock -------------------------------------------------------------- */

static void finish_all(struct store_queue *queue, const struct err *err) {
  while (queue->first != NULL) {
    queue->first->err = *err;
    store_request_finish(store_queue_pop(queue));
  }
}

/* Lets go of the session: what it asked or asks yet is answered `err`. */
static void end_session(struct sqlite_sessions *sessions, struct store_session *session,
                        const struct err *err) {
  session->ended = true;
  session->end = *err;
  finish_all(&session->steps, err);
  if (sessions->current != session) return;
  sessions->current = NULL;
  store_session_release(session);
}

static void end_locked(struct sqlite_sessions *sessions, struct store_session *session,
                       const struct err *err) {
  pthread_mutex_lock(&sessions->lock);
  end_session(sessions, session, err);
  pthread_mutex_unlock(&sessions->lock);
}

static bool is_abandoned(const struct store_session *session) {
  return atomic_load_explicit(&session->abandoned, memory_order_relaxed);
}

/* --- what comes next, under the lock --------------------------------------------------------- */

/* Of the open transaction; false: it waits for its owner. */
static bool session_work(struct sqlite_sessions *sessions, uint64_t now, enum work *work,
                         struct store_request **request) {
  struct store_session *session = sessions->current;
  *work = WORK_REQUEST;
  if (sessions->stopping || is_abandoned(session))
    *work = WORK_ABANDONED;
  else if (now >= session->deadline_ns)
    *work = WORK_EXPIRED;
  else if (session->steps.first == NULL)
    return false;
  else
    *request = store_queue_pop(&session->steps);
  return true;
}

/* When no transaction is open; false: there is nothing to do. */
static bool line_work(struct sqlite_sessions *sessions, bool is_idle, enum work *work,
                      struct store_request **request) {
  *work = WORK_REQUEST;
  if (sessions->stopping)
    *work = WORK_END;
  else if (sessions->line.first != NULL)
    *request = store_queue_pop(&sessions->line);
  else if (is_idle)
    *work = WORK_TIDY;
  else
    return false;
  return true;
}

static enum work next_work(struct sqlite_sessions *sessions, struct store_request **request) {
  uint64_t idle_ns = sessions->needs_tidying ? now_ns() + IDLE_NS : UINT64_MAX;
  for (;;) {
    uint64_t now = now_ns();
    enum work work;
    if (sessions->current != NULL) {
      if (session_work(sessions, now, &work, request)) return work;
      condition_wait_until(&sessions->wakes, &sessions->lock, sessions->current->deadline_ns);
    } else {
      if (line_work(sessions, now >= idle_ns, &work, request)) return work;
      condition_wait_until(&sessions->wakes, &sessions->lock, idle_ns);
    }
  }
}

/* --- the work -------------------------------------------------------------------------------- */

/* Some errors (disk full, I/O, an interrupted write) have rolled back already. */
static void roll_back(struct sqlite_sessions *sessions) {
  struct sqlite_connection *connection = sessions->writable.connection;
  if (!sqlite3_get_autocommit(connection->db))
    sqlite_connection_control(connection, "ROLLBACK", NULL);
}

/* A failure of the disk, not of the statement. */
static void note_failure(struct sqlite_sessions *sessions, int code, const struct err *err) {
  if (code == SQLITE_OK || !sqlite_statement_is_environment(code)) return;
  sqlite_writable_note(&sessions->writable, sqlite_batch_outcome_of(code), err);
  pthread_mutex_lock(&sessions->lock);
  sessions->last_error = *err;
  pthread_mutex_unlock(&sessions->lock);
}

static int check_begin(const struct store_request *request, struct err *err) {
  if (is_abandoned(request->session)) {
    *err = rolled_back;
    return -1;
  }
  if (!store_request_is_late(request, now_ns())) return 0;
  return err_set(err, "timeout", "the database was too busy; nothing was written");
}

static int run_own_statements(struct sqlite_sessions *sessions, struct store_request *request) {
  int code = SQLITE_OK;
  for (size_t i = 0; i < request->statement_count && code == SQLITE_OK; i++)
    code = sqlite_connection_run_own(sessions->writable.connection, request, i);
  return code;
}

static int begin(struct sqlite_sessions *sessions, struct store_request *request) {
  struct sqlite_connection *connection = sessions->writable.connection;
  int code = sqlite_connection_control(connection, "BEGIN IMMEDIATE", &request->err);
  if (code == SQLITE_OK) code = run_own_statements(sessions, request);
  note_failure(sessions, code, &request->err);
  return code;
}

static void work_begin(struct sqlite_sessions *sessions, struct store_request *request) {
  struct store_session *session = request->session;
  bool open = check_begin(request, &request->err) == 0 &&
              sqlite_writable_ready(&sessions->writable, &request->err) == 0 &&
              begin(sessions, request) == SQLITE_OK;
  if (!open) {
    end_locked(sessions, session, &request->err);
    roll_back(sessions);
  } else {
    store_session_retain(session);
    pthread_mutex_lock(&sessions->lock);
    session->deadline_ns = now_ns() + session->limit_ns;
    sessions->current = session;
    pthread_mutex_unlock(&sessions->lock);
  }
  store_request_finish(request);
}

static void expire(struct sqlite_sessions *sessions, struct store_session *session) {
  struct err err;
  err_set(&err, "timeout", "the transaction was open for more than %llu ms and was rolled back",
          (unsigned long long)(session->limit_ns / MS_NS));
  roll_back(sessions);
  end_locked(sessions, session, &err);
}

/* After a statement has failed: it alone, unless SQLite gave the transaction up with it. */
static void after_failure(struct sqlite_sessions *sessions, struct store_request *request,
                          int code) {
  struct sqlite_connection *connection = sessions->writable.connection;
  note_failure(sessions, code, &request->err);
  if (now_ns() >= request->session->deadline_ns) {
    expire(sessions, request->session);
    request->err = request->session->end;
  } else if (sqlite3_get_autocommit(connection->db) || sqlite_statement_is_environment(code)) {
    roll_back(sessions);
    end_locked(sessions, request->session, &request->err);
  }
}

static void work_step(struct sqlite_sessions *sessions, struct store_request *request) {
  struct store_session *session = request->session;
  int code = sqlite_connection_run_until(sessions->writable.connection, request, 0,
                                         session->deadline_ns, &session->abandoned);
  if (code != SQLITE_OK) after_failure(sessions, request, code);
  store_request_finish(request);
}

static void count_commit(struct sqlite_sessions *sessions, int code) {
  pthread_mutex_lock(&sessions->lock);
  if (code == SQLITE_OK)
    sessions->commits++;
  else
    sessions->failed_commits++;
  pthread_mutex_unlock(&sessions->lock);
  sessions->needs_tidying = true;
}

static void work_commit(struct sqlite_sessions *sessions, struct store_request *request) {
  int code = run_own_statements(sessions, request);
  if (code == SQLITE_OK)
    code = sqlite_connection_control(sessions->writable.connection, "COMMIT", &request->err);
  note_failure(sessions, code, &request->err);
  roll_back(sessions);
  count_commit(sessions, code);
  end_locked(sessions, request->session, code == SQLITE_OK ? &over : &request->err);
  store_request_finish(request);
}

/* A transaction of its own, which its owner's end stops. */
static void work_single(struct sqlite_sessions *sessions, struct store_request *request) {
  struct sqlite_writable *writable = &sessions->writable;
  if (store_request_is_late(request, now_ns())) {
    err_set(&request->err, "timeout", "the database was too busy; nothing was written");
  } else if (!atomic_load_explicit(&request->cancelled, memory_order_relaxed) &&
             sqlite_writable_ready(writable, &request->err) == 0) {
    int code = sqlite_connection_run_until(writable->connection, request, 0, request->deadline_ns,
                                           &request->cancelled);
    note_failure(sessions, code, &request->err);
    roll_back(sessions);
    count_commit(sessions, code);
  }
  store_request_finish(request);
}

static void work_migrate(struct sqlite_sessions *sessions, struct store_request *request) {
  struct sqlite_writable *writable = &sessions->writable;
  if (sqlite_writable_ready(writable, &request->err) == 0) {
    sqlite_migration_run(writable->connection, request);
    writable->broken = request->err.code != NULL;
    sessions->needs_tidying = true;
  }
  store_request_finish(request);
}

static void work_request(struct sqlite_sessions *sessions, struct store_request *request) {
  switch (request->kind) {
    case STORE_BEGIN:
      work_begin(sessions, request);
      return;
    case STORE_STEP:
      work_step(sessions, request);
      return;
    case STORE_COMMIT:
      work_commit(sessions, request);
      return;
    case STORE_MIGRATE:
      work_migrate(sessions, request);
      return;
    case STORE_QUERY:
    case STORE_EXECUTE:
    case STORE_ENQUEUE:
    case STORE_FLUSH:
      work_single(sessions, request);
      return;
  }
}

static void run_work(struct sqlite_sessions *sessions, enum work work,
                     struct store_request *request) {
  switch (work) {
    case WORK_REQUEST:
      work_request(sessions, request);
      return;
    case WORK_ABANDONED:
      roll_back(sessions);
      end_locked(sessions, sessions->current, &rolled_back);
      return;
    case WORK_EXPIRED:
      expire(sessions, sessions->current);
      return;
    case WORK_TIDY:
      sessions->needs_tidying = sqlite_writable_tidy(&sessions->writable);
      return;
    case WORK_END:
      return;
  }
}

static void *sessions_main(void *argument) {
  struct sqlite_sessions *sessions = argument;
  struct store_request *request = NULL;
  pthread_mutex_lock(&sessions->lock);
  enum work work = next_work(sessions, &request);
  while (work != WORK_END) {
    pthread_mutex_unlock(&sessions->lock);
    run_work(sessions, work, request);
    pthread_mutex_lock(&sessions->lock);
    work = next_work(sessions, &request);
  }
  finish_all(&sessions->line, &stopped);
  pthread_mutex_unlock(&sessions->lock);
  sqlite_writable_close(&sessions->writable);
  pthread_mutex_lock(&sessions->lock);
  sessions->ended = true;
  pthread_cond_signal(&sessions->ends);
  pthread_mutex_unlock(&sessions->lock);
  return NULL;
}

/* --- other threads --------------------------------------------------------------------------- */

static void sessions_free(struct sqlite_sessions *sessions) {
  pthread_cond_destroy(&sessions->ends);
  pthread_cond_destroy(&sessions->wakes);
  pthread_mutex_destroy(&sessions->lock);
  free(sessions->path);
  free(sessions);
}

static int open_database(struct sqlite_sessions *sessions, const struct sqlite_settings *settings,
                         struct err *err) {
  struct sqlite_settings own = *settings;
  struct err cause;
  own.path = sessions->path;
  own.stop = &sessions->stop_now;
  if (sqlite_writable_open(&sessions->writable, &own, err) != 0) return -1;
  if (sqlite_connection_control(sessions->writable.connection, own_tables, &cause) == SQLITE_OK)
    return 0;
  sqlite_writable_close(&sessions->writable);
  return err_set(err, "unavailable", "cannot use the database %s: %s", own.path, cause.message);
}

struct sqlite_sessions *sqlite_sessions_start(const struct sqlite_settings *settings,
                                              struct err *err) {
  struct sqlite_sessions *sessions = calloc(1, sizeof *sessions);
  char *path = strdup(settings->path);
  if (sessions == NULL || path == NULL) {
    err_set(err, "unavailable", "store: no memory");
    free(sessions);
    free(path);
    return NULL;
  }
  sessions->path = path;
  pthread_mutex_init(&sessions->lock, NULL);
  condition_init(&sessions->wakes);
  condition_init(&sessions->ends);
  if (open_database(sessions, settings, err) == 0) {
    int status = pthread_create(&sessions->thread, NULL, sessions_main, sessions);
    if (status == 0) return sessions;
    err_set(err, "unavailable", "store: cannot start a thread: %s", strerror(status));
    sqlite_writable_close(&sessions->writable);
  }
  sessions_free(sessions);
  return NULL;
}

static int join_session(struct store_session *session, struct store_request *request,
                        struct err *err) {
  if (session->ended) {
    *err = session->end;
    return -1;
  }
  if (session->steps.count >= STORE_SESSION_STEPS_MAX)
    return err_set(err, "overloaded", "more than %d statements of one transaction wait",
                   STORE_SESSION_STEPS_MAX);
  store_queue_push(&session->steps, request);
  return 0;
}

static int join_line(struct sqlite_sessions *sessions, struct store_request *request,
                     struct err *err) {
  if (sessions->line.count >= SQLITE_SESSIONS_LINE_MAX) {
    sessions->refused++;
    return err_set(err, "overloaded", "too many transactions wait for the project's database");
  }
  store_queue_push(&sessions->line, request);
  return 0;
}

int sqlite_sessions_submit(struct sqlite_sessions *sessions, struct store_request *request,
                           struct err *err) {
  int status;
  pthread_mutex_lock(&sessions->lock);
  if (sessions->stopping)
    status = err_set(err, stopped.code, "%s", stopped.message);
  else if (request->kind == STORE_STEP || request->kind == STORE_COMMIT)
    status = join_session(request->session, request, err);
  else
    status = join_line(sessions, request, err);
  pthread_cond_signal(&sessions->wakes);
  pthread_mutex_unlock(&sessions->lock);
  return status;
}

void sqlite_sessions_abandon(struct sqlite_sessions *sessions, struct store_session *session) {
  pthread_mutex_lock(&sessions->lock);
  atomic_store_explicit(&session->abandoned, true, memory_order_relaxed);
  pthread_cond_signal(&sessions->wakes);
  pthread_mutex_unlock(&sessions->lock);
}

void sqlite_sessions_read_stats(struct sqlite_sessions *sessions, struct store_stats *stats) {
  pthread_mutex_lock(&sessions->lock);
  stats->commits += sessions->commits;
  stats->failed_commits += sessions->failed_commits;
  stats->refused_requests += sessions->refused;
  stats->waiting_requests += sessions->line.count;
  memcpy(stats->last_error, sessions->last_error.message, sizeof stats->last_error);
  pthread_mutex_unlock(&sessions->lock);
}

/* Under the lock. */
static bool wait_for_end(struct sqlite_sessions *sessions) {
  uint64_t time_ns = now_ns() + HANG_NS;
  while (!sessions->ended && condition_wait_until(&sessions->ends, &sessions->lock, time_ns))
    continue;
  return sessions->ended;
}

int sqlite_sessions_stop(struct sqlite_sessions *sessions, struct err *err) {
  atomic_store_explicit(&sessions->stop_now, true, memory_order_relaxed);
  pthread_mutex_lock(&sessions->lock);
  sessions->stopping = true;
  pthread_cond_signal(&sessions->wakes);
  bool ended = wait_for_end(sessions);
  pthread_mutex_unlock(&sessions->lock);
  if (!ended) return err_set(err, "timeout", "the writer of the project's database hangs");
  pthread_join(sessions->thread, NULL);
  sessions_free(sessions);
  return 0;
}
