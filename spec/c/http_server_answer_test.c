#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server_reply.h"
#include "server_rig.h"

struct row {
  const char *bytes;
  int status;
  bool closed;
};

static const struct row rows[] = {
    {GET, 200, false},
    {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, false},
    {"GET / HTTP/1.0\r\n\r\n", 200, true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, false},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, true},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET, 200, true},
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 200, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok", 200, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200,
     false},
    {"\r\n" GET, 200, false},
    {"GET / HTTP/1.1\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n\r\n" GET, 400, true},
    {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, true},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\n" GET,
     400, true},
    {"\x16\x03\x01", 400, true},
    {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, true},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, true},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", 413, true},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n", 413,
     true},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 2\r\n\r\nok", 417, true},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, true},
};

static void each_request_gets_its_status_and_only_good_ones_keep_the_connection(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct server_reply *reply = server_reply_ask(rig, rows[i].bytes, strlen(rows[i].bytes));
    if (server_reply_status(reply) != rows[i].status || reply->closed != rows[i].closed ||
        reply->reset)
      fail_msg("%s: %d, closed %d, reset %d", rows[i].bytes, server_reply_status(reply),
               reply->closed, reply->reset);
    assert_int_equal(server_reply_count(reply->bytes, "HTTP/1.1 "), 1);
    if (rows[i].closed) assert_non_null(strstr(reply->bytes, "\r\nConnection: close\r\n"));
  }
}

static void a_request_split_anywhere_gets_the_same_answer(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  const char *bytes =
      "POST /%61 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
  int client = server_rig_dial(rig);
  for (size_t cut = 1; cut < strlen(bytes); cut++) {
    struct server_reply reply = {0};
    server_rig_send(rig, client, bytes, cut);
    server_rig_quiesce(rig);
    server_rig_send_text(rig, client, bytes + cut);
    server_reply_await_answers(rig, client, &reply, 1);
    assert_int_equal(server_reply_status(&reply), 200);
    assert_string_equal(server_reply_body(&reply), "ok");
    assert_false(reply.closed);
  }
  close(client);
}

static void head_and_empty_statuses_have_no_body_but_the_right_length(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  const char *head = "HEAD /1234 HTTP/1.1\r\nHost: a\r\n\r\n";
  struct server_reply *reply = server_reply_ask(rig, head, strlen(head));
  assert_non_null(strstr(reply->bytes, "\r\nContent-Length: 5\r\n"));
  assert_string_equal(server_reply_body(reply), "");

  rig->mode = SERVER_RIG_HOLD;
  struct server_reply empty = {0};
  int client = server_rig_dial(rig);
  server_rig_send_text(rig, client, GET);
  server_rig_await_requests(rig, 2);
  server_rig_answer(rig->held[0], 204, "not sent", 8);
  server_reply_await_answers(rig, client, &empty, 1);
  assert_null(strstr(empty.bytes, "Content-Length"));
  assert_string_equal(server_reply_body(&empty), "");
  close(client);
}

static void an_answer_has_a_date_and_the_handlers_headers(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct server_reply *reply = server_reply_ask(rig, GET, strlen(GET));
  assert_non_null(strstr(reply->bytes, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: "));
  const char *date = strstr(reply->bytes, "Date: ");
  struct tm parts;
  assert_non_null(strptime(date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts));
  assert_string_equal(server_reply_body(reply), "/");
}

static void limits_are_answered_with_their_status(void **state) {
  struct server_rig *rig = *state;
  static char bytes[50000];
  server_rig_listen(rig, "127.0.0.1:0",
                    (struct http_listen_options){.limits = {.body_bytes = 1000}});
  int length = snprintf(bytes, sizeof bytes, "GET /%09000d HTTP/1.1\r\nHost: a\r\n\r\n", 1);
  assert_int_equal(server_reply_status(server_reply_ask(rig, bytes, (size_t)length)), 414);
  length = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\nA: %040000d\r\n\r\n", 1);
  assert_int_equal(server_reply_status(server_reply_ask(rig, bytes, (size_t)length)), 431);
  length = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\n");
  for (int i = 0; i < 100; i++)
    length += snprintf(bytes + length, sizeof bytes - (size_t)length, "A: b\r\n");
  assert_int_equal(server_reply_status(server_reply_ask(rig, bytes, (size_t)length)), 431);
  length = snprintf(bytes, sizeof bytes,
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n%040000d", 1);
  struct server_reply *reply = server_reply_ask(rig, bytes, (size_t)length);
  assert_int_equal(server_reply_status(reply), 413);
  assert_false(reply->reset);
}

static void an_exchange_that_nobody_answers_becomes_500(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_RELEASE;
  struct server_reply *reply = server_reply_ask(rig, GET, strlen(GET));
  assert_int_equal(server_reply_status(reply), 500);
  assert_false(reply->closed);
}

static void an_answer_that_would_split_the_message_is_refused(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET);
  server_rig_await_requests(rig, 1);
  static const struct http_header bad[] = {
      {{"A", 1}, {"b\r\nC: d", 7}},
      {{"A", 1}, {"b\nc", 3}},
      {{"A", 1}, {"b\0c", 3}},
      {{"A b", 3}, {"c", 1}},
      {{"", 0}, {"c", 1}},
      {{"A:", 2}, {"c", 1}},
      {{"DATE", 4}, {"c", 1}},
      {{"Connection", 10}, {"close", 5}},
      {{"content-length", 14}, {"3", 1}},
      {{"Transfer-Encoding", 17}, {"chunked", 7}},
  };
  struct err err;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct http_response response = {.status = 200, .headers = &bad[i], .header_count = 1};
    assert_int_equal(http_exchange_respond(rig->held[0], &response, &err), -1);
    assert_string_equal(err.code, "invalid_input");
  }
  struct http_response response = {.status = 101};
  assert_int_equal(http_exchange_respond(rig->held[0], &response, &err), -1);
  response.status = 600;
  assert_int_equal(http_exchange_respond(rig->held[0], &response, &err), -1);
  assert_int_equal(server_rig_answer(rig->held[0], 200, "ok", 2), 0);
  response.status = 200;
  assert_int_equal(http_exchange_respond(rig->held[0], &response, &err), -1);
  assert_string_equal(err.code, "answered");
  server_reply_await_answers(rig, client, &reply, 1);
  assert_string_equal(server_reply_body(&reply), "ok");
  close(client);
}

#define IN_RIG(name) cmocka_unit_test_setup_teardown(name, server_rig_set_up, server_rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_RIG(each_request_gets_its_status_and_only_good_ones_keep_the_connection),
      IN_RIG(a_request_split_anywhere_gets_the_same_answer),
      IN_RIG(head_and_empty_statuses_have_no_body_but_the_right_length),
      IN_RIG(an_answer_has_a_date_and_the_handlers_headers),
      IN_RIG(limits_are_answered_with_their_status),
      IN_RIG(an_exchange_that_nobody_answers_becomes_500),
      IN_RIG(an_answer_that_would_split_the_message_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
