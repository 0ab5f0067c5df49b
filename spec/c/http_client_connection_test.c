#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http_call.h"

static void assert_times_out(struct http_client_fixture *fixture, struct http_call *call,
                             uint64_t ms) {
  call->request.timeout_ms = ms;
  uint64_t began = clock_real_monotonic_ns();
  http_call_perform(fixture, call);
  uint64_t took = (clock_real_monotonic_ns() - began) / 1000000;
  http_call_assert_error(call, "timeout");
  if (took < ms || took > ms + 500) fail_msg("%s took %d ms", call->url, (int)took);
}

static void a_deadline_holds_whatever_the_upstream_does(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const targets[] = {"/silent", "/drip", "/slow/5000"};
  for (size_t i = 0; i < 3; i++) {
    struct http_call call;
    http_call_prepare_get(fixture, &call, targets[i]);
    assert_times_out(fixture, &call, 150);
    assert_true(http_operation_sent(call.operation));
    http_call_finish(&call);
  }
  assert_int_equal(http_client_counters(fixture->client)->timed_out, 3);
  http_call_get_expecting(fixture, "/", 200, "ok");
}

static void a_deadline_is_not_early(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/slow/100");
  call.request.timeout_ms = 3000;
  call.request.connect_timeout_ms = 50;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "slow");
  assert_true(http_operation_timings(call.operation)->total >= 100);
  http_call_finish(&call);
}

static void the_whole_has_its_deadline_after_that_of_the_connection(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/silent");
  call.request.connect_timeout_ms = 50;
  assert_times_out(fixture, &call, 150);
  assert_true(http_operation_sent(call.operation));
  http_call_finish(&call);
}

static void a_slow_call_delays_no_other(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call slow;
  http_call_prepare_get(fixture, &slow, "/silent");
  http_call_start(fixture, &slow);
  for (int i = 0; i < 20; i++) http_call_get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(slow.woken, 0);
  assert_int_equal(http_client_in_flight(fixture->client), 1);
  http_call_finish(&slow);
  assert_int_equal(http_client_in_flight(fixture->client), 0);
}

static void an_operation_can_be_freed_at_any_time(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const targets[] = {"/", "/silent", "/drip", "/bomb", "/slow/10"};
  unsigned seed = (unsigned)clock_real_monotonic_ns();
  print_message("seed %u\n", seed);
  srand(seed);
  for (int i = 0; i < 150; i++) {
    struct http_call call;
    http_call_prepare_get(fixture, &call, targets[(size_t)rand() % 5]);
    http_call_start(fixture, &call);
    assert_non_null(call.operation);
    for (int turns = rand() % 12; turns > 0 && call.woken == 0; turns--)
      uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
    int woken = call.woken;
    http_call_finish(&call);
    uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
    assert_int_equal(call.woken, woken);
  }
  assert_int_equal(http_client_in_flight(fixture->client), 0);
  http_call_get_expecting(fixture, "/", 200, "ok");
}

static void freeing_closes_the_connection_of_what_is_under_way(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/silent");
  http_call_start(fixture, &call);
  struct http_call never = {.woken = 0};
  timer_loop_run_until(&fixture->timer_loop, http_call_is_over, &never, 50);
  assert_int_equal(http_client_connections(fixture->client), 1);
  http_call_finish(&call);
  assert_int_equal(http_client_connections(fixture->client), 0);
  assert_int_equal(http_client_counters(fixture->client)->cancelled, 1);
}

#define CONNECTING 8

struct connecting {
  struct http_client_fixture *fixture;
  struct http_call calls[CONNECTING];
  bool are_cancelled;
};

/* Between the turn in which the sockets are made and the poll in which they would connect. */
static void cancel_connecting(uv_prepare_t *prepare) {
  struct connecting *connecting = prepare->data;
  if (connecting->are_cancelled || http_client_connections(connecting->fixture->client) == 0)
    return;
  connecting->are_cancelled = true;
  for (size_t i = 0; i < CONNECTING; i++) http_call_finish(&connecting->calls[i]);
}

static bool are_cancelled(void *argument) {
  const struct connecting *connecting = argument;
  return connecting->are_cancelled;
}

/* libcurl 7.88 closes a socket that has not connected without a word to CLOSESOCKETFUNCTION. */
static void calls_that_are_cancelled_while_they_connect_leave_nothing_behind(void **state) {
  struct http_client_fixture *fixture = *state;
  struct connecting connecting = {.fixture = fixture};
  uv_prepare_t prepare;
  uv_prepare_init(&fixture->timer_loop.loop, &prepare);
  prepare.data = &connecting;
  uv_prepare_start(&prepare, cancel_connecting);
  for (size_t i = 0; i < CONNECTING; i++) {
    http_call_prepare_get(fixture, &connecting.calls[i], "/");
    http_call_start(fixture, &connecting.calls[i]);
  }
  assert_true(timer_loop_run_until(&fixture->timer_loop, are_cancelled, &connecting, 5000));
  uv_close((uv_handle_t *)&prepare, NULL);
  uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
  assert_int_equal(http_client_connections(fixture->client), 0);
  for (int i = 0; i < CONNECTING; i++) http_call_get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(http_client_connections(fixture->client), 1);
}

static void a_client_can_go_before_its_operations(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call running, over;
  http_call_prepare_get(fixture, &over, "/");
  http_call_perform(fixture, &over);
  http_call_prepare_get(fixture, &running, "/silent");
  http_call_start(fixture, &running);
  uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
  http_client_free(fixture->client);
  fixture->client = NULL;
  http_call_assert_answer(&over, 200, "ok");
  http_call_assert_error(&running, "network_error");
  assert_int_equal(running.woken, 0);
  http_call_finish(&over);
  http_call_finish(&running);
}

