/* Real sockets, the loop in the test's own thread, time-outs on a clock that stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/http_connection.h"

#define SECOND_NS 1000000000ull
#define HELD_MAX 64
#define PATIENCE_NS (20 * SECOND_NS)
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

enum mode { MODE_ECHO, MODE_HOLD, MODE_RELEASE, MODE_BIG };

struct rig {
  uv_loop_t loop;
  struct timer_heap timers;
  uint64_t now_ns;
  struct http_server *server;
  struct http_listener *listener;
  enum mode mode;
  struct http_exchange *held[HELD_MAX];
  size_t held_count;
  unsigned requests;
  bool listener_closed;
  char *big;
  size_t big_length;
};

static uint64_t rig_now(void *context) {
  return ((struct rig *)context)->now_ns;
}

static struct http_text text_of(const char *text) {
  return (struct http_text){.data = text, .length = strlen(text)};
}

static int answer(struct http_exchange *exchange, int status, const char *body, size_t length) {
  struct http_header header = {text_of("Content-Type"), text_of("text/plain")};
  struct http_response response = {
      .status = status, .headers = &header, .header_count = 1, .body = body, .body_length = length};
  return http_exchange_respond(exchange, &response, NULL);
}

static void on_request(void *context, struct http_exchange *exchange) {
  struct rig *rig = context;
  rig->requests++;
  if (rig->mode == MODE_HOLD) {
    assert_true(rig->held_count < HELD_MAX);
    rig->held[rig->held_count++] = exchange;
    return;
  }
  struct http_text body = http_exchange_body(exchange);
  struct http_text path = http_exchange_path(exchange);
  if (rig->mode == MODE_BIG) answer(exchange, 200, rig->big, rig->big_length);
  if (rig->mode == MODE_ECHO && body.length > 0) answer(exchange, 200, body.data, body.length);
  if (rig->mode == MODE_ECHO && body.length == 0) answer(exchange, 200, path.data, path.length);
  http_exchange_release(exchange);
}

static void on_closed(void *context) {
  ((struct rig *)context)->listener_closed = true;
}

static void listen_at(struct rig *rig, const char *text, struct http_listen_options options) {
  struct address address;
  struct err err = {0};
  struct http_handler handler = {.on_request = on_request, .on_closed = on_closed, .context = rig};
  assert_int_equal(address_parse(&address, text, &err), 0);
  rig->listener = http_server_listen(rig->server, &address, &handler, &options, &err);
  if (rig->listener == NULL) fail_msg("%s", err.message);
}

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  assert_int_equal(uv_loop_init(&rig->loop), 0);
  rig->now_ns = SECOND_NS;
  timer_heap_init(&rig->timers, rig_now, NULL, rig);
  rig->server = http_server_new(&rig->loop, &rig->timers, NULL);
  assert_non_null(rig->server);
  *state = rig;
  return 0;
}

static void turn(struct rig *rig) {
  timer_heap_run(&rig->timers, rig->now_ns);
  uv_run(&rig->loop, UV_RUN_NOWAIT);
}

/* Everything that can happen without more input or time has happened. */
static void quiesce(struct rig *rig) {
  for (int i = 0; i < 20; i++) turn(rig);
}

