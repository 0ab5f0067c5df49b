#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "http_call.h"

static void assert_contains(const struct http_call *call, const char *text) {
  const struct buf *body = http_operation_body(call->operation);
  if (memmem(body->data, body->length, text, strlen(text)) == NULL)
    fail_msg("%s is not in %.*s", text, (int)body->length, body->data);
}

static void assert_lacks(const struct http_call *call, const char *text) {
  const struct buf *body = http_operation_body(call->operation);
  if (memmem(body->data, body->length, text, strlen(text)) != NULL)
    fail_msg("%s is in %.*s", text, (int)body->length, body->data);
}

static void a_request_is_sent_as_it_was_described(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_pair headers[] = {
      {"X-First", 7, "1", 1}, {"Empty", 5, "", 0}, {"X-First", 7, "2", 1}, {"Accept", 6, "a/b", 3}};
  static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET", "REPORT"};
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    struct http_call call;
    char line[64];
    http_call_prepare_get(fixture, &call, "/echo");
    call.request.method = methods[i];
    call.request.headers = headers;
    call.request.header_count = 4;
    call.request.body = "{\"a\":1}";
    call.request.body_length = 7;
    http_call_perform(fixture, &call);
    snprintf(line, sizeof line, "%s /echo HTTP/1.1\r\n", methods[i]);
    assert_contains(&call, line);
    assert_contains(&call, "X-First: 1\r\nEmpty:\r\nX-First: 2\r\nAccept: a/b\r\n");
    assert_contains(&call, "\r\nContent-Length: 7\r\n");
    assert_contains(&call, "\r\nAccept-Encoding: gzip, deflate\r\n");
    assert_contains(&call, "\r\n\r\n{\"a\":1}");
    assert_lacks(&call, "Content-Type");
    assert_lacks(&call, "Expect");
    assert_lacks(&call, "User-Agent");
    http_call_finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void a_request_without_a_body_says_so(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/echo");
  call.request.method = "POST";
  http_call_perform(fixture, &call);
  assert_contains(&call, "\r\nContent-Length: 0\r\n");
  http_call_finish(&call);
  http_call_prepare_get(fixture, &call, "/echo");
  call.request.method = "DELETE";
  http_call_perform(fixture, &call);
  assert_contains(&call, "DELETE /echo");
  assert_lacks(&call, "Content-Length");
  http_call_finish(&call);
}

static void a_body_of_a_megabyte_is_sent_without_asking_first(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  static char body[60000];
  memset(body, 'b', sizeof body);
  http_call_prepare_get(fixture, &call, "/echo");
  call.request.method = "POST";
  call.request.body = body;
  call.request.body_length = sizeof body;
  http_call_perform(fixture, &call);
  assert_contains(&call, "\r\nContent-Length: 60000\r\n");
  assert_lacks(&call, "Expect");
  assert_true(http_operation_body(call.operation)->length > sizeof body);
  http_call_finish(&call);
}

static void a_path_is_sent_as_it_is(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/a/../b/./c//d?x=../y&z=%20|'#part");
  http_call_perform(fixture, &call);
  http_call_finish(&call);
  http_call_prepare_get(fixture, &call, "/echo#a");
  http_call_perform(fixture, &call);
  assert_contains(&call, "GET /echo HTTP/1.1\r\n");
  assert_contains(&call, "\r\nHost: 127.0.0.1:");
  http_call_finish(&call);
}

static void what_is_not_fit_to_be_sent_is_refused_at_once(void **state) {
  struct http_client_fixture *fixture = *state;
  static const struct http_pair bad_headers[] = {
      {"X\r\nY", 4, "1", 1},
      {"X", 1, "1\r\nY: 2", 7},
      {"X", 1, "a\0b", 3},
      {"X Y", 3, "1", 1},
      {"", 0, "1", 1},
      {"X:", 2, "1", 1},
      {"X", 1, "\x01", 1},
      {"X", 1, "a\nb", 3},
      {"Content-Length", 14, "3", 1},
      {"transfer-encoding", 17, "chunked", 7},
  };
  static const char *const bad_methods[] = {
      "", "get", "GET /", "GET\r\n", "CONNECT", "-", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"};
  struct http_call call;
  for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
    http_call_prepare_get(fixture, &call, "/");
    call.request.headers = &bad_headers[i];
    call.request.header_count = 1;
    http_call_start(fixture, &call);
    assert_null(call.operation);
    assert_string_equal(call.err.code, "invalid_input");
  }
  for (size_t i = 0; i < sizeof bad_methods / sizeof bad_methods[0]; i++) {
    http_call_prepare_get(fixture, &call, "/");
    call.request.method = bad_methods[i];
    http_call_start(fixture, &call);
    assert_null(call.operation);
    assert_string_equal(call.err.code, "invalid_input");
  }
  http_call_prepare_get(fixture, &call, "/a\r\nX: y");
  http_call_start(fixture, &call);
  assert_null(call.operation);
  assert_int_equal(http_client_in_flight(fixture->client), 0);
  assert_int_equal(upstream_requests(fixture->upstream), 0);
}

#define PLAIN(name) \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up, http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      PLAIN(a_request_is_sent_as_it_was_described),
      PLAIN(a_request_without_a_body_says_so),
      PLAIN(a_body_of_a_megabyte_is_sent_without_asking_first),
      PLAIN(a_path_is_sent_as_it_is),
      PLAIN(what_is_not_fit_to_be_sent_is_refused_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
