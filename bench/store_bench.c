/* Durable inserts: 64 logical clients, each with one request in flight, answered after the
 * commit. Prints one JSON line per case: rows per second, rows per commit, CPU per row.
 *
 *     store_bench [-s SECONDS] [-c CLIENTS] [-d FOLDER] [-m MIGRATION] [CASE...]
 *
 * Cases: webhook (one row of 1 KB), pair (that and a row of the call log, in one transaction),
 * log (rows of the call log that nobody waits for), copy (what a request costs without a
 * store). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "io/store_client.h"

#define CLIENTS_MAX 1024
#define BODY_LENGTH 1024
#define VALUES_MAX 32
#define ID_LENGTH 36

struct bench;

struct caller {
  struct bench *bench;
  struct store_request *request; /* NULL: idle */
};

struct row {
  struct store_value values[VALUES_MAX];
  char id[ID_LENGTH + 1];
  char trace_id[33];
};

struct bench {
  double seconds;
  int clients;
  const char *folder;
  const char *migration;
  char body[BODY_LENGTH];
  uv_loop_t loop;
  struct store *store;
  struct store_client *client;
  struct caller callers[CLIENTS_MAX];
  uint64_t end_ns;
  uint64_t serial;
  uint64_t done;
  uint64_t failed;
  int statements; /* of one request */
};

static const char webhook_sql[] =
    "INSERT INTO webhook_events (id, created_at, integration_name, source, event_type, event_id, "
    "headers, payload, body, content_type, signature, signature_verified, trace_id, status, "
    "next_attempt_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

static const char log_sql[] =
    "INSERT INTO integration_call_logs (id, created_at, integration_name, integration_type, "
    "operation, caller, request_method, request_url, request_headers, request_body, "
    "response_status, response_headers, response_body, duration_ms, is_success, error_message, "
    "error_type, user_id, trace_id, retry_count, is_from_cache, is_mock, is_stale, is_fallback, "
    "provider_version, attempts, circuit_breaker_state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, "
    "$9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)";

static const char time_text[] = "2026-01-02T03:04:05.678Z";
static const char headers_json[] =
    "{\"content-type\":\"application/json\",\"user-agent\":\"acme/1.0\",\"accept\":\"*/*\"}";
static const char attempts_json[] =
    "[{\"start\":\"2026-01-02T03:04:05.600Z\",\"requests\":[{\"method\":\"POST\",\"status\":200,"
    "\"duration_ms\":41}]}]";

static struct store_value text_of(const char *data, size_t length) {
  return (struct store_value){.type = STORE_TEXT, .bytes = {data, length}};
}

static struct store_value text(const char *string) {
  return text_of(string, strlen(string));
}

static struct store_value integer(int64_t number) {
  return (struct store_value){.type = STORE_INTEGER, .integer = number};
}

/* Ids and trace ids that begin with the time, like those of the framework. */
static void make_ids(struct bench *bench, struct row *row) {
  uint64_t time = (uint64_t)clock_real_wall_ms();
  uint64_t noise = (uint64_t)random() << 20 ^ (uint64_t)random();
  bench->serial++;
  snprintf(row->id, sizeof row->id, "%08x-%04x-7%03x-8%03x-%012llx", (unsigned)(time >> 16),
           (unsigned)(time & 0xffff), (unsigned)(bench->serial & 0xfff), (unsigned)(noise & 0xfff),
           (unsigned long long)(noise & 0xffffffffffff));
  snprintf(row->trace_id, sizeof row->trace_id, "%012llx%020llx", (unsigned long long)time,
           (unsigned long long)noise);
}