static int tear_down(void **state) {
  struct rig *rig = *state;
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

static void advance(struct rig *rig, double seconds) {
  uint64_t end = rig->now_ns + (uint64_t)(seconds * 1e9), due;
  while (timer_heap_next(&rig->timers, &due) && due <= end) {
    rig->now_ns = due > rig->now_ns ? due : rig->now_ns;
    quiesce(rig);
  }
  rig->now_ns = end;
  quiesce(rig);
}

static int dial(const struct rig *rig) {
  const union address_socket *socket_address = &http_listener_address(rig->listener)->socket;
  int client = socket(socket_address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(client >= 0);
  assert_int_equal(connect(client, &socket_address->any, address_socket_length(socket_address)), 0);
  assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
  return client;
}

static bool is_late(uint64_t start) {
  return uv_hrtime() - start > PATIENCE_NS;
}

static void send_bytes(struct rig *rig, int client, const char *bytes, size_t length) {
  uint64_t start = uv_hrtime();
  while (length > 0) {
    ssize_t sent = send(client, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return; /* the server may have closed */
    if (sent > 0) {
      bytes += sent;
      length -= (size_t)sent;
    }
    turn(rig);
    assert_false(is_late(start));
  }
}

static void send_text(struct rig *rig, int client, const char *text) {
  send_bytes(rig, client, text, strlen(text));
}

struct reply {
  char bytes[65536];
  size_t length;
  bool closed; /* the server has ended its side */
  bool reset;
};

static void read_some(int client, struct reply *reply) {
  ssize_t count =
      recv(client, reply->bytes + reply->length, sizeof reply->bytes - 1 - reply->length, 0);
  if (count > 0) reply->length += (size_t)count;
  if (count == 0 && reply->length < sizeof reply->bytes - 1) reply->closed = true;
  if (count < 0 && errno != EAGAIN) reply->closed = reply->reset = true;
  reply->bytes[reply->length] = '\0';
}

static unsigned count_of(const char *text, const char *word) {
  unsigned count = 0;
  for (text = strstr(text, word); text != NULL; text = strstr(text + 1, word)) count++;
  return count;
}

/* Reads until `count` answers have come or the server has closed. */
static void await_answers(struct rig *rig, int client, struct reply *reply, unsigned count) {
  uint64_t start = uv_hrtime();
  while (!reply->closed && count_of(reply->bytes, "HTTP/1.1 ") < count) {
    turn(rig);
    read_some(client, reply);
    assert_false(is_late(start));
  }
  quiesce(rig);
  read_some(client, reply);
}

static void await_close(struct rig *rig, int client, struct reply *reply) {
  uint64_t start = uv_hrtime();
  while (!reply->closed) {
    turn(rig);
    read_some(client, reply);
    assert_false(is_late(start));
  }
}

static void await_requests(struct rig *rig, unsigned count) {
  uint64_t start = uv_hrtime();
  while (rig->requests < count) {
    turn(rig);
    assert_false(is_late(start));
  }
  quiesce(rig);
}

static void await_connections(struct rig *rig, unsigned count) {
  uint64_t start = uv_hrtime();
  while (http_listener_stats(rig->listener).connections != count) {
    turn(rig);
    assert_false(is_late(start));
  }
}

static int status_of(const struct reply *reply) {
  if (strncmp(reply->bytes, "HTTP/1.1 ", 9) != 0) return 0;
  return (int)strtol(reply->bytes + 9, NULL, 10);
}

static const char *body_of(const struct reply *reply) {
  const char *end = strstr(reply->bytes, "\r\n\r\n");
  return end == NULL ? "" : end + 4;
}

/* One request on a connection of its own. */
static struct reply *ask(struct rig *rig, const char *bytes, size_t length) {
  static struct reply reply;
  memset(&reply, 0, sizeof reply);
  int client = dial(rig);
  send_bytes(rig, client, bytes, length);
  await_answers(rig, client, &reply, 1);
  close(client);
  await_connections(rig, 0);
  return &reply;
}

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
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct reply *reply = ask(rig, rows[i].bytes, strlen(rows[i].bytes));
    if (status_of(reply) != rows[i].status || reply->closed != rows[i].closed || reply->reset)
      fail_msg("%s: %d, closed %d, reset %d", rows[i].bytes, status_of(reply), reply->closed,
               reply->reset);
    assert_int_equal(count_of(reply->bytes, "HTTP/1.1 "), 1);
    if (rows[i].closed) assert_non_null(strstr(reply->bytes, "\r\nConnection: close\r\n"));
  }
}

static void a_request_split_anywhere_gets_the_same_answer(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  const char *bytes =
      "POST /%61 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
  int client = dial(rig);
  for (size_t cut = 1; cut < strlen(bytes); cut++) {
    struct reply reply = {0};
    send_bytes(rig, client, bytes, cut);
    quiesce(rig);
    send_text(rig, client, bytes + cut);
    await_answers(rig, client, &reply, 1);
    assert_int_equal(status_of(&reply), 200);
    assert_string_equal(body_of(&reply), "ok");
    assert_false(reply.closed);
  }
  close(client);
}

static void head_and_empty_statuses_have_no_body_but_the_right_length(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  const char *head = "HEAD /1234 HTTP/1.1\r\nHost: a\r\n\r\n";
  struct reply *reply = ask(rig, head, strlen(head));
  assert_non_null(strstr(reply->bytes, "\r\nContent-Length: 5\r\n"));
  assert_string_equal(body_of(reply), "");

  rig->mode = MODE_HOLD;
  struct reply empty = {0};
  int client = dial(rig);
  send_text(rig, client, GET);
  await_requests(rig, 2);
  answer(rig->held[0], 204, "not sent", 8);
  await_answers(rig, client, &empty, 1);
  assert_null(strstr(empty.bytes, "Content-Length"));
  assert_string_equal(body_of(&empty), "");
  close(client);
}

static void an_answer_has_a_date_and_the_handlers_headers(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct reply *reply = ask(rig, GET, strlen(GET));
  assert_non_null(strstr(reply->bytes, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: "));
  const char *date = strstr(reply->bytes, "Date: ");
  struct tm parts;
  assert_non_null(strptime(date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts));
  assert_string_equal(body_of(reply), "/");
}

static void pipelined_answers_come_in_order_whatever_order_they_are_made_in(void **state) {
  struct rig *rig = *state;
  struct reply reply = {0};
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  send_text(rig, client, GET GET GET);
  await_requests(rig, 3);
  assert_int_equal(http_listener_stats(rig->listener).exchanges, 3);
  answer(rig->held[2], 200, "third", 5);
  answer(rig->held[1], 200, "second", 6);
  quiesce(rig);
  read_some(client, &reply);
  assert_int_equal(reply.length, 0);
  answer(rig->held[0], 200, "first", 5);
  await_answers(rig, client, &reply, 3);
  const char *first = strstr(reply.bytes, "first"), *second = strstr(reply.bytes, "second");
  assert_true(first != NULL && second > first && strstr(reply.bytes, "third") > second);
  assert_int_equal(http_listener_stats(rig->listener).exchanges, 0);
  close(client);
}

static void a_thousand_pipelined_requests_are_all_answered(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct reply *reply = calloc(1, sizeof *reply);
  int client = dial(rig);
  unsigned answers = 0;
  for (int i = 0; i < 1000; i++)
    assert_int_equal(send(client, GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
  uint64_t start = uv_hrtime();
  while (answers < 1000 && !reply->closed) {
    turn(rig);
    read_some(client, reply);
    const char *last = NULL;
    for (char *at = reply->bytes; (at = strstr(at, "\r\n\r\n/")) != NULL; last = at) {
      at += 5;
      answers++;
    }
    if (last != NULL) {
      reply->length -= (size_t)(last - reply->bytes);
      memmove(reply->bytes, last, reply->length + 1);
    }
    assert_false(is_late(start));
  }
  assert_int_equal(answers, 1000);
  close(client);
  free(reply);
}

static void no_more_than_sixteen_requests_are_taken_ahead(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  for (int i = 0; i < 40; i++) send_text(rig, client, GET);
  quiesce(rig);
  assert_int_equal(rig->held_count, HTTP_PIPELINE_MAX);
  for (size_t i = 0; i < rig->held_count; i++) {
    answer(rig->held[i], 200, "x", 1);
    http_exchange_release(rig->held[i]);
    rig->held[i] = NULL;
    quiesce(rig);
    assert_true(rig->held_count <= i + 1 + HTTP_PIPELINE_MAX);
  }
  await_answers(rig, client, &reply, 40);
  assert_int_equal(rig->held_count, 40);
  close(client);
}

static void bodies_taken_ahead_are_bounded(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){.limits = {.body_bytes = 10}});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  for (int i = 0; i < 5; i++)
    send_text(rig, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123456");
  quiesce(rig);
  assert_int_equal(rig->held_count, 2);
  answer(rig->held[0], 200, "", 0);
  quiesce(rig);
  assert_int_equal(rig->held_count, 3);
  close(client);
}

static void an_early_error_waits_for_the_answers_before_it(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET "bad\r\n\r\n" GET);
  quiesce(rig);
  read_some(client, &reply);
  assert_int_equal(reply.length, 0);
  assert_int_equal(rig->requests, 1);
  answer(rig->held[0], 200, "first", 5);
  await_close(rig, client, &reply);
  assert_int_equal(count_of(reply.bytes, "HTTP/1.1 "), 2);
  assert_true(strstr(reply.bytes, "first") < strstr(reply.bytes, "HTTP/1.1 400 "));
  assert_int_equal(http_listener_stats(rig->listener).refused, 1);
  close(client);
}

static void a_client_that_asks_gets_100_continue_in_its_turn(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client,
            GET "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  quiesce(rig);
  /* While the first is handled the second cannot be slow. */
  advance(rig, 200);
  read_some(client, &reply);
  assert_int_equal(reply.length, 0);
  answer(rig->held[0], 200, "x", 1);
  await_answers(rig, client, &reply, 2);
  assert_non_null(strstr(reply.bytes, "xHTTP/1.1 100 Continue\r\n\r\n"));
  assert_int_equal(rig->requests, 1);
  send_text(rig, client, "ok");
  await_requests(rig, 2);
  assert_int_equal(http_exchange_body(rig->held[1]).length, 2);
  close(client);
}

static void limits_are_answered_with_their_status(void **state) {
  struct rig *rig = *state;
  static char bytes[50000];
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){.limits = {.body_bytes = 1000}});
  int length = snprintf(bytes, sizeof bytes, "GET /%09000d HTTP/1.1\r\nHost: a\r\n\r\n", 1);
  assert_int_equal(status_of(ask(rig, bytes, (size_t)length)), 414);
  length = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\nA: %040000d\r\n\r\n", 1);
  assert_int_equal(status_of(ask(rig, bytes, (size_t)length)), 431);
  length = snprintf(bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: a\r\n");
  for (int i = 0; i < 100; i++)
    length += snprintf(bytes + length, sizeof bytes - (size_t)length, "A: b\r\n");
  assert_int_equal(status_of(ask(rig, bytes, (size_t)length)), 431);
  length = snprintf(bytes, sizeof bytes,
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n%040000d", 1);
  struct reply *reply = ask(rig, bytes, (size_t)length);
  assert_int_equal(status_of(reply), 413);
  assert_false(reply->reset);
}

static void a_slow_head_is_answered_with_408_and_a_good_client_not_touched(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int slow = dial(rig), good = dial(rig);
  struct reply slow_reply = {0}, good_reply = {0};
  for (int i = 0; i < 9; i++) {
    send_text(rig, slow, i == 0 ? "GET / HTTP/1.1\r\n" : "A: b\r\n");
    send_text(rig, good, GET);
    await_answers(rig, good, &good_reply, (unsigned)i + 1);
    advance(rig, 1);
  }
  read_some(slow, &slow_reply);
  assert_int_equal(slow_reply.length, 0);
  advance(rig, 2);
  await_close(rig, slow, &slow_reply);
  assert_int_equal(status_of(&slow_reply), 408);
  send_text(rig, good, GET);
  await_answers(rig, good, &good_reply, 10);
  assert_false(good_reply.closed);
  assert_int_equal(count_of(good_reply.bytes, "HTTP/1.1 200 OK"), 10);
  close(slow);
  close(good);
}

static void an_idle_connection_is_closed_in_silence(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET);
  await_answers(rig, client, &reply, 1);
  size_t length = reply.length;
  advance(rig, 74);
  read_some(client, &reply);
  assert_false(reply.closed);
  send_text(rig, client, GET);
  await_answers(rig, client, &reply, 2);
  advance(rig, 74);
  read_some(client, &reply);
  assert_false(reply.closed);
  advance(rig, 2);
  await_close(rig, client, &reply);
  assert_int_equal(reply.length, 2 * length);
  assert_false(reply.reset);
  close(client);
}

static void a_handler_may_take_longer_than_any_time_out(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET);
  await_requests(rig, 1);
  advance(rig, 1000);
  answer(rig->held[0], 200, "late", 4);
  await_answers(rig, client, &reply, 1);
  assert_int_equal(status_of(&reply), 200);
  close(client);
}

static void a_body_that_stops_is_answered_with_408(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  quiesce(rig);
  static char piece[25000];
  memset(piece, 'x', sizeof piece);
  for (int i = 0; i < 3; i++) {
    advance(rig, 25);
    send_bytes(rig, client, piece, sizeof piece);
    quiesce(rig);
  }
  read_some(client, &reply);
  assert_int_equal(reply.length, 0);
  advance(rig, 31);
  await_close(rig, client, &reply);
  assert_int_equal(status_of(&reply), 408);
  close(client);
}

static void a_body_that_drips_is_answered_with_408(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 29 && !reply.closed; i++) {
    send_text(rig, client, "x");
    advance(rig, 1);
    read_some(client, &reply);
  }
  assert_false(reply.closed);
  send_text(rig, client, "x");
  advance(rig, 2);
  await_close(rig, client, &reply);
  assert_int_equal(status_of(&reply), 408);
  close(client);
}

