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

static void a_slow_head_is_answered_with_408_and_a_good_client_not_touched(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int slow = server_rig_dial(rig), good = server_rig_dial(rig);
  struct server_reply slow_reply = {0}, good_reply = {0};
  for (int i = 0; i < 9; i++) {
    server_rig_send_text(rig, slow, i == 0 ? "GET / HTTP/1.1\r\n" : "A: b\r\n");
    server_rig_send_text(rig, good, GET);
    server_reply_await_answers(rig, good, &good_reply, (unsigned)i + 1);
    server_rig_advance(rig, 1);
  }
  server_reply_read(slow, &slow_reply);
  assert_int_equal(slow_reply.length, 0);
  server_rig_advance(rig, 2);
  server_reply_await_close(rig, slow, &slow_reply);
  assert_int_equal(server_reply_status(&slow_reply), 408);
  server_rig_send_text(rig, good, GET);
  server_reply_await_answers(rig, good, &good_reply, 10);
  assert_false(good_reply.closed);
  assert_int_equal(server_reply_count(good_reply.bytes, "HTTP/1.1 200 OK"), 10);
  close(slow);
  close(good);
}

static void an_idle_connection_is_closed_in_silence(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET);
  server_reply_await_answers(rig, client, &reply, 1);
  size_t length = reply.length;
  server_rig_advance(rig, 74);
  server_reply_read(client, &reply);
  assert_false(reply.closed);
  server_rig_send_text(rig, client, GET);
  server_reply_await_answers(rig, client, &reply, 2);
  server_rig_advance(rig, 74);
  server_reply_read(client, &reply);
  assert_false(reply.closed);
  server_rig_advance(rig, 2);
  server_reply_await_close(rig, client, &reply);
  assert_int_equal(reply.length, 2 * length);
  assert_false(reply.reset);
  close(client);
}

static void a_handler_may_take_longer_than_any_time_out(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET);
  server_rig_await_requests(rig, 1);
  server_rig_advance(rig, 1000);
  server_rig_answer(rig->held[0], 200, "late", 4);
  server_reply_await_answers(rig, client, &reply, 1);
  assert_int_equal(server_reply_status(&reply), 200);
  close(client);
}

static void a_body_that_stops_is_answered_with_408(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  server_rig_quiesce(rig);
  static char piece[25000];
  memset(piece, 'x', sizeof piece);
  for (int i = 0; i < 3; i++) {
    server_rig_advance(rig, 25);
    server_rig_send(rig, client, piece, sizeof piece);
    server_rig_quiesce(rig);
  }
  server_reply_read(client, &reply);
  assert_int_equal(reply.length, 0);
  server_rig_advance(rig, 31);
  server_reply_await_close(rig, client, &reply);
  assert_int_equal(server_reply_status(&reply), 408);
  close(client);
}

static void a_body_that_drips_is_answered_with_408(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 29 && !reply.closed; i++) {
    server_rig_send_text(rig, client, "x");
    server_rig_advance(rig, 1);
    server_reply_read(client, &reply);
  }
  assert_false(reply.closed);
  server_rig_send_text(rig, client, "x");
  server_rig_advance(rig, 2);
  server_reply_await_close(rig, client, &reply);
  assert_int_equal(server_reply_status(&reply), 408);
  close(client);
}

static void a_stalled_process_does_not_time_out_clients_whose_bytes_are_there(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, "GET / HTTP/1.1\r\nHost: a\r\n");
  server_rig_quiesce(rig);
  assert_int_equal(send(client, "\r\n", 2, 0), 2);
  rig->now_ns += 15 * SECOND_NS;
  timer_heap_run(&rig->timers, rig->now_ns);
  server_reply_await_answers(rig, client, &reply, 1);
  assert_int_equal(server_reply_status(&reply), 200);
  close(client);
}

static void make_big(struct server_rig *rig, size_t length) {
  rig->mode = SERVER_RIG_BIG;
  rig->big_length = length;
  rig->big = malloc(length);
  assert_non_null(rig->big);
  for (size_t i = 0; i < length; i++) rig->big[i] = (char)('a' + i % 23);
}

static void a_large_answer_reaches_a_slow_reader_whole(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  make_big(rig, 20 << 20);
  int client = server_rig_dial(rig);
  /* Two, so that the second is written behind the first. */
  server_rig_send_text(rig, client, GET GET);
  server_rig_quiesce(rig);
  static char piece[65536];
  size_t total = 0, at = 0;
  unsigned wrong = 0;
  int answers = 0;
  uint64_t start = uv_hrtime();
  while (answers < 2) {
    server_rig_turn(rig);
    ssize_t count = recv(client, piece, sizeof piece, 0);
    assert_false(server_rig_is_late(start));
    if (count < 0) continue;
    assert_true(count > 0);
    for (ssize_t i = 0; i < count; i++) {
      /* The head ends where the body begins: bodies are checked from there. */
      if (total == 0) {
        static const char end[] = "\r\n\r\n";
        at = piece[i] == end[at] ? at + 1 : piece[i] == '\r';
        if (at == 4) total = 1;
        continue;
      }
      wrong += piece[i] != rig->big[total - 1];
      if (++total > rig->big_length) {
        answers++;
        total = at = 0;
      }
    }
    server_rig_advance(rig, 1); /* slow, but it moves */
  }
  assert_int_equal(wrong, 0);
  close(client);
}

static void a_client_that_takes_nothing_is_dropped(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  make_big(rig, 20 << 20);
  int client = server_rig_dial(rig);
  server_rig_send_text(rig, client, GET);
  server_rig_await_requests(rig, 1);
  server_rig_advance(rig, 25);
  assert_int_equal(http_listener_stats(rig->listener).connections, 1);
  server_rig_advance(rig, 16);
  server_rig_await_connections(rig, 0);
  close(client);
}

#define IN_RIG(name) cmocka_unit_test_setup_teardown(name, server_rig_set_up, server_rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_RIG(a_slow_head_is_answered_with_408_and_a_good_client_not_touched),
      IN_RIG(an_idle_connection_is_closed_in_silence),
      IN_RIG(a_handler_may_take_longer_than_any_time_out),
      IN_RIG(a_body_that_stops_is_answered_with_408),
      IN_RIG(a_body_that_drips_is_answered_with_408),
      IN_RIG(a_stalled_process_does_not_time_out_clients_whose_bytes_are_there),
      IN_RIG(a_large_answer_reaches_a_slow_reader_whole),
      IN_RIG(a_client_that_takes_nothing_is_dropped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