static struct store_statement webhook_row(struct bench *bench, struct row *row) {
  make_ids(bench, row);
  const struct store_value values[] = {
      text_of(row->id, ID_LENGTH),
      text(time_text),
      text("acme"),
      text("default"),
      text("parcel.delivered"),
      text_of(row->id, ID_LENGTH),
      text(headers_json),
      {.type = STORE_NULL},
      {.type = STORE_BLOB, .bytes = {bench->body, BODY_LENGTH}},
      text("application/json"),
      text("sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
      {.type = STORE_BOOLEAN, .integer = 1},
      text(row->trace_id),
      text("pending"),
      text(time_text),
  };
  memcpy(row->values, values, sizeof values);
  return (struct store_statement){webhook_sql, sizeof webhook_sql - 1, row->values,
                                  sizeof values / sizeof values[0]};
}

static struct store_statement log_row(struct bench *bench, struct row *row) {
  make_ids(bench, row);
  const struct store_value null = {.type = STORE_NULL};
  const struct store_value no = {.type = STORE_BOOLEAN, .integer = 0};
  const struct store_value yes = {.type = STORE_BOOLEAN, .integer = 1};
  const struct store_value values[] = {
      text_of(row->id, ID_LENGTH),
      text(time_text),
      text("acme"),
      text("api"),
      text("track"),
      text("token:app"),
      text("POST"),
      text("https://api.acme.example/v2/parcels/123456789012"),
      text(headers_json),
      text("{\"parcel\":\"123456789012\"}"),
      integer(200),
      text(headers_json),
      text("{\"parcel\":\"123456789012\",\"state\":\"in_transit\"}"),
      integer(41),
      yes,
      null,
      null,
      null,
      text(row->trace_id),
      integer(0),
      no,
      no,
      no,
      no,
      text("3f786850e387"),
      text(attempts_json),
      text("closed"),
  };
  memcpy(row->values, values, sizeof values);
  return (struct store_statement){log_sql, sizeof log_sql - 1, row->values,
                                  sizeof values / sizeof values[0]};
}

/* Those who wait look for themselves after each turn of the loop. */
static void on_wake(void *argument) {
  (void)argument;
}

static void start(struct caller *caller) {
  struct bench *bench = caller->bench;
  struct row rows[2];
  struct store_statement statements[2];
  statements[0] = webhook_row(bench, &rows[0]);
  if (bench->statements == 2) statements[1] = log_row(bench, &rows[1]);
  struct store_spec spec = {.kind = STORE_EXECUTE,
                            .statements = statements,
                            .statement_count = (size_t)bench->statements};
  caller->request = store_client_start(bench->client, &spec, on_wake, NULL, NULL);
  if (caller->request == NULL) bench->failed++;
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what) {
  fprintf(stderr, "store_bench: %s\n", what);
  exit(1);
}

static void migrate(struct bench *bench) {
  FILE *file = fopen(bench->migration, "r");
  if (file == NULL) fail("cannot read the migration (-m FILE)");
  char *sql = malloc(1 << 20);
  size_t length = fread(sql, 1, 1 << 20, file);
  fclose(file);
  const struct store_value values[] = {integer(1), text("tables")};
  struct store_statement statement = {sql, length, values, 2};
  struct store_spec spec = {
      .kind = STORE_MIGRATE, .statements = &statement, .statement_count = 1, .space = "tidegate"};
  struct store_request *request = store_client_start(bench->client, &spec, on_wake, NULL, NULL);
  while (!store_request_is_done(request)) uv_run(&bench->loop, UV_RUN_ONCE);
  if (store_request_error(request) != NULL) fail(store_request_error(request)->message);
  store_request_release(request);
  free(sql);
}

static void remove_database(const char *path) {
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char name[512];
    snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
    unlink(name);
  }
}

static void wait_for_rows(struct bench *bench) {
  struct store_spec spec = {.kind = STORE_FLUSH, .timeout_ns = UINT64_C(60000000000)};
  struct store_request *request = store_client_start(bench->client, &spec, on_wake, NULL, NULL);
  while (!store_request_is_done(request)) uv_run(&bench->loop, UV_RUN_ONCE);
  store_request_release(request);
}

/* As fast as the store takes them, with at most as many waiting as a busy second brings. */
static void run_log(struct bench *bench) {
  struct store_stats stats;
  struct row row;
  while (clock_real_monotonic_ns() < bench->end_ns) {
    store_read_stats(bench->store, &stats);
    if (stats.queued_rows > 8192) {
      usleep(1000);
      continue;
    }
    for (int i = 0; i < 256; i++) {
      struct store_statement statement = log_row(bench, &row);
      if (store_enqueue(bench->store, &statement, NULL) == 0) bench->done++;
    }
  }
  wait_for_rows(bench);
}

static void run_copy(struct bench *bench) {
  struct row rows[2];
  while (clock_real_monotonic_ns() < bench->end_ns) {
    struct store_statement statements[] = {webhook_row(bench, &rows[0]), log_row(bench, &rows[1])};
    struct store_spec spec = {
        .kind = STORE_EXECUTE, .statements = statements, .statement_count = 2};
    store_request_free(store_request_new(&spec, NULL));
    bench->done++;
  }
}