static void a_stalled_process_does_not_time_out_clients_whose_bytes_are_there(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, "GET / HTTP/1.1\r\nHost: a\r\n");
  quiesce(rig);
  assert_int_equal(send(client, "\r\n", 2, 0), 2);
  rig->now_ns += 15 * SECOND_NS;
  timer_heap_run(&rig->timers, rig->now_ns);
  await_answers(rig, client, &reply, 1);
  assert_int_equal(status_of(&reply), 200);
  close(client);
}

static void make_big(struct rig *rig, size_t length) {
  rig->mode = MODE_BIG;
  rig->big_length = length;
  rig->big = malloc(length);
  assert_non_null(rig->big);
  for (size_t i = 0; i < length; i++) rig->big[i] = (char)('a' + i % 23);
}

static void a_large_answer_reaches_a_slow_reader_whole(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  make_big(rig, 20 << 20);
  int client = dial(rig);
  /* Two, so that the second is written behind the first. */
  send_text(rig, client, GET GET);
  quiesce(rig);
  static char piece[65536];
  size_t total = 0, at = 0;
  unsigned wrong = 0;
  int answers = 0;
  uint64_t start = uv_hrtime();
  while (answers < 2) {
    turn(rig);
    ssize_t count = recv(client, piece, sizeof piece, 0);
    assert_false(is_late(start));
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
    advance(rig, 1); /* slow, but it moves */
  }
  assert_int_equal(wrong, 0);
  close(client);
}

