#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "http_call.h"
#include "http_client_script.h"
#include "upstream_http2.h"

static int set_up(void **state) {
  http_client_fixture_set_up_tls(state);
  struct http_client_fixture *fixture = *state;
  fixture->upstream =
      upstream_start(&(struct upstream_options){.answer = http_client_script_answer,
                                                .certificate = fixture->certificates.valid,
                                                .protocol = UPSTREAM_HTTP2_PROTOCOL,
                                                .serve = upstream_http2_serve});
  return 0;
}

static void prepare(struct http_client_fixture *fixture, struct http_call *call, const char *method,
                    const char *body) {
  http_call_prepare(call, method, "https", "localhost", upstream_port(fixture->upstream), "/");
  call->request.http2 = true;
  call->request.body = body;
  call->request.body_length = body != NULL ? strlen(body) : 0;
}

static void assert_answers(struct http_client_fixture *fixture, const char *method,
                           const char *body, const char *answer) {
  struct http_call call;
  prepare(fixture, &call, method, body);
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, answer);
  http_call_finish(&call);
}

static void requests_share_a_connection_one_after_the_other(void **state) {
  struct http_client_fixture *fixture = *state;
  assert_answers(fixture, "GET", NULL, "stream 1, 0 bytes");
  assert_answers(fixture, "POST", "twelve bytes", "stream 3, 12 bytes");
  assert_answers(fixture, "GET", NULL, "stream 5, 0 bytes");
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void requests_share_a_connection_at_the_same_time(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call calls[8], waiting;
  assert_answers(fixture, "GET", NULL, "stream 1, 0 bytes");
  prepare(fixture, &waiting, "POST", "wait");
  http_call_start(fixture, &waiting);
  for (int i = 0; i < 8; i++) {
    prepare(fixture, &calls[i], "GET", NULL);
    http_call_start(fixture, &calls[i]);
  }
  for (int i = 0; i < 8; i++) {
    http_call_wait(fixture, &calls[i]);
    assert_null(http_operation_error(calls[i].operation));
    http_call_finish(&calls[i]);
  }
  assert_int_equal(waiting.woken, 0);
  http_call_finish(&waiting);
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void a_request_that_is_given_up_leaves_the_others_alone(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call late;
  assert_answers(fixture, "GET", NULL, "stream 1, 0 bytes");
  prepare(fixture, &late, "POST", "wait");
  late.request.timeout_ms = 200;
  http_call_perform(fixture, &late);
  http_call_assert_error(&late, "timeout");
  http_call_finish(&late);
  struct http_call next;
  prepare(fixture, &next, "GET", NULL);
  http_call_perform(fixture, &next);
  assert_null(http_operation_error(next.operation));
  http_call_finish(&next);
}

static void a_body_larger_than_the_window_arrives(void **state) {
  struct http_client_fixture *fixture = *state;
  static char body[200001];
  memset(body, 'b', sizeof body - 1);
  assert_answers(fixture, "POST", body, "stream 1, 200000 bytes");
}

static void assert_fails(struct http_client_fixture *fixture, const char *body, const char *code) {
  struct http_call call;
  prepare(fixture, &call, "POST", body);
  call.request.fresh_connection = true;
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, code);
  assert_true(http_operation_sent(call.operation));
  http_call_finish(&call);
}

static void a_stream_that_is_broken_off_is_an_error_of_its_own(void **state) {
  struct http_client_fixture *fixture = *state;
  assert_fails(fixture, "reset", "malformed_response");
  assert_fails(fixture, "leave", "network_error");
  assert_int_equal(upstream_connections(fixture->upstream), 2);
}

static void http_1_1_is_spoken_unless_both_sides_want_more(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  prepare(fixture, &call, "GET", NULL);
  call.request.http2 = false;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
  upstream_stop(fixture->upstream);
  fixture->upstream = upstream_start(&(struct upstream_options){
      .answer = http_client_script_answer, .certificate = fixture->certificates.valid});
  assert_answers(fixture, "GET", NULL, "ok");
}

#define HTTP2(name) cmocka_unit_test_setup_teardown(name, set_up, http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      HTTP2(requests_share_a_connection_one_after_the_other),
      HTTP2(requests_share_a_connection_at_the_same_time),
      HTTP2(a_request_that_is_given_up_leaves_the_others_alone),
      HTTP2(a_body_larger_than_the_window_arrives),
      HTTP2(a_stream_that_is_broken_off_is_an_error_of_its_own),
      HTTP2(http_1_1_is_spoken_unless_both_sides_want_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