static void take_answer(struct caller *caller) {
  struct bench *bench = caller->bench;
  if (caller->request == NULL || !store_request_is_done(caller->request)) return;
  if (store_request_error(caller->request) != NULL) bench->failed++;
  store_request_release(caller->request);
  caller->request = NULL;
  bench->done++;
  if (clock_real_monotonic_ns() < bench->end_ns) start(caller);
}

static void run_callers(struct bench *bench) {
  for (int i = 0; i < bench->clients; i++) {
    bench->callers[i].bench = bench;
    start(&bench->callers[i]);
  }
  while (store_client_pending(bench->client) > 0) {
    uv_run(&bench->loop, UV_RUN_ONCE);
    for (int i = 0; i < bench->clients; i++) take_answer(&bench->callers[i]);
  }
}

static void run_case(struct bench *bench, const char *name) {
  bench->statements = strcmp(name, "pair") == 0 ? 2 : 1;
  bench->done = 0;
  bench->failed = 0;
  struct store_stats before;
  struct store_stats after;
  store_read_stats(bench->store, &before);
  double cpu = cpu_seconds();
  uint64_t begin = clock_real_monotonic_ns();
  bench->end_ns = begin + (uint64_t)(bench->seconds * 1e9);
  if (strcmp(name, "log") == 0)
    run_log(bench);
  else if (strcmp(name, "copy") == 0)
    run_copy(bench);
  else
    run_callers(bench);
  double elapsed = (double)(clock_real_monotonic_ns() - begin) / 1e9;
  cpu = cpu_seconds() - cpu;
  store_read_stats(bench->store, &after);
  double rows = (double)bench->done * bench->statements;
  double commits = (double)(after.commits - before.commits);
  printf("{\"case\":\"%s\",\"clients\":%d,\"requests_per_second\":%.0f,\"rows_per_second\":%.0f,"
         "\"cpu_us_per_request\":%.2f,\"cpu_us_per_row\":%.2f,\"rows_per_commit\":%.1f,"
         "\"commit_ms\":%.2f,\"failed\":%llu}\n",
         name, bench->clients, (double)bench->done / elapsed, rows / elapsed,
         cpu * 1e6 / (double)bench->done, cpu * 1e6 / rows, commits > 0 ? rows / commits : 0.0,
         commits > 0 ? (double)(after.commit_ns - before.commit_ns) / 1e6 / commits : 0.0,
         (unsigned long long)bench->failed);
  fflush(stdout);
}

static void run_with_store(struct bench *bench, const char *name) {
  char path[400];
  char url[512];
  struct err err;
  snprintf(path, sizeof path, "%s/store_bench_%d.db", bench->folder, (int)getpid());
  snprintf(url, sizeof url, "sqlite:%s", path);
  bench->store = store_open(url, NULL, &err);
  if (bench->store == NULL) fail(err.message);
  uv_loop_init(&bench->loop);
  bench->client = store_client_new(bench->store, &bench->loop, &err);
  if (bench->client == NULL) fail(err.message);
  migrate(bench);
  run_case(bench, name);
  store_client_close(bench->client);
  uv_run(&bench->loop, UV_RUN_DEFAULT);
  uv_loop_close(&bench->loop);
  store_close(bench->store, clock_real_monotonic_ns() + UINT64_C(10000000000), NULL);
  remove_database(path);
}

int main(int argc, char **argv) {
  static struct bench bench = {.seconds = 3,
                               .clients = 64,
                               .folder = "/var/tmp",
                               .migration = "scripts/migrations/001_tables.sqlite.sql"};
  int option = getopt(argc, argv, "s:c:d:m:");
  while (option != -1) {
    if (option == 's') bench.seconds = strtod(optarg, NULL);
    if (option == 'c') bench.clients = (int)strtol(optarg, NULL, 10);
    if (option == 'd') bench.folder = optarg;
    if (option == 'm') bench.migration = optarg;
    if (option == '?') return 2;
    option = getopt(argc, argv, "s:c:d:m:");
  }
  if (bench.clients < 1 || bench.clients > CLIENTS_MAX) fail("-c takes 1 to 1024");
  memset(bench.body, 'x', sizeof bench.body);
  static char *const all[] = {"webhook", "pair", "log", "copy"};
  char *const *names = argc > optind ? argv + optind : all;
  int count = argc > optind ? argc - optind : 4;
  for (int i = 0; i < count; i++) run_with_store(&bench, names[i]);
  return 0;
}