static void a_client_that_takes_nothing_is_dropped(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  make_big(rig, 20 << 20);
  int client = dial(rig);
  send_text(rig, client, GET);
  await_requests(rig, 1);
  advance(rig, 25);
  assert_int_equal(http_listener_stats(rig->listener).connections, 1);
  advance(rig, 16);
  await_connections(rig, 0);
  close(client);
}

static void a_client_that_leaves_does_not_take_the_exchange_with_it(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  send_text(rig, client, "POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
  await_requests(rig, 1);
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(client);
  await_connections(rig, 0);
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
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET GET "GET / HT");
  shutdown(client, SHUT_WR);
  await_requests(rig, 2);
  answer(rig->held[0], 200, "one", 3);
  answer(rig->held[1], 200, "two", 3);
  await_close(rig, client, &reply);
  assert_int_equal(count_of(reply.bytes, "HTTP/1.1 200"), 2);
  assert_false(reply.reset);
  await_connections(rig, 0);
  close(client);
}

static void an_exchange_that_nobody_answers_becomes_500(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_RELEASE;
  struct reply *reply = ask(rig, GET, strlen(GET));
  assert_int_equal(status_of(reply), 500);
  assert_false(reply->closed);
}

static void an_answer_that_would_split_the_message_is_refused(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET);
  await_requests(rig, 1);
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
  assert_int_equal(answer(rig->held[0], 200, "ok", 2), 0);
  response.status = 200;
  assert_int_equal(http_exchange_respond(rig->held[0], &response, &err), -1);
  assert_string_equal(err.code, "answered");
  await_answers(rig, client, &reply, 1);
  assert_string_equal(body_of(&reply), "ok");
  close(client);
}

