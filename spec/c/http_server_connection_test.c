#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server_reply.h"
#include "server_rig.h"

static void a_client_that_leaves_does_not_take_the_exchange_with_it(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  server_rig_send_text(rig, client, "POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
  server_rig_await_requests(rig, 1);
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(client);
  server_rig_await_connections(rig, 0);
  struct http_exchange *exchange = rig->held[0];
  char peer[ADDRESS_SOCKET_TEXT_MAX];
  http_exchange_peer(exchange, peer, sizeof peer);
  assert_true(http_exchange_is_gone(exchange));
  assert_memory_equal(http_exchange_body(exchange).data, "ok", 2);
  assert_memory_equal(http_exchange_target(exchange).data, "/p?q", 4);
  assert_memory_equal(http_exchange_query(exchange).data, "q", 1);
  assert_string_equal(http_exchange_method(exchange), "POST");
  assert_int_equal(strncmp(peer, "127.0.0.1:", 10), 0);
  assert_int_equal(http_exchange_peer_uid(exchange), -1);
  struct http_response response = {.status = 200};
  struct err err;
  assert_int_equal(http_exchange_respond(exchange, &response, &err), -1);
  assert_string_equal(err.code, "gone");
}

static void a_client_that_only_ends_its_side_still_gets_its_answers(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET GET "GET / HT");
  shutdown(client, SHUT_WR);
  server_rig_await_requests(rig, 2);
  server_rig_answer(rig->held[0], 200, "one", 3);
  server_rig_answer(rig->held[1], 200, "two", 3);
  server_reply_await_close(rig, client, &reply);
  assert_int_equal(server_reply_count(reply.bytes, "HTTP/1.1 200"), 2);
  assert_false(reply.reset);
  server_rig_await_connections(rig, 0);
  close(client);
}

static void draining_answers_what_has_come_and_takes_no_more(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int busy = server_rig_dial(rig), idle = server_rig_dial(rig), late = server_rig_dial(rig);
  struct server_reply busy_reply = {0}, idle_reply = {0}, late_reply = {0};
  server_rig_send_text(rig, busy, GET GET);
  server_rig_await_requests(rig, 2);
  server_rig_await_connections(rig, 3);
  int queued = server_rig_dial(rig); /* in the backlog, with its request */
  assert_int_equal(send(queued, GET, strlen(GET), 0), strlen(GET));
  http_listener_drain(rig->listener);
  const union address_socket *address = &http_listener_address(rig->listener)->socket;
  int refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(refused, &address->any, address_socket_length(address)), -1);
  close(refused);
  server_rig_await_requests(rig, 3);

  server_rig_advance(rig, 0.3);
  server_rig_send_text(rig, late, GET);
  server_rig_await_requests(rig, 4);
  server_rig_advance(rig, 0.3);
  server_reply_await_close(rig, idle, &idle_reply);
  assert_int_equal(idle_reply.length, 0);

  for (size_t i = 0; i < 4; i++) server_rig_answer(rig->held[i], 200, "x", 1);
  server_reply_await_close(rig, busy, &busy_reply);
  assert_int_equal(server_reply_count(busy_reply.bytes, "HTTP/1.1 200"), 2);
  assert_int_equal(server_reply_count(busy_reply.bytes, "Connection: close"), 1);
  server_reply_await_close(rig, late, &late_reply);
  assert_int_equal(server_reply_status(&late_reply), 200);
  memset(&late_reply, 0, sizeof late_reply);
  server_reply_await_close(rig, queued, &late_reply);
  assert_int_equal(server_reply_status(&late_reply), 200);
  close(busy);
  close(idle);
  close(late);
  close(queued);
  server_rig_await_connections(rig, 0);
}

static void draining_answers_a_pipeline_that_is_not_parsed_yet(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  for (int i = 0; i < 20; i++) server_rig_send_text(rig, client, GET);
  server_rig_quiesce(rig);
  assert_int_equal(rig->held_count, HTTP_PIPELINE_MAX);
  http_listener_drain(rig->listener);
  for (size_t i = 0; i < rig->held_count; i++) {
    server_rig_answer(rig->held[i], 200, "x", 1);
    server_rig_quiesce(rig);
  }
  server_reply_await_close(rig, client, &reply);
  assert_int_equal(server_reply_count(reply.bytes, "HTTP/1.1 200"), 20);
  assert_int_equal(server_reply_count(reply.bytes, "Connection: close"), 1);
  close(client);
}

