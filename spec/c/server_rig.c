#include "server_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_NS (20 * SECOND_NS)

static uint64_t rig_now(void *context) {
  return ((struct server_rig *)context)->now_ns;
}

static struct http_text text_of(const char *text) {
  return (struct http_text){.data = text, .length = strlen(text)};
}

int server_rig_answer(struct http_exchange *exchange, int status, const char *body, size_t length) {
  struct http_header header = {text_of("Content-Type"), text_of("text/plain")};
  struct http_response response = {
      .status = status, .headers = &header, .header_count = 1, .body = body, .body_length = length};
  return http_exchange_respond(exchange, &response, NULL);
}

static void on_request(void *context, struct http_exchange *exchange) {
  struct server_rig *rig = context;
  rig->requests++;
  if (rig->mode == SERVER_RIG_HOLD) {
    assert_true(rig->held_count < HELD_MAX);
    rig->held[rig->held_count++] = exchange;
    return;
  }
  struct http_text body = http_exchange_body(exchange);
  struct http_text path = http_exchange_path(exchange);
  if (rig->mode == SERVER_RIG_BIG) server_rig_answer(exchange, 200, rig->big, rig->big_length);
  if (rig->mode == SERVER_RIG_ECHO && body.length > 0)
    server_rig_answer(exchange, 200, body.data, body.length);
  if (rig->mode == SERVER_RIG_ECHO && body.length == 0)
    server_rig_answer(exchange, 200, path.data, path.length);
  http_exchange_release(exchange);
}

static void on_closed(void *context) {
  ((struct server_rig *)context)->listener_closed = true;
}

void server_rig_listen(struct server_rig *rig, const char *text,
                       struct http_listen_options options) {
  struct address address;
  struct err err = {0};
  struct http_handler handler = {.on_request = on_request, .on_closed = on_closed, .context = rig};
  assert_int_equal(address_parse(&address, text, &err), 0);
  rig->listener = http_server_listen(rig->server, &address, &handler, &options, &err);
  if (rig->listener == NULL) fail_msg("%s", err.message);
}

int server_rig_set_up(void **state) {
  struct server_rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  signal(SIGPIPE, SIG_IGN);
  assert_int_equal(uv_loop_init(&rig->loop), 0);
  rig->now_ns = SECOND_NS;
  timer_heap_init(&rig->timers, rig_now, NULL, rig);
  rig->server = http_server_new(&rig->loop, &rig->timers, NULL);
  assert_non_null(rig->server);
  *state = rig;
  return 0;
}

void server_rig_turn(struct server_rig *rig) {
  timer_heap_run(&rig->timers, rig->now_ns);
  uv_run(&rig->loop, UV_RUN_NOWAIT);
}

void server_rig_quiesce(struct server_rig *rig) {
  for (int i = 0; i < 20; i++) server_rig_turn(rig);
}

int server_rig_tear_down(void **state) {
  struct server_rig *rig = *state;
  for (size_t i = 0; i < rig->held_count; i++)
    if (rig->held[i] != NULL) http_exchange_release(rig->held[i]);
  http_server_free(rig->server);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&rig->loop), 0);
  assert_int_equal(rig->timers.count, 0);
  timer_heap_deinit(&rig->timers);
  free(rig->big);
  free(rig);
  return 0;
}

void server_rig_advance(struct server_rig *rig, double seconds) {
  uint64_t end = rig->now_ns + (uint64_t)(seconds * 1e9), due;
  while (timer_heap_next(&rig->timers, &due) && due <= end) {
    rig->now_ns = due > rig->now_ns ? due : rig->now_ns;
    server_rig_quiesce(rig);
  }
  rig->now_ns = end;
  server_rig_quiesce(rig);
}

int server_rig_dial(const struct server_rig *rig) {
  const union address_socket *socket_address = &http_listener_address(rig->listener)->socket;
  int client = socket(socket_address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(client >= 0);
  assert_int_equal(connect(client, &socket_address->any, address_socket_length(socket_address)), 0);
  assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
  return client;
}

bool server_rig_is_late(uint64_t start) {
  return uv_hrtime() - start > PATIENCE_NS;
}

void server_rig_send(struct server_rig *rig, int client, const char *bytes, size_t length) {
  uint64_t start = uv_hrtime();
  while (length > 0) {
    ssize_t sent = send(client, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return; /* the server may have closed */
    if (sent > 0) {
      bytes += sent;
      length -= (size_t)sent;
    }
    server_rig_turn(rig);
    assert_false(server_rig_is_late(start));
  }
}

void server_rig_send_text(struct server_rig *rig, int client, const char *text) {
  server_rig_send(rig, client, text, strlen(text));
}

void server_rig_await_requests(struct server_rig *rig, unsigned count) {
  uint64_t start = uv_hrtime();
  while (rig->requests < count) {
    server_rig_turn(rig);
    assert_false(server_rig_is_late(start));
  }
  server_rig_quiesce(rig);
}

void server_rig_await_connections(struct server_rig *rig, unsigned count) {
  uint64_t start = uv_hrtime();
  while (http_listener_stats(rig->listener).connections != count) {
    server_rig_turn(rig);
    assert_false(server_rig_is_late(start));
  }
}