static void draining_answers_what_has_come_and_takes_no_more(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int busy = dial(rig), idle = dial(rig), late = dial(rig);
  struct reply busy_reply = {0}, idle_reply = {0}, late_reply = {0};
  send_text(rig, busy, GET GET);
  await_requests(rig, 2);
  await_connections(rig, 3);
  int queued = dial(rig); /* in the backlog, with its request */
  assert_int_equal(send(queued, GET, strlen(GET), 0), strlen(GET));
  http_listener_drain(rig->listener);
  const union address_socket *address = &http_listener_address(rig->listener)->socket;
  int refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(refused, &address->any, address_socket_length(address)), -1);
  close(refused);
  await_requests(rig, 3);

  advance(rig, 0.3);
  send_text(rig, late, GET);
  await_requests(rig, 4);
  advance(rig, 0.3);
  await_close(rig, idle, &idle_reply);
  assert_int_equal(idle_reply.length, 0);

  for (size_t i = 0; i < 4; i++) answer(rig->held[i], 200, "x", 1);
  await_close(rig, busy, &busy_reply);
  assert_int_equal(count_of(busy_reply.bytes, "HTTP/1.1 200"), 2);
  assert_int_equal(count_of(busy_reply.bytes, "Connection: close"), 1);
  await_close(rig, late, &late_reply);
  assert_int_equal(status_of(&late_reply), 200);
  memset(&late_reply, 0, sizeof late_reply);
  await_close(rig, queued, &late_reply);
  assert_int_equal(status_of(&late_reply), 200);
  close(busy);
  close(idle);
  close(late);
  close(queued);
  await_connections(rig, 0);
}

