#include "io/store_request.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/store_session.h"

static bool has_bytes(const struct store_value *value) {
  return value->type == STORE_TEXT || value->type == STORE_BLOB;
}

/* Adds to a size that stops growing once it is over the ceiling, so that it cannot wrap. */
static void add_size(size_t *size, size_t more) {
  if (*size > STORE_REQUEST_BYTES_MAX) return;
  *size = more > STORE_REQUEST_BYTES_MAX ? STORE_REQUEST_BYTES_MAX + 1 : *size + more;
}

static size_t measure(const struct store_spec *spec) {
  size_t size = sizeof(struct store_request);
  add_size(&size, spec->statement_count * sizeof(struct store_result));
  add_size(&size, spec->statement_count * sizeof(struct store_statement));
  if (spec->space != NULL) add_size(&size, strlen(spec->space) + 1);
  for (size_t i = 0; i < spec->statement_count; i++) {
    const struct store_statement *statement = &spec->statements[i];
    if (!statement->is_lasting) add_size(&size, statement->sql_length);
    add_size(&size, statement->value_count * sizeof(struct store_value));
    for (size_t j = 0; j < statement->value_count; j++)
      if (has_bytes(&statement->values[j])) add_size(&size, statement->values[j].bytes.length);
  }
  return size;
}

static char *copy_bytes(char *to, const void *from, size_t length) {
  if (length > 0) memcpy(to, from, length);
  return to + length;
}

static char *copy_value_bytes(char *at, struct store_value *value) {
  if (!has_bytes(value)) return at;
  char *end = copy_bytes(at, value->bytes.data, value->bytes.length);
  value->bytes.data = at;
  return end;
}

static char *copy_statement(char *at, struct store_statement *statement) {
  char *end = at;
  if (!statement->is_lasting) {
    end = copy_bytes(at, statement->sql, statement->sql_length);
    statement->sql = at;
  }
  /* `values` points into this block by now, const only for its readers. */
  struct store_value *values = (struct store_value *)statement->values;
  for (size_t i = 0; i < statement->value_count; i++) end = copy_value_bytes(end, &values[i]);
  return end;
}

/* The block: request, results, statements, values, then bytes, so that all is aligned. */
static void lay_out(struct store_request *request, const struct store_spec *spec) {
  request->results = (struct store_result *)(request + 1);
  request->statements = (struct store_statement *)(request->results + spec->statement_count);
  char *at = (char *)(request->statements + spec->statement_count);
  for (size_t i = 0; i < spec->statement_count; i++) {
    store_result_init(&request->results[i]);
    struct store_statement *statement = &request->statements[i];
    *statement = spec->statements[i];
    struct store_value *values = (struct store_value *)at;
    at = copy_bytes(at, statement->values, statement->value_count * sizeof *values);
    statement->values = values;
  }
  for (size_t i = 0; i < spec->statement_count; i++)
    at = copy_statement(at, &request->statements[i]);
  if (spec->space == NULL) return;
  memcpy(at, spec->space, strlen(spec->space) + 1);
  request->space = at;
}

static uint64_t timeout_of(const struct store_spec *spec) {
  if (spec->timeout_ns != 0) return spec->timeout_ns;
  return spec->kind == STORE_MIGRATE ? STORE_MIGRATE_TIMEOUT_NS : STORE_TIMEOUT_NS;
}

struct store_request *store_request_new(const struct store_spec *spec, struct err *err) {
  if (spec->statement_count > STORE_STATEMENTS_MAX) {
    err_set(err, "too_large", "a transaction of %zu statements; at most %d", spec->statement_count,
            STORE_STATEMENTS_MAX);
    return NULL;
  }
  size_t size = measure(spec);
  if (size > STORE_REQUEST_BYTES_MAX) {
    err_set(err, "too_large", "the values of one store request exceed %zu MB",
            STORE_REQUEST_BYTES_MAX / (1024 * 1024));
    return NULL;
  }
  struct store_request *request = malloc(size);
  if (request == NULL) {
    err_set(err, "unavailable", "no memory for a store request of %zu bytes", size);
    return NULL;
  }
  /* Not the whole struct: zeroing the message of `err` would cost more than the rest. */
  memset(request, 0, offsetof(struct store_request, err));
  request->err.code = NULL;
  memset(&request->cancelled, 0, sizeof *request - offsetof(struct store_request, cancelled));
  request->kind = spec->kind;
  request->statement_count = spec->statement_count;
  request->size = size;
  request->max_rows = spec->max_rows;
  if (request->max_rows == 0 || request->max_rows > STORE_RESULT_ROWS_MAX)
    request->max_rows = STORE_RESULT_ROWS_MAX;
  /* Rows that nobody waits for do not grow late. */
  request->deadline_ns = UINT64_MAX;
  if (spec->kind != STORE_ENQUEUE)
    request->deadline_ns = clock_real_monotonic_ns() + timeout_of(spec);
  lay_out(request, spec);
  request->session = spec->session;
  if (request->session != NULL) store_session_retain(request->session);
  return request;
}

void store_request_reset(struct store_request *request) {
  for (size_t i = 0; i < request->statement_count; i++) store_result_deinit(&request->results[i]);
}

void store_request_free(struct store_request *request) {
  if (request == NULL) return;
  store_request_reset(request);
  store_session_release(request->session);
  free(request);
}

void store_request_finish(struct store_request *request) {
  if (request->on_finish == NULL)
    store_request_free(request);
  else
    request->on_finish(request);
}

bool store_request_is_late(const struct store_request *request, uint64_t now_ns) {
  return now_ns > request->deadline_ns;
}

void store_queue_push(struct store_queue *queue, struct store_request *request) {
  request->next = NULL;
  if (queue->last == NULL)
    queue->first = request;
  else
    queue->last->next = request;
  queue->last = request;
  queue->count++;
  queue->bytes += request->size;
}

void store_queue_append(struct store_queue *queue, struct store_queue *other) {
  if (other->first == NULL) return;
  if (queue->last == NULL)
    queue->first = other->first;
  else
    queue->last->next = other->first;
  queue->last = other->last;
  queue->count += other->count;
  queue->bytes += other->bytes;
  *other = (struct store_queue){0};
}

struct store_request *store_queue_pop(struct store_queue *queue) {
  struct store_request *request = queue->first;
  if (request == NULL) return NULL;
  queue->first = request->next;
  if (queue->first == NULL) queue->last = NULL;
  queue->count--;
  queue->bytes -= request->size;
  request->next = NULL;
  return request;
}
