#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "http_call.h"
#include "http_client_script.h"

static void serve_tls(struct http_client_fixture *fixture, const char *certificate,
                      const char *client_ca) {
  upstream_stop(fixture->upstream);
  fixture->upstream = upstream_start(&(struct upstream_options){
      .answer = http_client_script_answer, .certificate = certificate, .client_ca = client_ca});
}

static void prepare_tls(struct http_client_fixture *fixture, struct http_call *call,
                        const char *host) {
  http_call_prepare(call, "GET", "https", host, upstream_port(fixture->upstream), "/");
}

static void a_certificate_that_is_good_is_taken(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const hosts[] = {"localhost", "127.0.0.1"};
  serve_tls(fixture, fixture->certificates.valid, NULL);
  for (size_t i = 0; i < 2; i++) {
    struct http_call call;
    prepare_tls(fixture, &call, hosts[i]);
    http_call_perform(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    assert_true(http_operation_timings(call.operation)->tls > 0);
    http_call_finish(&call);
  }
}

static void assert_not_trusted(struct http_client_fixture *fixture, const char *certificate,
                               const char *because) {
  struct http_call call;
  serve_tls(fixture, certificate, NULL);
  prepare_tls(fixture, &call, "localhost");
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  const char *message = http_operation_error(call.operation)->message;
  if (strstr(message, because) == NULL) fail_msg("%s", message);
  http_call_finish(&call);
  assert_int_equal(upstream_requests(fixture->upstream), 0);
}

static void a_certificate_that_is_not_good_is_refused_with_its_reason(void **state) {
  struct http_client_fixture *fixture = *state;
  assert_not_trusted(fixture, fixture->certificates.expired, "expired");
  assert_not_trusted(fixture, fixture->certificates.self_signed, "self");
  assert_not_trusted(fixture, fixture->certificates.wrong_host, "subject name");
}

static void the_system_does_not_trust_what_the_option_does(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  http_client_free(fixture->client);
  http_client_fixture_open(fixture, &(struct http_client_options){.ca = NULL});
  prepare_tls(fixture, &call, "localhost");
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  http_call_finish(&call);
  prepare_tls(fixture, &call, "localhost");
  call.request.ca = fixture->certificates.authority;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
  /* The handle is used again, without what this request brought. */
  prepare_tls(fixture, &call, "localhost");
  call.request.fresh_connection = true;
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  http_call_finish(&call);
}

static void a_client_certificate_is_shown_to_those_who_ask(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  serve_tls(fixture, fixture->certificates.valid, fixture->certificates.authority);
  prepare_tls(fixture, &call, "localhost");
  call.request.certificate = fixture->certificates.client;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
  prepare_tls(fixture, &call, "localhost");
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  http_call_finish(&call);
  prepare_tls(fixture, &call, "localhost");
  call.request.certificate = "/nonexistent.pem";
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  http_call_finish(&call);
}

static void a_tls_session_is_resumed(void **state) {
  struct http_client_fixture *fixture = *state;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  for (int i = 0; i < 3; i++) {
    struct http_call call;
    prepare_tls(fixture, &call, "localhost");
    call.request.fresh_connection = true;
    http_call_perform(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    http_call_finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 3);
  assert_int_equal(upstream_resumed(fixture->upstream), 2);
}

static void a_tls_connection_is_kept_and_used_again(void **state) {
  struct http_client_fixture *fixture = *state;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  struct http_call never = {.woken = 0};
  for (int i = 0; i < 10; i++) {
    struct http_call call;
    prepare_tls(fixture, &call, "localhost");
    http_call_perform(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    http_call_finish(&call);
    timer_loop_run_until(&fixture->timer_loop, http_call_is_over, &never, 5);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void tls_to_a_server_that_speaks_plain_text_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  fixture->upstream =
      upstream_start(&(struct upstream_options){.answer = http_client_script_answer});
  prepare_tls(fixture, &call, "localhost");
  call.request.timeout_ms = 1000;
  http_call_perform(fixture, &call);
  assert_non_null(http_operation_error(call.operation));
  assert_false(http_operation_sent(call.operation));
  http_call_finish(&call);
}

#define TLS(name)                                                       \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up_tls, \
                                  http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TLS(a_certificate_that_is_good_is_taken),
      TLS(a_certificate_that_is_not_good_is_refused_with_its_reason),
      TLS(the_system_does_not_trust_what_the_option_does),
      TLS(a_client_certificate_is_shown_to_those_who_ask),
      TLS(a_tls_session_is_resumed),
      TLS(a_tls_connection_is_kept_and_used_again),
      TLS(tls_to_a_server_that_speaks_plain_text_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