static void closing_a_listener_ends_its_connections_but_not_its_exchanges(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET);
  server_rig_await_requests(rig, 1);
  http_listener_close(rig->listener);
  server_reply_await_close(rig, client, &reply);
  assert_true(http_exchange_is_gone(rig->held[0]));
  assert_false(rig->listener_closed);
  http_exchange_release(rig->held[0]);
  rig->held[0] = NULL;
  assert_true(rig->listener_closed);
  close(client);
}

static void accepting_pauses_at_the_limit_of_connections(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){.limits = {.connections = 2}});
  int clients[3];
  struct server_reply reply = {0};
  for (int i = 0; i < 3; i++) clients[i] = server_rig_dial(rig);
  assert_int_equal(send(clients[2], GET, strlen(GET), 0), strlen(GET));
  server_rig_quiesce(rig);
  assert_int_equal(http_listener_stats(rig->listener).connections, 2);
  assert_int_equal(http_listener_stats(rig->listener).full, 1);
  server_reply_read(clients[2], &reply);
  assert_int_equal(reply.length, 0);
  close(clients[0]);
  server_reply_await_answers(rig, clients[2], &reply, 1);
  assert_int_equal(server_reply_status(&reply), 200);
  close(clients[1]);
  close(clients[2]);
}

static void accepting_survives_a_lack_of_descriptors(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct rlimit before, tight;
  struct server_reply reply = {0};
  int client = server_rig_dial(rig);
  assert_int_equal(send(client, GET, strlen(GET), 0), strlen(GET));
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  tight = before;
  tight.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  server_rig_quiesce(rig);
  /* Once, not once a turn: it waits. */
  assert_int_equal(http_listener_stats(rig->listener).starved, 1);
  server_rig_advance(rig, 0.15);
  assert_int_equal(http_listener_stats(rig->listener).starved, 2);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  server_rig_advance(rig, 0.15);
  server_reply_await_answers(rig, client, &reply, 1);
  assert_int_equal(server_reply_status(&reply), 200);
  close(client);
}

static void a_thousand_connections_opened_and_reset_leave_nothing_behind(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < 1000; i++) {
    int client = server_rig_dial(rig);
    if (i % 3 != 0) assert_true(send(client, GET GET, (size_t)(i % 50) + 1, 0) > 0);
    if (i % 2 == 0) server_rig_turn(rig);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
  }
  server_rig_quiesce(rig);
  server_rig_await_connections(rig, 0);
  assert_int_equal(http_listener_stats(rig->listener).exchanges, 0);
  assert_int_equal(server_reply_status(server_reply_ask(rig, GET, strlen(GET))), 200);
}

static void an_idle_connection_holds_little_memory(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = server_rig_dial(rig);
  struct server_reply reply = {0};
  server_rig_send_text(rig, client, GET);
  server_reply_await_answers(rig, client, &reply, 1);
  struct http_connection *connection = rig->listener->connections;
  assert_null(connection->incoming);
  assert_null(connection->first);
  assert_int_equal(connection->stash.capacity + connection->output.writing.capacity +
                       connection->output.waiting.capacity,
                   0);
  assert_true(sizeof *connection < 2048);
  close(client);
}

#define IN_RIG(name) cmocka_unit_test_setup_teardown(name, server_rig_set_up, server_rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_RIG(a_client_that_leaves_does_not_take_the_exchange_with_it),
      IN_RIG(a_client_that_only_ends_its_side_still_gets_its_answers),
      IN_RIG(draining_answers_what_has_come_and_takes_no_more),
      IN_RIG(draining_answers_a_pipeline_that_is_not_parsed_yet),
      IN_RIG(closing_a_listener_ends_its_connections_but_not_its_exchanges),
      IN_RIG(accepting_pauses_at_the_limit_of_connections),
      IN_RIG(accepting_survives_a_lack_of_descriptors),
      IN_RIG(a_thousand_connections_opened_and_reset_leave_nothing_behind),
      IN_RIG(an_idle_connection_holds_little_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