static void draining_answers_a_pipeline_that_is_not_parsed_yet(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  for (int i = 0; i < 20; i++) send_text(rig, client, GET);
  quiesce(rig);
  assert_int_equal(rig->held_count, HTTP_PIPELINE_MAX);
  http_listener_drain(rig->listener);
  for (size_t i = 0; i < rig->held_count; i++) {
    answer(rig->held[i], 200, "x", 1);
    quiesce(rig);
  }
  await_close(rig, client, &reply);
  assert_int_equal(count_of(reply.bytes, "HTTP/1.1 200"), 20);
  assert_int_equal(count_of(reply.bytes, "Connection: close"), 1);
  close(client);
}

static void closing_a_listener_ends_its_connections_but_not_its_exchanges(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET);
  await_requests(rig, 1);
  http_listener_close(rig->listener);
  await_close(rig, client, &reply);
  assert_true(http_exchange_is_gone(rig->held[0]));
  assert_false(rig->listener_closed);
  http_exchange_release(rig->held[0]);
  rig->held[0] = NULL;
  assert_true(rig->listener_closed);
  close(client);
}

static void accepting_pauses_at_the_limit_of_connections(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){.limits = {.connections = 2}});
  int clients[3];
  struct reply reply = {0};
  for (int i = 0; i < 3; i++) clients[i] = dial(rig);
  assert_int_equal(send(clients[2], GET, strlen(GET), 0), strlen(GET));
  quiesce(rig);
  assert_int_equal(http_listener_stats(rig->listener).connections, 2);
  assert_int_equal(http_listener_stats(rig->listener).full, 1);
  read_some(clients[2], &reply);
  assert_int_equal(reply.length, 0);
  close(clients[0]);
  await_answers(rig, clients[2], &reply, 1);
  assert_int_equal(status_of(&reply), 200);
  close(clients[1]);
  close(clients[2]);
}

static void accepting_survives_a_lack_of_descriptors(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct rlimit before, tight;
  struct reply reply = {0};
  int client = dial(rig);
  assert_int_equal(send(client, GET, strlen(GET), 0), strlen(GET));
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  tight = before;
  tight.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  quiesce(rig);
  /* Once, not once a turn: it waits. */
  assert_int_equal(http_listener_stats(rig->listener).starved, 1);
  advance(rig, 0.15);
  assert_int_equal(http_listener_stats(rig->listener).starved, 2);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  advance(rig, 0.15);
  await_answers(rig, client, &reply, 1);
  assert_int_equal(status_of(&reply), 200);
  close(client);
}

