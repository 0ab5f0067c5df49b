#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "http_call.h"

static void an_answer_comes_back_whole(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/");
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  const struct http_response *response = http_operation_response(call.operation);
  assert_int_equal(response->field_count, 2);
  struct http_pair pair = http_response_header(response, 0);
  assert_int_equal(pair.name_length, 8);
  assert_memory_equal(pair.name, "X-Answer", 8);
  assert_memory_equal(pair.value, "yes", 3);
  assert_string_equal(http_operation_remote_address(call.operation), "127.0.0.1");
  assert_false(http_operation_reused(call.operation));
  assert_true(http_operation_sent(call.operation));
  const struct http_timings *timings = http_operation_timings(call.operation);
  assert_true(timings->total > 0 && timings->connect > 0 && timings->tls == 0);
  assert_true(timings->first_byte > 0 && timings->first_byte <= timings->total);
  http_call_finish(&call);
}

static void answers_of_all_kinds_are_read(void **state) {
  struct http_client_fixture *fixture = *state;
  http_call_get_expecting(fixture, "/chunked", 200, "abcdef");
  http_call_get_expecting(fixture, "/no-length", 200, "until the end");
  http_call_get_expecting(fixture, "/100", 200, "ok");
  http_call_get_expecting(fixture, "/204", 204, "");
  http_call_get_expecting(fixture, "/304", 304, "");
  http_call_get_expecting(fixture, "/401", 401, "");
  http_call_get_expecting(fixture, "/once", 200, "once");
}

static void a_redirect_is_an_answer(void **state) {
  struct http_client_fixture *fixture = *state;
  http_call_get_expecting(fixture, "/redirect", 302, "");
  assert_int_equal(upstream_requests(fixture->upstream), 1);
}

static void coded_answers_are_decoded(void **state) {
  struct http_client_fixture *fixture = *state;
  http_call_get_expecting(fixture, "/gzip", 200, "hello");
  http_call_get_expecting(fixture, "/zlib", 200, "hello");
  http_call_get_expecting(fixture, "/deflate", 200, "hello");
}

static void assert_header(const struct http_response *response, size_t index, const char *name,
                          const char *value) {
  struct http_pair pair = http_response_header(response, index);
  assert_int_equal(pair.name_length, strlen(name));
  assert_memory_equal(pair.name, name, pair.name_length);
  assert_int_equal(pair.value_length, strlen(value));
  if (pair.value_length > 0) assert_memory_equal(pair.value, value, pair.value_length);
}

static void headers_come_in_order_with_their_names_as_they_were(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/pairs");
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "");
  const struct http_response *response = http_operation_response(call.operation);
  assert_int_equal(response->field_count, 5);
  assert_header(response, 0, "Set-Cookie", "a=1");
  assert_header(response, 1, "x-UPPER", "spaced");
  assert_header(response, 2, "Set-Cookie", "b=2");
  assert_header(response, 3, "Empty", "");
  http_call_finish(&call);
  http_call_prepare_get(fixture, &call, "/folded");
  http_call_perform(fixture, &call);
  assert_header(http_operation_response(call.operation), 0, "X-Long", "one two three");
  http_call_finish(&call);
}

static void headers_of_interim_answers_are_not_the_answers(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/100");
  http_call_perform(fixture, &call);
  assert_int_equal(http_operation_response(call.operation)->field_count, 1);
  http_call_finish(&call);
  http_call_prepare_get(fixture, &call, "/chunked");
  http_call_perform(fixture, &call);
  assert_int_equal(http_operation_response(call.operation)->field_count, 1);
  http_call_finish(&call);
}

static void a_head_request_has_no_body_whatever_its_length_says(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/head");
  call.request.method = "HEAD";
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "");
  http_call_finish(&call);
  http_call_get_expecting(fixture, "/", 200, "ok");
}

static void get_expecting_error(struct http_client_fixture *fixture, const char *target,
                                const char *code) {
  struct http_call call;
  http_call_prepare_get(fixture, &call, target);
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, code);
  assert_non_null(strstr(http_operation_error(call.operation)->message, "127.0.0.1"));
  assert_true(http_operation_sent(call.operation));
  http_call_finish(&call);
  /* Nothing of it is in the next call. */
  http_call_get_expecting(fixture, "/", 200, "ok");
}

