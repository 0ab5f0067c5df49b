#include "http_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 20000
#define MIB (1024 * 1024)

static void on_wake(void *argument) {
  struct http_call *call = argument;
  call->woken++;
}

bool http_call_is_over(void *argument) {
  return ((struct http_call *)argument)->woken > 0;
}

void http_call_prepare(struct http_call *call, const char *method, const char *scheme,
                       const char *host, int port, const char *target) {
  memset(call, 0, sizeof *call);
  snprintf(call->url, sizeof call->url, "%s://%s:%d%s", scheme, host, port, target);
  call->request = (struct http_request){
      .method = method,
      .url = call->url,
      .url_length = strlen(call->url),
      .timeout_ms = PATIENCE_MS,
      .connect_timeout_ms = PATIENCE_MS,
      .response_max = 8 * MIB,
  };
}

void http_call_prepare_get(struct http_client_fixture *fixture, struct http_call *call,
                           const char *target) {
  http_call_prepare(call, "GET", "http", "127.0.0.1", upstream_port(fixture->upstream), target);
}

void http_call_start(struct http_client_fixture *fixture, struct http_call *call) {
  call->operation = http_client_start(fixture->client, &call->request, on_wake, call, &call->err);
}

void http_call_wait(struct http_client_fixture *fixture, struct http_call *call) {
  if (call->operation == NULL) fail_msg("not started: %s", call->err.message);
  if (!timer_loop_run_until(&fixture->timer_loop, http_call_is_over, call, PATIENCE_MS))
    fail_msg("no end: %s", call->url);
  assert_int_equal(call->woken, 1);
  assert_true(http_operation_is_done(call->operation));
}

void http_call_perform(struct http_client_fixture *fixture, struct http_call *call) {
  http_call_start(fixture, call);
  http_call_wait(fixture, call);
}

void http_call_finish(struct http_call *call) {
  http_operation_free(call->operation);
  call->operation = NULL;
}

void http_call_assert_answer(const struct http_call *call, int status, const char *body) {
  const struct err *err = http_operation_error(call->operation);
  if (err != NULL) fail_msg("%s: %s: %s", call->url, err->code, err->message);
  const struct buf *bytes = http_operation_body(call->operation);
  assert_int_equal(http_operation_response(call->operation)->status, status);
  assert_int_equal(bytes->length, strlen(body));
  if (bytes->length > 0) assert_memory_equal(bytes->data, body, bytes->length);
}

void http_call_assert_error(const struct http_call *call, const char *code) {
  const struct err *err = http_operation_error(call->operation);
  if (err == NULL) fail_msg("%s: no error", call->url);
  if (strcmp(err->code, code) != 0) fail_msg("%s: %s: %s", call->url, err->code, err->message);
}

void http_call_get_expecting(struct http_client_fixture *fixture, const char *target, int status,
                             const char *body) {
  struct http_call call;
  http_call_prepare_get(fixture, &call, target);
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, status, body);
  http_call_finish(&call);
}
