#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "http_call.h"

static void start_to(struct http_client_fixture *fixture, struct http_call *call, const char *host,
                     enum address_policy policy) {
  http_call_prepare(call, "GET", "http", host, upstream_port(fixture->upstream), "/");
  call->request.policy = policy;
  http_call_start(fixture, call);
}

static void a_host_that_is_not_declared_is_refused(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  struct url_slice hosts[] = {{"api.acme.example", 16}, {"*.files.test", 12}, {"localhost", 9}};
  http_call_prepare_get(fixture, &call, "/");
  call.request.hosts = hosts;
  call.request.host_count = 3;
  http_call_start(fixture, &call);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "host_refused");
  http_call_prepare(&call, "GET", "http", "LOCALHOST", upstream_port(fixture->upstream), "/");
  call.request.hosts = hosts;
  call.request.host_count = 3;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
  http_call_prepare_get(fixture, &call, "/");
  call.request.hosts = hosts;
  call.request.host_count = 0;
  http_call_start(fixture, &call);
  assert_null(call.operation);
}

static void literals_are_reached_as_the_policy_says(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const hosts[] = {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"};
  for (size_t i = 0; i < 3; i++) {
    struct http_call call;
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_LITERAL);
    http_call_wait(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    http_call_finish(&call);
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_DENY);
    assert_null(call.operation);
    assert_string_equal(call.err.code, "address_refused");
  }
  struct http_call call;
  start_to(fixture, &call, "169.254.169.254", ADDRESS_POLICY_LITERAL);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "address_refused");
}

static void a_name_that_resolves_into_a_private_range_is_refused(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const hosts[] = {"private.test", "mixed.test", "good.test"};
  for (size_t i = 0; i < 3; i++) {
    struct http_call call;
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_LITERAL);
    http_call_wait(fixture, &call);
    http_call_assert_error(&call, "address_refused");
    assert_false(http_operation_sent(call.operation));
    http_call_finish(&call);
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_DENY);
    assert_null(call.operation); /* the answer is known by now */
    assert_string_equal(call.err.code, "address_refused");
  }
  assert_int_equal(upstream_connections(fixture->upstream), 0);
}

static void a_name_is_reached_over_the_address_that_was_found(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  for (int i = 0; i < 3; i++) {
    start_to(fixture, &call, "good.test", ADDRESS_POLICY_ALLOW);
    http_call_wait(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    assert_string_equal(http_operation_remote_address(call.operation), "127.0.0.1");
    http_call_finish(&call);
  }
  assert_int_equal(name_server_questions(fixture->names), 1);
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void a_connection_of_a_looser_policy_is_no_way_round(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  start_to(fixture, &call, "localhost", ADDRESS_POLICY_ALLOW);
  http_call_wait(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
  start_to(fixture, &call, "localhost", ADDRESS_POLICY_DENY);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "address_refused");
}

static void a_name_that_cannot_be_found_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const hosts[] = {"missing.test", "fail.test"};
  for (size_t i = 0; i < 2; i++) {
    struct http_call call;
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_ALLOW);
    http_call_wait(fixture, &call);
    http_call_assert_error(&call, "network_error");
    assert_false(http_operation_sent(call.operation));
    assert_non_null(strstr(http_operation_error(call.operation)->message, hosts[i]));
    http_call_finish(&call);
  }
}

static void a_silent_name_server_delays_no_other_call_and_the_deadline_holds(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call silent, literal, named;
  http_call_prepare(&silent, "POST", "http", "silent.test", upstream_port(fixture->upstream), "/");
  silent.request.policy = ADDRESS_POLICY_ALLOW;
  silent.request.timeout_ms = 400;
  uint64_t began = clock_real_monotonic_ns();
  http_call_start(fixture, &silent);
  start_to(fixture, &named, "good.test", ADDRESS_POLICY_ALLOW);
  start_to(fixture, &literal, "127.0.0.1", ADDRESS_POLICY_ALLOW);
  http_call_wait(fixture, &named);
  http_call_wait(fixture, &literal);
  assert_true(clock_real_monotonic_ns() - began < 300000000);
  assert_int_equal(silent.woken, 0);
  http_call_wait(fixture, &silent);
  uint64_t took = (clock_real_monotonic_ns() - began) / 1000000;
  assert_true(took >= 400 && took < 900);
  http_call_assert_error(&silent, "timeout");
  assert_false(http_operation_sent(silent.operation));
  assert_non_null(
      strstr(http_operation_error(silent.operation)->message, "while looking up its name"));
  http_call_finish(&silent);
  http_call_finish(&named);
  http_call_finish(&literal);
}

static void the_connect_time_out_covers_the_look_up(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare(&call, "GET", "http", "silent.test", 80, "/");
  call.request.policy = ADDRESS_POLICY_ALLOW;
  call.request.connect_timeout_ms = 100;
  uint64_t began = clock_real_monotonic_ns();
  http_call_perform(fixture, &call);
  assert_true(clock_real_monotonic_ns() - began < 600000000);
  http_call_assert_error(&call, "timeout");
  http_call_finish(&call);
}

static void a_call_can_be_cancelled_while_its_name_is_looked_up(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call gone, stays;
  start_to(fixture, &gone, "slow50.test", ADDRESS_POLICY_ALLOW);
  start_to(fixture, &stays, "slow50.test", ADDRESS_POLICY_ALLOW);
  uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
  http_call_finish(&gone);
  http_call_wait(fixture, &stays);
  http_call_assert_answer(&stays, 200, "ok");
  assert_int_equal(gone.woken, 0);
  http_call_finish(&stays);
}

#define PLAIN(name) \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up, http_client_fixture_tear_down)
#define NAMES(name)                                                       \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up_names, \
                                  http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      PLAIN(a_host_that_is_not_declared_is_refused),
      PLAIN(literals_are_reached_as_the_policy_says),
      NAMES(a_name_that_resolves_into_a_private_range_is_refused),
      NAMES(a_name_is_reached_over_the_address_that_was_found),
      NAMES(a_connection_of_a_looser_policy_is_no_way_round),
      NAMES(a_name_that_cannot_be_found_is_an_error),
      NAMES(a_silent_name_server_delays_no_other_call_and_the_deadline_holds),
      NAMES(the_connect_time_out_covers_the_look_up),
      NAMES(a_call_can_be_cancelled_while_its_name_is_looked_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