static void a_thousand_connections_opened_and_reset_leave_nothing_behind(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < 1000; i++) {
    int client = dial(rig);
    if (i % 3 != 0) assert_true(send(client, GET GET, (size_t)(i % 50) + 1, 0) > 0);
    if (i % 2 == 0) turn(rig);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
  }
  quiesce(rig);
  await_connections(rig, 0);
  assert_int_equal(http_listener_stats(rig->listener).exchanges, 0);
  assert_int_equal(status_of(ask(rig, GET, strlen(GET))), 200);
}

static void an_idle_connection_holds_little_memory(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  int client = dial(rig);
  struct reply reply = {0};
  send_text(rig, client, GET);
  await_answers(rig, client, &reply, 1);
  struct http_connection *connection = rig->listener->connections;
  assert_null(connection->incoming);
  assert_null(connection->first);
  assert_int_equal(
      connection->stash.capacity + connection->writing.capacity + connection->waiting.capacity, 0);
  assert_true(sizeof *connection < 2048);
  close(client);
}

/* --- Unix sockets --------------------------------------------------------------------- */

struct folder {
  char path[600];
  char socket[700]; /* longer than a sockaddr_un holds */
  char address[710];
};

static void make_folder(struct folder *folder) {
  int length = snprintf(folder->path, sizeof folder->path, "/tmp/tidegate_%d_XXXXXX", getpid());
  assert_non_null(mkdtemp(folder->path));
  for (int i = 0; i < 2; i++) {
    length += snprintf(folder->path + length, sizeof folder->path - (size_t)length, "/%0200d", i);
    assert_int_equal(mkdir(folder->path, 0700), 0);
  }
  snprintf(folder->socket, sizeof folder->socket, "%s/tidegate.sock", folder->path);
  snprintf(folder->address, sizeof folder->address, "unix:%s", folder->socket);
}

static void remove_folder(struct folder *folder) {
  for (int i = 0; i < 3; i++) {
    rmdir(folder->path);
    *strrchr(folder->path, '/') = '\0';
  }
}

static int dial_unix(const struct folder *folder) {
  int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int place = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/tidegate.sock", place);
  assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
  close(place);
  return client;
}

static void a_unix_socket_with_a_long_path_serves_its_owner_only(void **state) {
  struct rig *rig = *state;
  struct folder folder;
  struct stat file;
  struct reply reply = {0};
  char peer[ADDRESS_SOCKET_TEXT_MAX];
  make_folder(&folder);
  listen_at(rig, folder.address, (struct http_listen_options){0});
  rig->mode = MODE_HOLD;
  assert_int_equal(stat(folder.socket, &file), 0);
  assert_int_equal(file.st_mode & 0777, 0600);
  int client = dial_unix(&folder);
  send_text(rig, client, GET);
  await_requests(rig, 1);
  assert_int_equal(http_exchange_peer_uid(rig->held[0]), getuid());
  http_exchange_peer(rig->held[0], peer, sizeof peer);
  assert_string_equal(peer, "unix");
  answer(rig->held[0], 200, "ok", 2);
  await_answers(rig, client, &reply, 1);
  assert_int_equal(status_of(&reply), 200);
  http_listener_drain(rig->listener);
  assert_int_equal(stat(folder.socket, &file), -1);
  close(client);
  remove_folder(&folder);
}

static int try_listen(struct rig *rig, const struct folder *folder, struct err *err) {
  struct address address;
  (void)rig;
  assert_int_equal(address_parse(&address, folder->address, err), 0);
  return listener_bind(&address, false, err);
}

