#include "io/store_project.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/sqlite_reader.h"
#include "io/sqlite_sessions.h"

#define READERS_DEFAULT 2
#define LOCK_WAIT_MS_DEFAULT 5000
/* Requests carry a limit of their own. */
#define STATEMENT_NS (UINT64_C(3600) * 1000 * 1000 * 1000)

struct store_project {
  struct sqlite_sessions *sessions;
  struct sqlite_readers *readers;
};

static int to_sessions(void *sessions, struct store_request *request, struct err *err) {
  return sqlite_sessions_submit(sessions, request, err);
}

static int start_threads(struct store_project *project, const char *path,
                         const struct store_options *options, struct err *err) {
  struct sqlite_settings settings = {
      .path = path,
      .fence = SQLITE_FENCE_PROJECT,
      .lock_wait_ms = options->lock_wait_ms ? options->lock_wait_ms : LOCK_WAIT_MS_DEFAULT,
      .statement_ns = STATEMENT_NS,
      .page_limit = options->page_limit,
  };
  project->sessions = sqlite_sessions_start(&settings, err);
  if (project->sessions == NULL) return -1;
  struct sqlite_forward forward = {.submit = to_sessions, .context = project->sessions};
  unsigned readers = options->readers ? options->readers : READERS_DEFAULT;
  if (readers > STORE_READERS_MAX) readers = STORE_READERS_MAX;
  project->readers = sqlite_readers_start(&settings, readers, forward, err);
  if (project->readers != NULL) return 0;
  sqlite_sessions_stop(project->sessions, NULL);
  return -1;
}

static void *project_open(const char *location, const struct store_options *options,
                          struct err *err) {
  struct store_project *project = calloc(1, sizeof *project);
  if (project == NULL) {
    err_set(err, "unavailable", "store: no memory");
    return NULL;
  }
  if (start_threads(project, location, options, err) == 0) return project;
  free(project);
  return NULL;
}

static bool begins_with(const struct store_statement *statement, const char *word) {
  size_t length = strlen(word);
  return statement->sql_length > length && strncasecmp(statement->sql, word, length) == 0;
}

/* What plainly writes goes its way at once; of the rest a reader finds out (WITH … INSERT). */
static bool plainly_writes(const struct store_request *request) {
  static const char *const words[] = {"INSERT", "UPDATE", "DELETE", "REPLACE"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (begins_with(&request->statements[0], words[i])) return true;
  return false;
}

static int project_submit(void *driver, struct store_request *request, struct err *err) {
  struct store_project *project = driver;
  if (request->kind == STORE_QUERY && !plainly_writes(request))
    return sqlite_readers_submit(project->readers, request, err);
  return sqlite_sessions_submit(project->sessions, request, err);
}

static void project_abandon(void *driver, struct store_session *session) {
  struct store_project *project = driver;
  sqlite_sessions_abandon(project->sessions, session);
}

static void project_read_stats(void *driver, struct store_stats *stats) {
  struct store_project *project = driver;
  sqlite_sessions_read_stats(project->sessions, stats);
  sqlite_readers_read_stats(project->readers, stats);
}

/* Nothing is queued that nobody waits for: there is no use in the deadline. */
static int project_close(void *driver, uint64_t deadline_ns, struct err *err) {
  struct store_project *project = driver;
  (void)deadline_ns;
  /* A reader that hangs may yet hand something to the sessions. */
  if (sqlite_readers_stop(project->readers, err) != 0) return -1;
  int status = sqlite_sessions_stop(project->sessions, err);
  free(project);
  return status;
}

const struct store_driver store_project_driver = {
    .scheme = "project",
    .open = project_open,
    .submit = project_submit,
    .abandon = project_abandon,
    .read_stats = project_read_stats,
    .close = project_close,
};
