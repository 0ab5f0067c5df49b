/* A store in a folder of its own, one loop and one client, for the specs of the store. */
#ifndef TIDEGATE_SPEC_STORE_FIXTURE_H
#define TIDEGATE_SPEC_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/store_client.h"

#define SECOND_NS UINT64_C(1000000000)

struct fixture {
  const char *scheme; /* of the store's URL; NULL: "sqlite" */
  char folder[64];
  char path[96];
  uv_loop_t loop;
  struct store *store;
  struct store_client *client;
};

static inline struct store_value integer(int64_t number) {
  return (struct store_value){.type = STORE_INTEGER, .integer = number};
}

static inline struct store_value text(const char *string) {
  return (struct store_value){.type = STORE_TEXT, .bytes = {string, strlen(string)}};
}

static inline struct store_value text_of(const char *data, size_t length) {
  return (struct store_value){.type = STORE_TEXT, .bytes = {data, length}};
}

static inline void on_wake(void *argument) {
  if (argument != NULL) ++*(int *)argument;
}

static inline void fixture_folder(struct fixture *fixture) {
  snprintf(fixture->folder, sizeof fixture->folder, "/tmp/store_test_XXXXXX");
  assert_non_null(mkdtemp(fixture->folder));
  snprintf(fixture->path, sizeof fixture->path, "%s/test.db", fixture->folder);
}

static inline struct store *fixture_try_open(struct fixture *fixture,
                                             const struct store_options *options, struct err *err) {
  char url[128];
  snprintf(url, sizeof url, "%s:%s", fixture->scheme ? fixture->scheme : "sqlite", fixture->path);
  return store_open(url, options, err);
}

static inline void fixture_open(struct fixture *fixture, const struct store_options *options) {
  struct err err = {0};
  fixture->store = fixture_try_open(fixture, options, &err);
  if (fixture->store == NULL) fail_msg("%s", err.message);
  assert_int_equal(uv_loop_init(&fixture->loop), 0);
  fixture->client = store_client_new(fixture->store, &fixture->loop, &err);
  assert_non_null(fixture->client);
}

static inline int fixture_close(struct fixture *fixture) {
  store_client_close(fixture->client);
  uv_run(&fixture->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&fixture->loop), 0);
  int status = store_close(fixture->store, clock_real_monotonic_ns() + 10 * SECOND_NS, NULL);
  fixture->store = NULL;
  return status;
}

static inline void fixture_remove(struct fixture *fixture) {
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s%s", fixture->path, suffixes[i]);
    unlink(path);
  }
  assert_int_equal(rmdir(fixture->folder), 0);
}

static inline struct store_request *start_spec(struct fixture *fixture,
                                               const struct store_spec *spec, int *wakes) {
  struct err err = {0};
  struct store_request *request = store_client_start(fixture->client, spec, on_wake, wakes, &err);
  if (request == NULL) fail_msg("%s", err.message);
  return request;
}

static inline struct store_request *start(struct fixture *fixture, enum store_kind kind,
                                          const char *sql, const struct store_value *values,
                                          size_t count) {
  struct store_statement statement = {sql, strlen(sql), values, count, false};
  struct store_spec spec = {.kind = kind, .statements = &statement, .statement_count = 1};
  return start_spec(fixture, &spec, NULL);
}

static inline void wait_for(struct fixture *fixture, const struct store_request *request) {
  while (!store_request_is_done(request)) uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* Ends the request; its code, NULL when it worked. */
static inline const char *finish(struct fixture *fixture, struct store_request *request) {
  wait_for(fixture, request);
  const struct err *err = store_request_error(request);
  const char *code = err ? err->code : NULL;
  store_request_release(request);
  return code;
}

static inline const char *run_with(struct fixture *fixture, const char *sql,
                                   const struct store_value *values, size_t count) {
  return finish(fixture, start(fixture, STORE_EXECUTE, sql, values, count));
}

static inline const char *run(struct fixture *fixture, const char *sql) {
  return run_with(fixture, sql, NULL, 0);
}

static inline void must_run(struct fixture *fixture, const char *sql) {
  struct store_request *request = start(fixture, STORE_EXECUTE, sql, NULL, 0);
  wait_for(fixture, request);
  if (store_request_error(request) != NULL)
    fail_msg("%s: %s", sql, store_request_error(request)->message);
  store_request_release(request);
}

/* The first column of the first row, which is an integer. */
static inline int64_t query_integer(struct fixture *fixture, const char *sql) {
  struct store_request *request = start(fixture, STORE_QUERY, sql, NULL, 0);
  struct store_cursor cursor;
  struct store_value value;
  wait_for(fixture, request);
  if (store_request_error(request) != NULL)
    fail_msg("%s: %s", sql, store_request_error(request)->message);
  store_cursor_init(&cursor, store_request_result(request, 0));
  const struct store_result *result = store_request_result(request, 0);
  for (size_t i = 0; i < result->column_count; i++) assert_true(store_cursor_next(&cursor, &value));
  assert_true(store_cursor_next(&cursor, &value));
  assert_int_equal(value.type, STORE_INTEGER);
  store_request_release(request);
  return value.integer;
}

static inline const char *flush(struct fixture *fixture, uint64_t timeout_ns) {
  struct store_spec spec = {.kind = STORE_FLUSH, .timeout_ns = timeout_ns};
  return finish(fixture, start_spec(fixture, &spec, NULL));
}

static inline int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  fixture_folder(fixture);
  fixture_open(fixture, NULL);
  *state = fixture;
  return 0;
}

static inline int teardown(void **state) {
  struct fixture *fixture = *state;
  if (fixture->store != NULL) fixture_close(fixture);
  fixture_remove(fixture);
  free(fixture);
  return 0;
}

#endif