static void a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not(void **state) {
  struct rig *rig = *state;
  struct folder folder;
  struct err err;
  struct stat before, after;
  make_folder(&folder);
  int stale = try_listen(rig, &folder, &err);
  assert_true(stale >= 0);
  close(stale); /* the file stays */
  assert_int_equal(stat(folder.socket, &before), 0);
  listen_at(rig, folder.address, (struct http_listen_options){0});
  assert_int_equal(stat(folder.socket, &before), 0);
  assert_int_equal(try_listen(rig, &folder, &err), -1);
  assert_string_equal(err.code, "address_in_use");
  assert_int_equal(stat(folder.socket, &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  http_listener_close(rig->listener);
  quiesce(rig);

  int file = open(folder.socket, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(file >= 0);
  close(file);
  assert_int_equal(try_listen(rig, &folder, &err), -1);
  assert_string_equal(err.code, "io_error");
  assert_int_equal(unlink(folder.socket), 0);
  remove_folder(&folder);
}

static void a_taken_port_is_named_in_the_error(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct err err;
  char text[ADDRESS_TEXT_MAX];
  address_format(http_listener_address(rig->listener), text, sizeof text);
  assert_int_equal(listener_bind(http_listener_address(rig->listener), false, &err), -1);
  assert_string_equal(err.code, "address_in_use");
  assert_non_null(strstr(err.message, text));
}

static void two_listeners_share_a_port_when_both_ask_for_it(void **state) {
  struct rig *rig = *state;
  listen_at(rig, "127.0.0.1:0", (struct http_listen_options){.reuse_port = true});
  struct err err;
  int second = listener_bind(http_listener_address(rig->listener), true, &err);
  assert_true(second >= 0);
  close(second);
}

static void a_bound_descriptor_can_be_adopted(void **state) {
  struct rig *rig = *state;
  struct address address;
  struct err err;
  assert_int_equal(address_parse(&address, "[::1]:0", &err), 0);
  int descriptor = listener_bind(&address, false, &err);
  if (descriptor < 0) skip(); /* a machine without IPv6 */
  listen_at(rig, "[::1]:0", (struct http_listen_options){.adopt = true, .descriptor = descriptor});
  assert_int_not_equal(http_listener_address(rig->listener)->socket.v6.sin6_port, 0);
  assert_int_equal(status_of(ask(rig, GET, strlen(GET))), 200);
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      IN_RIG(each_request_gets_its_status_and_only_good_ones_keep_the_connection),
      IN_RIG(a_request_split_anywhere_gets_the_same_answer),
      IN_RIG(head_and_empty_statuses_have_no_body_but_the_right_length),
      IN_RIG(an_answer_has_a_date_and_the_handlers_headers),
      IN_RIG(pipelined_answers_come_in_order_whatever_order_they_are_made_in),
      IN_RIG(a_thousand_pipelined_requests_are_all_answered),
      IN_RIG(no_more_than_sixteen_requests_are_taken_ahead),
      IN_RIG(bodies_taken_ahead_are_bounded),
      IN_RIG(an_early_error_waits_for_the_answers_before_it),
      IN_RIG(a_client_that_asks_gets_100_continue_in_its_turn),
      IN_RIG(limits_are_answered_with_their_status),
      IN_RIG(a_slow_head_is_answered_with_408_and_a_good_client_not_touched),
      IN_RIG(an_idle_connection_is_closed_in_silence),
      IN_RIG(a_handler_may_take_longer_than_any_time_out),
      IN_RIG(a_body_that_stops_is_answered_with_408),
      IN_RIG(a_body_that_drips_is_answered_with_408),
      IN_RIG(a_stalled_process_does_not_time_out_clients_whose_bytes_are_there),
      IN_RIG(a_large_answer_reaches_a_slow_reader_whole),
      IN_RIG(a_client_that_takes_nothing_is_dropped),
      IN_RIG(a_client_that_leaves_does_not_take_the_exchange_with_it),
      IN_RIG(a_client_that_only_ends_its_side_still_gets_its_answers),
      IN_RIG(an_exchange_that_nobody_answers_becomes_500),
      IN_RIG(an_answer_that_would_split_the_message_is_refused),
      IN_RIG(draining_answers_what_has_come_and_takes_no_more),
      IN_RIG(draining_answers_a_pipeline_that_is_not_parsed_yet),
      IN_RIG(closing_a_listener_ends_its_connections_but_not_its_exchanges),
      IN_RIG(accepting_pauses_at_the_limit_of_connections),
      IN_RIG(accepting_survives_a_lack_of_descriptors),
      IN_RIG(a_thousand_connections_opened_and_reset_leave_nothing_behind),
      IN_RIG(an_idle_connection_holds_little_memory),
      IN_RIG(a_unix_socket_with_a_long_path_serves_its_owner_only),
      IN_RIG(a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not),
      IN_RIG(a_taken_port_is_named_in_the_error),
      IN_RIG(two_listeners_share_a_port_when_both_ask_for_it),
      IN_RIG(a_bound_descriptor_can_be_adopted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
