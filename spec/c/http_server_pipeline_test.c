#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server_reply.h"
#include "server_rig.h"

static void pipelined_answers_come_in_order_whatever_order_they_are_made_in(void **state) {
  struct server_rig *rig = *state;
  struct server_reply reply = {0};
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  server_rig_send_text(rig, client, GET GET GET);
  server_rig_await_requests(rig, 3);
  assert_int_equal(http_listener_stats(rig->listener).exchanges, 3);
  server_rig_answer(rig->held[2], 200, "third", 5);
  server_rig_answer(rig->held[1], 200, "second", 6);
  server_rig_quiesce(rig);
  server_reply_read(client, &reply);
  assert_int_equal(reply.length, 0);
  server_rig_answer(rig->held[0], 200, "first", 5);
  server_reply_await_answers(rig, client, &reply, 3);
  const char *first = strstr(reply.bytes, "first"), *second = strstr(reply.bytes, "second");
  assert_true(first != NULL && second > first && strstr(reply.bytes, "third") > second);
  assert_int_equal(http_listener_stats(rig->listener).exchanges, 0);
  close(client);
}

static void a_thousand_pipelined_requests_are_all_answered(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct server_reply *reply = calloc(1, sizeof *reply);
  int client = server_rig_dial(rig);
  unsigned answers = 0;
  for (int i = 0; i < 1000; i++)
    assert_int_equal(send(client, GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
  uint64_t start = uv_hrtime();
  while (answers < 1000 && !reply->closed) {
    server_rig_turn(rig);
    server_reply_read(client, reply);
    const char *last = NULL;
    for (char *at = reply->bytes; (at = strstr(at, "\r\n\r\n/")) != NULL; last = at) {
      at += 5;
      answers++;
    }
    if (last != NULL) {
      reply->length -= (size_t)(last - reply->bytes);
      memmove(reply->bytes, last, reply->length + 1);
    }
    assert_false(server_rig_is_late(start));
  }
  assert_int_equal(answers, 1000);
  close(client);
  free(reply);
}

static void no_more_than_sixteen_requests_are_taken_ahead(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  for (int i = 0; i < 40; i++) server_rig_send_text(rig, client, GET);
  server_rig_quiesce(rig);
  assert_int_equal(rig->held_count, HTTP_PIPELINE_MAX);
  for (size_t i = 0; i < rig->held_count; i++) {
    server_rig_answer(rig->held[i], 200, "x", 1);
    http_exchange_release(rig->held[i]);
    rig->held[i] = NULL;
    server_rig_quiesce(rig);
    assert_true(rig->held_count <= i + 1 + HTTP_PIPELINE_MAX);
  }
  server_reply_await_answers(rig, client, &reply, 40);
  assert_int_equal(rig->held_count, 40);
  close(client);
}

static void bodies_taken_ahead_are_bounded(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){.limits = {.body_bytes = 10}});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  for (int i = 0; i < 5; i++)
    server_rig_send_text(rig, client,
                         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123456");
  server_rig_quiesce(rig);
  assert_int_equal(rig->held_count, 2);
  server_rig_answer(rig->held[0], 200, "", 0);
  server_rig_quiesce(rig);
  assert_int_equal(rig->held_count, 3);
  close(client);
}

static void an_early_error_waits_for_the_answers_before_it(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET "bad\r\n\r\n" GET);
  server_rig_quiesce(rig);
  server_reply_read(client, &reply);
  assert_int_equal(reply.length, 0);
  assert_int_equal(rig->requests, 1);
  server_rig_answer(rig->held[0], 200, "first", 5);
  server_reply_await_close(rig, client, &reply);
  assert_int_equal(server_reply_count(reply.bytes, "HTTP/1.1 "), 2);
  assert_true(strstr(reply.bytes, "first") < strstr(reply.bytes, "HTTP/1.1 400 "));
  assert_int_equal(http_listener_stats(rig->listener).refused, 1);
  close(client);
}

static void a_client_that_asks_gets_100_continue_in_its_turn(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(
      rig, client,
      GET "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  server_rig_quiesce(rig);
  /* While the first is handled the second cannot be slow. */
  server_rig_advance(rig, 200);
  server_reply_read(client, &reply);
  assert_int_equal(reply.length, 0);
  server_rig_answer(rig->held[0], 200, "x", 1);
  server_reply_await_answers(rig, client, &reply, 2);
  assert_non_null(strstr(reply.bytes, "xHTTP/1.1 100 Continue\r\n\r\n"));
  assert_int_equal(rig->requests, 1);
  server_rig_send_text(rig, client, "ok");
  server_rig_await_requests(rig, 2);
  assert_int_equal(http_exchange_body(rig->held[1]).length, 2);
  close(client);
}

#define IN_RIG(name) cmocka_unit_test_setup_teardown(name, server_rig_set_up, server_rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_RIG(pipelined_answers_come_in_order_whatever_order_they_are_made_in),
      IN_RIG(a_thousand_pipelined_requests_are_all_answered),
      IN_RIG(no_more_than_sixteen_requests_are_taken_ahead),
      IN_RIG(bodies_taken_ahead_are_bounded),
      IN_RIG(an_early_error_waits_for_the_answers_before_it),
      IN_RIG(a_client_that_asks_gets_100_continue_in_its_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