static void a_connection_is_kept_and_used_again(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  for (int i = 0; i < 50; i++) {
    http_call_prepare_get(fixture, &call, i % 2 == 0 ? "/" : "/gzip");
    http_call_perform(fixture, &call);
    assert_int_equal(http_operation_reused(call.operation), i > 0);
    assert_string_equal(http_operation_remote_address(call.operation), "127.0.0.1");
    http_call_finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
  assert_int_equal(http_client_counters(fixture->client)->reused, 49);
}

static void a_fresh_connection_is_made_when_asked_and_joins_the_pool(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_get_expecting(fixture, "/", 200, "ok");
  http_call_prepare_get(fixture, &call, "/");
  call.request.fresh_connection = true;
  http_call_perform(fixture, &call);
  assert_false(http_operation_reused(call.operation));
  http_call_finish(&call);
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  http_call_get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  assert_int_equal(http_client_connections(fixture->client), 2);
}

static void a_connection_that_went_stale_is_replaced_unseen(void **state) {
  struct http_client_fixture *fixture = *state;
  http_call_get_expecting(fixture, "/stale", 200, "ok");
  http_call_get_expecting(fixture, "/stale", 200, "ok");
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  assert_int_equal(upstream_requests(fixture->upstream), 3);
}

static void a_fresh_post_that_gets_no_answer_is_sent_once(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_get_expecting(fixture, "/", 200, "ok");
  http_call_prepare_get(fixture, &call, "/close");
  call.request.method = "POST";
  call.request.fresh_connection = true;
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  assert_true(http_operation_sent(call.operation));
  http_call_finish(&call);
  assert_int_equal(upstream_requests(fixture->upstream), 2);
}

static void a_connection_that_the_other_side_closed_is_let_go(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call never = {.woken = 0};
  http_call_get_expecting(fixture, "/once", 200, "once");
  timer_loop_run_until(&fixture->timer_loop, http_call_is_over, &never, 50);
  http_call_get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(upstream_requests(fixture->upstream), 2);
}

static void a_refused_connection_says_that_nothing_was_sent(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  int port = upstream_port(fixture->upstream);
  upstream_stop(fixture->upstream);
  fixture->upstream = NULL;
  http_call_prepare(&call, "POST", "http", "127.0.0.1", port, "/");
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  assert_non_null(strstr(http_operation_error(call.operation)->message, "cannot connect to"));
  http_call_finish(&call);
}

static bool all_are_over(void *argument) {
  struct http_call *calls = argument;
  for (int i = 0; i < 500; i++)
    if (calls[i].woken == 0) return false;
  return true;
}

static void five_hundred_calls_run_at_a_time(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call *calls = calloc(500, sizeof *calls);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 500; i++) {
      http_call_prepare_get(fixture, &calls[i],
                            i % 3 == 0   ? "/slow/30"
                            : i % 3 == 1 ? "/"
                                         : "/gzip");
      http_call_start(fixture, &calls[i]);
    }
    assert_int_equal(http_client_in_flight(fixture->client), 500);
    assert_true(timer_loop_run_until(&fixture->timer_loop, all_are_over, calls, 60000));
    for (int i = 0; i < 500; i++) {
      http_call_assert_answer(&calls[i], 200, i % 3 == 0 ? "slow" : i % 3 == 1 ? "ok" : "hello");
      http_call_finish(&calls[i]);
    }
  }
  assert_true(upstream_connections(fixture->upstream) <= 500);
  free(calls);
}

static void too_many_at_a_time_are_refused(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call calls[3];
  http_client_free(fixture->client);
  http_client_fixture_open(fixture, &(struct http_client_options){.operations_max = 2});
  for (int i = 0; i < 3; i++) {
    http_call_prepare_get(fixture, &calls[i], "/silent");
    http_call_start(fixture, &calls[i]);
  }
  assert_null(calls[2].operation);
  assert_string_equal(calls[2].err.code, "overloaded");
  assert_int_equal(http_client_counters(fixture->client)->refused, 1);
  http_call_finish(&calls[0]);
  http_call_prepare_get(fixture, &calls[2], "/");
  http_call_perform(fixture, &calls[2]);
  http_call_assert_answer(&calls[2], 200, "ok");
  http_call_finish(&calls[1]);
  http_call_finish(&calls[2]);
}

#define PLAIN(name) \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up, http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      PLAIN(a_deadline_holds_whatever_the_upstream_does),
      PLAIN(a_deadline_is_not_early),
      PLAIN(the_whole_has_its_deadline_after_that_of_the_connection),
      PLAIN(a_slow_call_delays_no_other),
      PLAIN(an_operation_can_be_freed_at_any_time),
      PLAIN(freeing_closes_the_connection_of_what_is_under_way),
      PLAIN(calls_that_are_cancelled_while_they_connect_leave_nothing_behind),
      PLAIN(a_client_can_go_before_its_operations),
      PLAIN(a_connection_is_kept_and_used_again),
      PLAIN(a_fresh_connection_is_made_when_asked_and_joins_the_pool),
      PLAIN(a_connection_that_went_stale_is_replaced_unseen),
      PLAIN(a_fresh_post_that_gets_no_answer_is_sent_once),
      PLAIN(a_connection_that_the_other_side_closed_is_let_go),
      PLAIN(a_refused_connection_says_that_nothing_was_sent),
      PLAIN(five_hundred_calls_run_at_a_time),
      PLAIN(too_many_at_a_time_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
