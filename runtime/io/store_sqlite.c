#include "io/store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "io/sqlite_checkpointer.h"
#include "io/sqlite_reader.h"
#include "io/sqlite_writer.h"

#define READERS_DEFAULT 2
#define LOCK_WAIT_MS_DEFAULT 5000

struct store_sqlite {
  struct sqlite_writer *writer;
  struct sqlite_checkpointer *checkpointer; /* NULL while the writer starts */
  struct sqlite_readers *readers;
};

static unsigned readers_of(const struct store_options *options) {
  if (options->readers == 0) return READERS_DEFAULT;
  return options->readers < STORE_READERS_MAX ? options->readers : STORE_READERS_MAX;
}

/* The writer's thread, after a commit. What is left of a log that is too long is moved at once, so
 * that the next commit can begin it anew. */
static void on_log(void *context, sqlite3 *db, int pages) {
  struct store_sqlite *store = context;
  if (store->checkpointer != NULL) sqlite_checkpointer_note(store->checkpointer, pages);
  if (pages >= SQLITE_LOG_PAGES_MAX)
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int start_threads(struct store_sqlite *store, const char *path,
                         const struct store_options *options, struct err *err) {
  struct sqlite_settings settings = {
      .path = path,
      .lock_wait_ms = options->lock_wait_ms ? options->lock_wait_ms : LOCK_WAIT_MS_DEFAULT,
      .page_limit = options->page_limit,
      .on_log = on_log,
      .on_log_context = store,
  };
  store->writer = sqlite_writer_start(&settings, err);
  if (store->writer == NULL) return -1;
  store->readers =
      sqlite_readers_start(&settings, readers_of(options), (struct sqlite_forward){0}, err);
  if (store->readers != NULL) store->checkpointer = sqlite_checkpointer_start(&settings, err);
  if (store->checkpointer != NULL) return 0;
  if (store->readers != NULL) sqlite_readers_stop(store->readers, NULL);
  sqlite_writer_stop(store->writer, 0, NULL);
  return -1;
}

/* SQLite takes "" and ":memory:" for databases that no second connection sees, and with
 * some builds "file:" for more options. */
static int check_path(const char *path, struct err *err) {
  if (path[0] != '\0' && path[0] != ':' && strncmp(path, "file:", 5) != 0) return 0;
  return err_set(err, "unavailable", "store: \"sqlite:%s\" names no file; write sqlite:PATH", path);
}

static void *sqlite_open(const char *location, const struct store_options *options,
                         struct err *err) {
  if (check_path(location, err) != 0) return NULL;
  struct store_sqlite *store = calloc(1, sizeof *store);
  if (store == NULL) {
    err_set(err, "unavailable", "store: no memory");
    return NULL;
  }
  if (start_threads(store, location, options, err) == 0) return store;
  free(store);
  return NULL;
}

static int sqlite_submit(void *driver, struct store_request *request, struct err *err) {
  struct store_sqlite *store = driver;
  if (request->session != NULL)
    return err_set(err, "sql", "the framework's store has no transactions of scripts");
  if (request->kind == STORE_QUERY) return sqlite_readers_submit(store->readers, request, err);
  return sqlite_writer_submit(store->writer, request, err);
}

static void sqlite_read_stats(void *driver, struct store_stats *stats) {
  struct store_sqlite *store = driver;
  sqlite_writer_read_stats(store->writer, stats);
  sqlite_readers_read_stats(store->readers, stats);
}

static int sqlite_close(void *driver, uint64_t deadline_ns, struct err *err) {
  struct store_sqlite *store = driver;
  /* The writer last: the last connection to close puts the log into the file. */
  int others = sqlite_readers_stop(store->readers, err);
  if (sqlite_checkpointer_stop(store->checkpointer, err) != 0) others = -1;
  int writer = sqlite_writer_stop(store->writer, deadline_ns, err);
  /* A thread that hangs may look at it yet. */
  if (others == 0 && writer != SQLITE_WRITER_HANGS) {
    sqlite_checkpointer_free(store->checkpointer);
    free(store);
  }
  return others != 0 || writer != 0 ? -1 : 0;
}

const struct store_driver store_sqlite_driver = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .submit = sqlite_submit,
    .read_stats = sqlite_read_stats,
    .close = sqlite_close,
};