static void an_answer_that_is_cut_short_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  get_expecting_error(fixture, "/short", "network_error");
  get_expecting_error(fixture, "/chunk-cut", "network_error");
  get_expecting_error(fixture, "/gzip-cut", "network_error");
  get_expecting_error(fixture, "/deflate-cut", "network_error");
  get_expecting_error(fixture, "/close", "network_error");
  get_expecting_error(fixture, "/reset", "network_error");
}

static void a_malformed_answer_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const targets[] = {
      "/two-lengths",  "/bad-length", "/negative-length", "/http09",     "/garbage-status",
      "/low-status",   "/101",        "/no-colon",        "/odd-coding", "/two-codings",
      "/odd-transfer", "/bad-gzip",
  };
  for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
    get_expecting_error(fixture, targets[i], "malformed_response");
}

static void a_malformed_chunk_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/bad-chunk");
  http_call_perform(fixture, &call);
  assert_non_null(http_operation_error(call.operation));
  http_call_finish(&call);
}

static void a_head_without_end_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  get_expecting_error(fixture, "/headers", "too_large");
  get_expecting_error(fixture, "/long-header", "too_large");
}

static void a_body_over_the_ceiling_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  get_expecting_error(fixture, "/endless", "too_large");
  get_expecting_error(fixture, "/bomb", "too_large");
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/once");
  call.request.response_max = 4;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "once");
  http_call_finish(&call);
  static const char *const targets[] = {"/once", "/chunked", "/gzip"};
  for (size_t i = 0; i < 3; i++) {
    http_call_prepare_get(fixture, &call, targets[i]);
    call.request.response_max = 3;
    http_call_perform(fixture, &call);
    http_call_assert_error(&call, "too_large");
    http_call_finish(&call);
  }
}

static void a_body_just_at_the_ceiling_is_decoded(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  http_call_prepare_get(fixture, &call, "/gzip");
  call.request.response_max = 5;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "hello");
  http_call_finish(&call);
}

static void a_coding_that_the_caller_asked_for_is_left_to_it(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  struct http_pair header = {"accept-encoding", 15, "br", 2};
  http_call_prepare_get(fixture, &call, "/odd-coding");
  call.request.headers = &header;
  call.request.header_count = 1;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
}

static void a_surplus_answer_is_never_taken_for_the_next(void **state) {
  struct http_client_fixture *fixture = *state;
  http_call_get_expecting(fixture, "/too-much", 200, "ok");
  http_call_get_expecting(fixture, "/", 200, "ok");
  http_call_get_expecting(fixture, "/twice", 200, "first");
  struct http_call never = {.woken = 0};
  timer_loop_run_until(&fixture->timer_loop, http_call_is_over, &never, 100);
  http_call_get_expecting(fixture, "/", 200, "ok");
}

/* The loop had no turn between the surplus bytes and the next request. */
static void a_surplus_answer_that_was_not_noticed_yet_is_not_taken_either(void **state) {
  struct http_client_fixture *fixture = *state;
  http_call_get_expecting(fixture, "/twice", 200, "first");
  usleep(100000);
  http_call_get_expecting(fixture, "/", 200, "ok");
}

#define PLAIN(name) \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up, http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      PLAIN(an_answer_comes_back_whole),
      PLAIN(answers_of_all_kinds_are_read),
      PLAIN(a_redirect_is_an_answer),
      PLAIN(coded_answers_are_decoded),
      PLAIN(headers_come_in_order_with_their_names_as_they_were),
      PLAIN(headers_of_interim_answers_are_not_the_answers),
      PLAIN(a_head_request_has_no_body_whatever_its_length_says),
      PLAIN(an_answer_that_is_cut_short_is_an_error),
      PLAIN(a_malformed_answer_is_an_error),
      PLAIN(a_malformed_chunk_is_an_error),
      PLAIN(a_head_without_end_is_an_error),
      PLAIN(a_body_over_the_ceiling_is_an_error),
      PLAIN(a_body_just_at_the_ceiling_is_decoded),
      PLAIN(a_coding_that_the_caller_asked_for_is_left_to_it),
      PLAIN(a_surplus_answer_is_never_taken_for_the_next),
      PLAIN(a_surplus_answer_that_was_not_noticed_yet_is_not_taken_either),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
