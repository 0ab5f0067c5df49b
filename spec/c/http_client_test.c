#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "certificates.h"
#include "io/http_client.h"
#include "name_server.h"
#include "timer_loop.h"
#include "upstream.h"

#define PATIENCE_MS 20000
#define MIB (1024 * 1024)

struct fixture {
  struct timer_loop timer_loop;
  struct http_client *client;
  struct upstream *upstream;
  struct name_server *names; /* NULL but in the tests of names */
  struct certificates certificates;
};

struct call {
  struct http_request request;
  char url[512];
  struct http_operation *operation;
  int woken;
  struct err err; /* of the start, when operation is NULL */
};

/* --- the upstream's script ---------------------------------------------------------------- */

static size_t deflate_bytes(const void *bytes, size_t length, int window_bits, char **out) {
  z_stream stream = {0};
  deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  size_t most = deflateBound(&stream, length);
  *out = malloc(most);
  assert_non_null(*out);
  stream.next_in = (unsigned char *)bytes;
  stream.avail_in = (unsigned)length;
  stream.next_out = (unsigned char *)*out;
  stream.avail_out = (unsigned)most;
  deflate(&stream, Z_FINISH);
  size_t written = most - stream.avail_out;
  deflateEnd(&stream);
  return written;
}

static void answer_coded(struct upstream_connection *connection, const char *coding,
                         const char *text, size_t length, int window_bits, size_t cut) {
  char *packed, headers[128];
  size_t count = deflate_bytes(text, length, window_bits, &packed);
  snprintf(headers, sizeof headers, "Content-Encoding: %s\r\n", coding);
  upstream_answer(connection, 200, headers, packed, count - cut);
  free(packed);
}

static void answer_bomb(struct upstream_connection *connection) {
  char *zeros = calloc(64, MIB);
  answer_coded(connection, "gzip", zeros, (size_t)64 * MIB, 15 + 16, 0);
  free(zeros);
}

static void drip(struct upstream_connection *connection) {
  upstream_say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  while (!upstream_wait(connection, 20)) upstream_say(connection, "x");
}

static void send_many_headers(struct upstream_connection *connection) {
  upstream_say(connection, "HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 100000; i++) upstream_say(connection, "A: b\r\n");
  upstream_say(connection, "Content-Length: 0\r\n\r\n");
}

static void send_long_header(struct upstream_connection *connection) {
  static char block[65536];
  memset(block, 'a', sizeof block);
  upstream_say(connection, "HTTP/1.1 200 OK\r\nX: ");
  for (int i = 0; i < 64; i++) upstream_send(connection, block, sizeof block);
  upstream_say(connection, "\r\nContent-Length: 0\r\n\r\n");
}

static void send_endless_body(struct upstream_connection *connection) {
  static char block[65536];
  upstream_say(connection, "HTTP/1.1 200 OK\r\n\r\n");
  for (int i = 0; i < 1024; i++) upstream_send(connection, block, sizeof block);
}

struct fixed {
  const char *target;
  const char *bytes;
  bool stays;
};

/* What is answered byte for byte. */
static const struct fixed fixed_answers[] = {
    {"/chunked",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n"
     "X-Trailer: late\r\n\r\n",
     true},
    {"/chunk-cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabc", false},
    {"/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", false},
    {"/no-length", "HTTP/1.1 200 OK\r\n\r\nuntil the end", false},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", false},
    {"/two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 6\r\n\r\nabcdef",
     false},
    {"/bad-length", "HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc", false},
    {"/negative-length", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", false},
    {"/http09", "just some text, no head at all", false},
    {"/garbage-status", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", false},
    {"/low-status", "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", false},
    {"/101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nabc",
     true},
    {"/100",
     "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     true},
    {"/no-colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n", false},
    {"/folded", "HTTP/1.1 200 OK\r\nX-Long: one\r\n  two\r\n\tthree  \r\nContent-Length: 0\r\n\r\n",
     true},
    {"/odd-coding", "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok", true},
    {"/two-codings",
     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\nok", true},
    {"/bad-gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nabcdef",
     true},
    {"/odd-transfer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
     false},
    {"/too-much",
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4"
     "\r\n\r\nevil",
     true},
    {"/204", "HTTP/1.1 204 No Content\r\n\r\n", true},
    {"/304", "HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
     true},
    {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", true},
    {"/401", "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", true},
    {"/pairs",
     "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nx-UPPER:  spaced \r\nSet-Cookie: b=2\r\nEmpty:\r\n"
     "Content-Length: 0\r\n\r\n",
     true},
};

static const struct fixed *find_fixed(const char *target) {
  for (size_t i = 0; i < sizeof fixed_answers / sizeof fixed_answers[0]; i++)
    if (strcmp(fixed_answers[i].target, target) == 0) return &fixed_answers[i];
  return NULL;
}

static bool answer_slowly(struct upstream_connection *connection, const char *target) {
  if (upstream_wait(connection, (int)strtol(target, NULL, 10))) return false;
  upstream_answer(connection, 200, "", "slow", 4);
  return true;
}

/* A second answer that comes while the connection is idle. */
static bool answer_twice(struct upstream_connection *connection) {
  upstream_answer(connection, 200, "", "first", 5);
  if (upstream_wait(connection, 30)) return true;
  upstream_answer(connection, 200, "", "evil", 4);
  return true;
}

static bool answer(struct upstream_connection *connection, const struct upstream_request *request,
                   void *argument) {
  const char *target = request->target;
  (void)argument;
  const struct fixed *fixed = find_fixed(target);
  if (fixed != NULL) {
    upstream_say(connection, fixed->bytes);
    return fixed->stays;
  }
  if (strcmp(target, "/silent") == 0) return !upstream_wait(connection, PATIENCE_MS);
  if (strcmp(target, "/close") == 0) return false;
  if (strcmp(target, "/stale") == 0 && request->number > 1) return false;
  if (strcmp(target, "/once") == 0) {
    upstream_answer(connection, 200, "", "once", 4);
    return false;
  }
  if (strcmp(target, "/reset") == 0) {
    upstream_reset(connection);
    return false;
  }
  if (strcmp(target, "/drip") == 0) {
    drip(connection);
    return false;
  }
  if (strcmp(target, "/headers") == 0) {
    send_many_headers(connection);
    return false;
  }
  if (strcmp(target, "/long-header") == 0) {
    send_long_header(connection);
    return false;
  }
  if (strcmp(target, "/endless") == 0) {
    send_endless_body(connection);
    return false;
  }
  if (strncmp(target, "/slow/", 6) == 0) return answer_slowly(connection, target + 6);
  if (strcmp(target, "/twice") == 0) return answer_twice(connection);
  if (strcmp(target, "/bomb") == 0)
    answer_bomb(connection);
  else if (strcmp(target, "/gzip") == 0)
    answer_coded(connection, "gzip", "hello", 5, 15 + 16, 0);
  else if (strcmp(target, "/gzip-cut") == 0)
    answer_coded(connection, "gzip", "hello", 5, 15 + 16, 8);
  else if (strcmp(target, "/zlib") == 0)
    answer_coded(connection, "deflate", "hello", 5, 15, 0);
  else if (strcmp(target, "/deflate") == 0)
    answer_coded(connection, "deflate", "hello", 5, -15, 0);
  else if (strcmp(target, "/deflate-cut") == 0)
    answer_coded(connection, "deflate", "hello", 5, 15, 1);
  else if (strcmp(target, "/head") == 0)
    upstream_say(connection,
                 "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\n");
  else if (strcmp(target, "/echo") == 0)
    upstream_answer(connection, 200, "", request->text, request->length);
  else
    upstream_answer(connection, 200, "X-Answer: yes\r\n", "ok", 2);
  return true;
}

/* --- fixtures ----------------------------------------------------------------------------- */

static void open_client(struct fixture *fixture, const struct http_client_options *options) {
  struct err err;
  fixture->client =
      http_client_new(&fixture->timer_loop.loop, &fixture->timer_loop.timers, options, &err);
  if (fixture->client == NULL) fail_msg("%s", err.message);
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  timer_loop_init(&fixture->timer_loop);
  open_client(fixture, &(struct http_client_options){.ca = NULL});
  fixture->upstream = upstream_start(&(struct upstream_options){.answer = answer});
  *state = fixture;
  return 0;
}

static int set_up_names(void **state) {
  set_up(state);
  struct fixture *fixture = *state;
  http_client_free(fixture->client);
  fixture->names = name_server_start();
  open_client(fixture, &(struct http_client_options){
                           .resolver = {.servers = name_server_address(fixture->names),
                                        .lookup_timeout_ms = 3000}});
  return 0;
}

static int set_up_tls(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  timer_loop_init(&fixture->timer_loop);
  certificates_make(&fixture->certificates);
  open_client(fixture, &(struct http_client_options){.ca = fixture->certificates.authority});
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  http_client_free(fixture->client);
  timer_loop_deinit(&fixture->timer_loop);
  upstream_stop(fixture->upstream);
  name_server_stop(fixture->names);
  if (fixture->certificates.folder[0] != '\0') certificates_remove(&fixture->certificates);
  free(fixture);
  return 0;
}

static void on_wake(void *argument) {
  struct call *call = argument;
  call->woken++;
}

static bool is_over(void *argument) {
  return ((struct call *)argument)->woken > 0;
}

static void prepare(struct call *call, const char *method, const char *scheme, const char *host,
                    int port, const char *target) {
  memset(call, 0, sizeof *call);
  snprintf(call->url, sizeof call->url, "%s://%s:%d%s", scheme, host, port, target);
  call->request = (struct http_request){
      .method = method,
      .url = call->url,
      .url_length = strlen(call->url),
      .timeout_ms = PATIENCE_MS,
      .connect_timeout_ms = PATIENCE_MS,
      .response_max = 8 * MIB,
  };
}

static void prepare_get(struct fixture *fixture, struct call *call, const char *target) {
  prepare(call, "GET", "http", "127.0.0.1", upstream_port(fixture->upstream), target);
}

static void start(struct fixture *fixture, struct call *call) {
  call->operation = http_client_start(fixture->client, &call->request, on_wake, call, &call->err);
}

static void wait_for(struct fixture *fixture, struct call *call) {
  if (call->operation == NULL) fail_msg("not started: %s", call->err.message);
  if (!timer_loop_run_until(&fixture->timer_loop, is_over, call, PATIENCE_MS))
    fail_msg("no end: %s", call->url);
  assert_int_equal(call->woken, 1);
  assert_true(http_operation_is_done(call->operation));
}

static void perform(struct fixture *fixture, struct call *call) {
  start(fixture, call);
  wait_for(fixture, call);
}

static void finish(struct call *call) {
  http_operation_free(call->operation);
  call->operation = NULL;
}

static void assert_answer(const struct call *call, int status, const char *body) {
  const struct err *err = http_operation_error(call->operation);
  if (err != NULL) fail_msg("%s: %s: %s", call->url, err->code, err->message);
  const struct buf *bytes = http_operation_body(call->operation);
  assert_int_equal(http_operation_response(call->operation)->status, status);
  assert_int_equal(bytes->length, strlen(body));
  if (bytes->length > 0) assert_memory_equal(bytes->data, body, bytes->length);
}

static void assert_error(const struct call *call, const char *code) {
  const struct err *err = http_operation_error(call->operation);
  if (err == NULL) fail_msg("%s: no error", call->url);
  if (strcmp(err->code, code) != 0) fail_msg("%s: %s: %s", call->url, err->code, err->message);
}

static void get_expecting(struct fixture *fixture, const char *target, int status,
                          const char *body) {
  struct call call;
  prepare_get(fixture, &call, target);
  perform(fixture, &call);
  assert_answer(&call, status, body);
  finish(&call);
}

static void get_expecting_error(struct fixture *fixture, const char *target, const char *code) {
  struct call call;
  prepare_get(fixture, &call, target);
  perform(fixture, &call);
  assert_error(&call, code);
  assert_non_null(strstr(http_operation_error(call.operation)->message, "127.0.0.1"));
  assert_true(http_operation_sent(call.operation));
  finish(&call);
  /* Nothing of it is in the next call. */
  get_expecting(fixture, "/", 200, "ok");
}

/* --- answers ------------------------------------------------------------------------------ */

static void an_answer_comes_back_whole(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/");
  perform(fixture, &call);
  assert_answer(&call, 200, "ok");
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
  finish(&call);
}

static void answers_of_all_kinds_are_read(void **state) {
  struct fixture *fixture = *state;
  get_expecting(fixture, "/chunked", 200, "abcdef");
  get_expecting(fixture, "/no-length", 200, "until the end");
  get_expecting(fixture, "/100", 200, "ok");
  get_expecting(fixture, "/204", 204, "");
  get_expecting(fixture, "/304", 304, "");
  get_expecting(fixture, "/401", 401, "");
  get_expecting(fixture, "/once", 200, "once");
}

static void a_redirect_is_an_answer(void **state) {
  struct fixture *fixture = *state;
  get_expecting(fixture, "/redirect", 302, "");
  assert_int_equal(upstream_requests(fixture->upstream), 1);
}

static void coded_answers_are_decoded(void **state) {
  struct fixture *fixture = *state;
  get_expecting(fixture, "/gzip", 200, "hello");
  get_expecting(fixture, "/zlib", 200, "hello");
  get_expecting(fixture, "/deflate", 200, "hello");
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
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/pairs");
  perform(fixture, &call);
  assert_answer(&call, 200, "");
  const struct http_response *response = http_operation_response(call.operation);
  assert_int_equal(response->field_count, 5);
  assert_header(response, 0, "Set-Cookie", "a=1");
  assert_header(response, 1, "x-UPPER", "spaced");
  assert_header(response, 2, "Set-Cookie", "b=2");
  assert_header(response, 3, "Empty", "");
  finish(&call);
  prepare_get(fixture, &call, "/folded");
  perform(fixture, &call);
  assert_header(http_operation_response(call.operation), 0, "X-Long", "one two three");
  finish(&call);
}

static void headers_of_interim_answers_are_not_the_answers(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/100");
  perform(fixture, &call);
  assert_int_equal(http_operation_response(call.operation)->field_count, 1);
  finish(&call);
  prepare_get(fixture, &call, "/chunked");
  perform(fixture, &call);
  assert_int_equal(http_operation_response(call.operation)->field_count, 1);
  finish(&call);
}

static void a_head_request_has_no_body_whatever_its_length_says(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/head");
  call.request.method = "HEAD";
  perform(fixture, &call);
  assert_answer(&call, 200, "");
  finish(&call);
  get_expecting(fixture, "/", 200, "ok");
}

/* --- requests ----------------------------------------------------------------------------- */

static void assert_contains(const struct call *call, const char *text) {
  const struct buf *body = http_operation_body(call->operation);
  if (memmem(body->data, body->length, text, strlen(text)) == NULL)
    fail_msg("%s is not in %.*s", text, (int)body->length, body->data);
}

static void assert_lacks(const struct call *call, const char *text) {
  const struct buf *body = http_operation_body(call->operation);
  if (memmem(body->data, body->length, text, strlen(text)) != NULL)
    fail_msg("%s is in %.*s", text, (int)body->length, body->data);
}

static void a_request_is_sent_as_it_was_described(void **state) {
  struct fixture *fixture = *state;
  struct http_pair headers[] = {
      {"X-First", 7, "1", 1}, {"Empty", 5, "", 0}, {"X-First", 7, "2", 1}, {"Accept", 6, "a/b", 3}};
  static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET", "REPORT"};
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    struct call call;
    char line[64];
    prepare_get(fixture, &call, "/echo");
    call.request.method = methods[i];
    call.request.headers = headers;
    call.request.header_count = 4;
    call.request.body = "{\"a\":1}";
    call.request.body_length = 7;
    perform(fixture, &call);
    snprintf(line, sizeof line, "%s /echo HTTP/1.1\r\n", methods[i]);
    assert_contains(&call, line);
    assert_contains(&call, "X-First: 1\r\nEmpty:\r\nX-First: 2\r\nAccept: a/b\r\n");
    assert_contains(&call, "\r\nContent-Length: 7\r\n");
    assert_contains(&call, "\r\nAccept-Encoding: gzip, deflate\r\n");
    assert_contains(&call, "\r\n\r\n{\"a\":1}");
    assert_lacks(&call, "Content-Type");
    assert_lacks(&call, "Expect");
    assert_lacks(&call, "User-Agent");
    finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void a_request_without_a_body_says_so(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/echo");
  call.request.method = "POST";
  perform(fixture, &call);
  assert_contains(&call, "\r\nContent-Length: 0\r\n");
  finish(&call);
  prepare_get(fixture, &call, "/echo");
  call.request.method = "DELETE";
  perform(fixture, &call);
  assert_contains(&call, "DELETE /echo");
  assert_lacks(&call, "Content-Length");
  finish(&call);
}

static void a_body_of_a_megabyte_is_sent_without_asking_first(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  static char body[60000];
  memset(body, 'b', sizeof body);
  prepare_get(fixture, &call, "/echo");
  call.request.method = "POST";
  call.request.body = body;
  call.request.body_length = sizeof body;
  perform(fixture, &call);
  assert_contains(&call, "\r\nContent-Length: 60000\r\n");
  assert_lacks(&call, "Expect");
  assert_true(http_operation_body(call.operation)->length > sizeof body);
  finish(&call);
}

static void a_path_is_sent_as_it_is(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/a/../b/./c//d?x=../y&z=%20|'#part");
  perform(fixture, &call);
  finish(&call);
  prepare_get(fixture, &call, "/echo#a");
  perform(fixture, &call);
  assert_contains(&call, "GET /echo HTTP/1.1\r\n");
  assert_contains(&call, "\r\nHost: 127.0.0.1:");
  finish(&call);
}

static void what_is_not_fit_to_be_sent_is_refused_at_once(void **state) {
  struct fixture *fixture = *state;
  static const struct http_pair bad_headers[] = {
      {"X\r\nY", 4, "1", 1},
      {"X", 1, "1\r\nY: 2", 7},
      {"X", 1, "a\0b", 3},
      {"X Y", 3, "1", 1},
      {"", 0, "1", 1},
      {"X:", 2, "1", 1},
      {"X", 1, "\x01", 1},
      {"X", 1, "a\nb", 3},
      {"Content-Length", 14, "3", 1},
      {"transfer-encoding", 17, "chunked", 7},
  };
  static const char *const bad_methods[] = {
      "", "get", "GET /", "GET\r\n", "CONNECT", "-", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"};
  struct call call;
  for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
    prepare_get(fixture, &call, "/");
    call.request.headers = &bad_headers[i];
    call.request.header_count = 1;
    start(fixture, &call);
    assert_null(call.operation);
    assert_string_equal(call.err.code, "invalid_input");
  }
  for (size_t i = 0; i < sizeof bad_methods / sizeof bad_methods[0]; i++) {
    prepare_get(fixture, &call, "/");
    call.request.method = bad_methods[i];
    start(fixture, &call);
    assert_null(call.operation);
    assert_string_equal(call.err.code, "invalid_input");
  }
  prepare_get(fixture, &call, "/a\r\nX: y");
  start(fixture, &call);
  assert_null(call.operation);
  assert_int_equal(http_client_in_flight(fixture->client), 0);
  assert_int_equal(upstream_requests(fixture->upstream), 0);
}

/* --- an upstream that misbehaves ---------------------------------------------------------- */

static void an_answer_that_is_cut_short_is_an_error(void **state) {
  struct fixture *fixture = *state;
  get_expecting_error(fixture, "/short", "network_error");
  get_expecting_error(fixture, "/chunk-cut", "network_error");
  get_expecting_error(fixture, "/gzip-cut", "network_error");
  get_expecting_error(fixture, "/deflate-cut", "network_error");
  get_expecting_error(fixture, "/close", "network_error");
  get_expecting_error(fixture, "/reset", "network_error");
}

static void a_malformed_answer_is_an_error(void **state) {
  struct fixture *fixture = *state;
  static const char *const targets[] = {
      "/two-lengths",  "/bad-length", "/negative-length", "/http09",     "/garbage-status",
      "/low-status",   "/101",        "/no-colon",        "/odd-coding", "/two-codings",
      "/odd-transfer", "/bad-gzip",
  };
  for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
    get_expecting_error(fixture, targets[i], "malformed_response");
}

static void a_malformed_chunk_is_an_error(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/bad-chunk");
  perform(fixture, &call);
  assert_non_null(http_operation_error(call.operation));
  finish(&call);
}

static void a_head_without_end_is_an_error(void **state) {
  struct fixture *fixture = *state;
  get_expecting_error(fixture, "/headers", "too_large");
  get_expecting_error(fixture, "/long-header", "too_large");
}

static void a_body_over_the_ceiling_is_an_error(void **state) {
  struct fixture *fixture = *state;
  get_expecting_error(fixture, "/endless", "too_large");
  get_expecting_error(fixture, "/bomb", "too_large");
  struct call call;
  prepare_get(fixture, &call, "/once");
  call.request.response_max = 4;
  perform(fixture, &call);
  assert_answer(&call, 200, "once");
  finish(&call);
  static const char *const targets[] = {"/once", "/chunked", "/gzip"};
  for (size_t i = 0; i < 3; i++) {
    prepare_get(fixture, &call, targets[i]);
    call.request.response_max = 3;
    perform(fixture, &call);
    assert_error(&call, "too_large");
    finish(&call);
  }
}

static void a_body_just_at_the_ceiling_is_decoded(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/gzip");
  call.request.response_max = 5;
  perform(fixture, &call);
  assert_answer(&call, 200, "hello");
  finish(&call);
}

static void a_coding_that_the_caller_asked_for_is_left_to_it(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  struct http_pair header = {"accept-encoding", 15, "br", 2};
  prepare_get(fixture, &call, "/odd-coding");
  call.request.headers = &header;
  call.request.header_count = 1;
  perform(fixture, &call);
  assert_answer(&call, 200, "ok");
  finish(&call);
}

static void a_surplus_answer_is_never_taken_for_the_next(void **state) {
  struct fixture *fixture = *state;
  get_expecting(fixture, "/too-much", 200, "ok");
  get_expecting(fixture, "/", 200, "ok");
  get_expecting(fixture, "/twice", 200, "first");
  struct call never = {.woken = 0};
  timer_loop_run_until(&fixture->timer_loop, is_over, &never, 100);
  get_expecting(fixture, "/", 200, "ok");
}

/* The loop had no turn between the surplus bytes and the next request. */
static void a_surplus_answer_that_was_not_noticed_yet_is_not_taken_either(void **state) {
  struct fixture *fixture = *state;
  get_expecting(fixture, "/twice", 200, "first");
  usleep(100000);
  get_expecting(fixture, "/", 200, "ok");
}

/* --- time --------------------------------------------------------------------------------- */

static void assert_times_out(struct fixture *fixture, struct call *call, uint64_t ms) {
  call->request.timeout_ms = ms;
  uint64_t began = clock_real_monotonic_ns();
  perform(fixture, call);
  uint64_t took = (clock_real_monotonic_ns() - began) / 1000000;
  assert_error(call, "timeout");
  if (took < ms || took > ms + 500) fail_msg("%s took %d ms", call->url, (int)took);
}

static void a_deadline_holds_whatever_the_upstream_does(void **state) {
  struct fixture *fixture = *state;
  static const char *const targets[] = {"/silent", "/drip", "/slow/5000"};
  for (size_t i = 0; i < 3; i++) {
    struct call call;
    prepare_get(fixture, &call, targets[i]);
    assert_times_out(fixture, &call, 150);
    assert_true(http_operation_sent(call.operation));
    finish(&call);
  }
  assert_int_equal(http_client_counters(fixture->client)->timed_out, 3);
  get_expecting(fixture, "/", 200, "ok");
}

static void a_deadline_is_not_early(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/slow/100");
  call.request.timeout_ms = 3000;
  call.request.connect_timeout_ms = 50;
  perform(fixture, &call);
  assert_answer(&call, 200, "slow");
  assert_true(http_operation_timings(call.operation)->total >= 100);
  finish(&call);
}

static void a_slow_call_delays_no_other(void **state) {
  struct fixture *fixture = *state;
  struct call slow;
  prepare_get(fixture, &slow, "/silent");
  start(fixture, &slow);
  for (int i = 0; i < 20; i++) get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(slow.woken, 0);
  assert_int_equal(http_client_in_flight(fixture->client), 1);
  finish(&slow);
  assert_int_equal(http_client_in_flight(fixture->client), 0);
}

/* --- cancelling --------------------------------------------------------------------------- */

static void an_operation_can_be_freed_at_any_time(void **state) {
  struct fixture *fixture = *state;
  static const char *const targets[] = {"/", "/silent", "/drip", "/bomb", "/slow/10"};
  unsigned seed = (unsigned)clock_real_monotonic_ns();
  print_message("seed %u\n", seed);
  srand(seed);
  for (int i = 0; i < 150; i++) {
    struct call call;
    prepare_get(fixture, &call, targets[(size_t)rand() % 5]);
    start(fixture, &call);
    assert_non_null(call.operation);
    for (int turns = rand() % 12; turns > 0 && call.woken == 0; turns--)
      uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
    int woken = call.woken;
    finish(&call);
    uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
    assert_int_equal(call.woken, woken);
  }
  assert_int_equal(http_client_in_flight(fixture->client), 0);
  get_expecting(fixture, "/", 200, "ok");
}

static void freeing_closes_the_connection_of_what_is_under_way(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare_get(fixture, &call, "/silent");
  start(fixture, &call);
  struct call never = {.woken = 0};
  timer_loop_run_until(&fixture->timer_loop, is_over, &never, 50);
  assert_int_equal(http_client_connections(fixture->client), 1);
  finish(&call);
  assert_int_equal(http_client_connections(fixture->client), 0);
  assert_int_equal(http_client_counters(fixture->client)->cancelled, 1);
}

static void a_client_can_go_before_its_operations(void **state) {
  struct fixture *fixture = *state;
  struct call running, over;
  prepare_get(fixture, &over, "/");
  perform(fixture, &over);
  prepare_get(fixture, &running, "/silent");
  start(fixture, &running);
  uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
  http_client_free(fixture->client);
  fixture->client = NULL;
  assert_answer(&over, 200, "ok");
  assert_error(&running, "network_error");
  assert_int_equal(running.woken, 0);
  finish(&over);
  finish(&running);
}

/* --- connections -------------------------------------------------------------------------- */

static void a_connection_is_kept_and_used_again(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  for (int i = 0; i < 50; i++) {
    prepare_get(fixture, &call, i % 2 == 0 ? "/" : "/gzip");
    perform(fixture, &call);
    assert_int_equal(http_operation_reused(call.operation), i > 0);
    assert_string_equal(http_operation_remote_address(call.operation), "127.0.0.1");
    finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
  assert_int_equal(http_client_counters(fixture->client)->reused, 49);
}

static void a_fresh_connection_is_made_when_asked_and_joins_the_pool(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  get_expecting(fixture, "/", 200, "ok");
  prepare_get(fixture, &call, "/");
  call.request.fresh_connection = true;
  perform(fixture, &call);
  assert_false(http_operation_reused(call.operation));
  finish(&call);
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  assert_int_equal(http_client_connections(fixture->client), 2);
}

static void a_connection_that_went_stale_is_replaced_unseen(void **state) {
  struct fixture *fixture = *state;
  get_expecting(fixture, "/stale", 200, "ok");
  get_expecting(fixture, "/stale", 200, "ok");
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  assert_int_equal(upstream_requests(fixture->upstream), 3);
}

static void a_fresh_post_that_gets_no_answer_is_sent_once(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  get_expecting(fixture, "/", 200, "ok");
  prepare_get(fixture, &call, "/close");
  call.request.method = "POST";
  call.request.fresh_connection = true;
  perform(fixture, &call);
  assert_error(&call, "network_error");
  assert_true(http_operation_sent(call.operation));
  finish(&call);
  assert_int_equal(upstream_requests(fixture->upstream), 2);
}

static void a_connection_that_the_other_side_closed_is_let_go(void **state) {
  struct fixture *fixture = *state;
  struct call never = {.woken = 0};
  get_expecting(fixture, "/once", 200, "once");
  timer_loop_run_until(&fixture->timer_loop, is_over, &never, 50);
  get_expecting(fixture, "/", 200, "ok");
  assert_int_equal(upstream_requests(fixture->upstream), 2);
}

static void a_refused_connection_says_that_nothing_was_sent(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  int port = upstream_port(fixture->upstream);
  upstream_stop(fixture->upstream);
  fixture->upstream = NULL;
  prepare(&call, "POST", "http", "127.0.0.1", port, "/");
  perform(fixture, &call);
  assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  assert_non_null(strstr(http_operation_error(call.operation)->message, "cannot connect to"));
  finish(&call);
}

static bool all_are_over(void *argument) {
  struct call *calls = argument;
  for (int i = 0; i < 500; i++)
    if (calls[i].woken == 0) return false;
  return true;
}

static void five_hundred_calls_run_at_a_time(void **state) {
  struct fixture *fixture = *state;
  struct call *calls = calloc(500, sizeof *calls);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 500; i++) {
      prepare_get(fixture, &calls[i], i % 3 == 0 ? "/slow/30" : i % 3 == 1 ? "/" : "/gzip");
      start(fixture, &calls[i]);
    }
    assert_int_equal(http_client_in_flight(fixture->client), 500);
    assert_true(timer_loop_run_until(&fixture->timer_loop, all_are_over, calls, 60000));
    for (int i = 0; i < 500; i++) {
      assert_answer(&calls[i], 200, i % 3 == 0 ? "slow" : i % 3 == 1 ? "ok" : "hello");
      finish(&calls[i]);
    }
  }
  assert_true(upstream_connections(fixture->upstream) <= 500);
  free(calls);
}

static void too_many_at_a_time_are_refused(void **state) {
  struct fixture *fixture = *state;
  struct call calls[3];
  http_client_free(fixture->client);
  open_client(fixture, &(struct http_client_options){.operations_max = 2});
  for (int i = 0; i < 3; i++) {
    prepare_get(fixture, &calls[i], "/silent");
    start(fixture, &calls[i]);
  }
  assert_null(calls[2].operation);
  assert_string_equal(calls[2].err.code, "overloaded");
  assert_int_equal(http_client_counters(fixture->client)->refused, 1);
  finish(&calls[0]);
  prepare_get(fixture, &calls[2], "/");
  perform(fixture, &calls[2]);
  assert_answer(&calls[2], 200, "ok");
  finish(&calls[1]);
  finish(&calls[2]);
}

/* --- hosts and addresses ------------------------------------------------------------------ */

static void start_to(struct fixture *fixture, struct call *call, const char *host,
                     enum address_policy policy) {
  prepare(call, "GET", "http", host, upstream_port(fixture->upstream), "/");
  call->request.policy = policy;
  start(fixture, call);
}

static void a_host_that_is_not_declared_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  struct url_slice hosts[] = {{"api.acme.example", 16}, {"*.files.test", 12}, {"localhost", 9}};
  prepare_get(fixture, &call, "/");
  call.request.hosts = hosts;
  call.request.host_count = 3;
  start(fixture, &call);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "host_refused");
  prepare(&call, "GET", "http", "LOCALHOST", upstream_port(fixture->upstream), "/");
  call.request.hosts = hosts;
  call.request.host_count = 3;
  perform(fixture, &call);
  assert_answer(&call, 200, "ok");
  finish(&call);
  prepare_get(fixture, &call, "/");
  call.request.hosts = hosts;
  call.request.host_count = 0;
  start(fixture, &call);
  assert_null(call.operation);
}

static void literals_are_reached_as_the_policy_says(void **state) {
  struct fixture *fixture = *state;
  static const char *const hosts[] = {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"};
  for (size_t i = 0; i < 3; i++) {
    struct call call;
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_LITERAL);
    wait_for(fixture, &call);
    assert_answer(&call, 200, "ok");
    finish(&call);
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_DENY);
    assert_null(call.operation);
    assert_string_equal(call.err.code, "address_refused");
  }
  struct call call;
  start_to(fixture, &call, "169.254.169.254", ADDRESS_POLICY_LITERAL);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "address_refused");
}

static void a_name_that_resolves_into_a_private_range_is_refused(void **state) {
  struct fixture *fixture = *state;
  static const char *const hosts[] = {"private.test", "mixed.test", "good.test"};
  for (size_t i = 0; i < 3; i++) {
    struct call call;
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_LITERAL);
    wait_for(fixture, &call);
    assert_error(&call, "address_refused");
    assert_false(http_operation_sent(call.operation));
    finish(&call);
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_DENY);
    assert_null(call.operation); /* the answer is known by now */
    assert_string_equal(call.err.code, "address_refused");
  }
  assert_int_equal(upstream_connections(fixture->upstream), 0);
}

static void a_name_is_reached_over_the_address_that_was_found(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  for (int i = 0; i < 3; i++) {
    start_to(fixture, &call, "good.test", ADDRESS_POLICY_ALLOW);
    wait_for(fixture, &call);
    assert_answer(&call, 200, "ok");
    assert_string_equal(http_operation_remote_address(call.operation), "127.0.0.1");
    finish(&call);
  }
  assert_int_equal(name_server_questions(fixture->names), 1);
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void a_connection_of_a_looser_policy_is_no_way_round(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  start_to(fixture, &call, "localhost", ADDRESS_POLICY_ALLOW);
  wait_for(fixture, &call);
  assert_answer(&call, 200, "ok");
  finish(&call);
  start_to(fixture, &call, "localhost", ADDRESS_POLICY_DENY);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "address_refused");
}

static void a_name_that_cannot_be_found_is_an_error(void **state) {
  struct fixture *fixture = *state;
  static const char *const hosts[] = {"missing.test", "fail.test"};
  for (size_t i = 0; i < 2; i++) {
    struct call call;
    start_to(fixture, &call, hosts[i], ADDRESS_POLICY_ALLOW);
    wait_for(fixture, &call);
    assert_error(&call, "network_error");
    assert_false(http_operation_sent(call.operation));
    assert_non_null(strstr(http_operation_error(call.operation)->message, hosts[i]));
    finish(&call);
  }
}

static void a_silent_name_server_delays_no_other_call_and_the_deadline_holds(void **state) {
  struct fixture *fixture = *state;
  struct call silent, literal, named;
  prepare(&silent, "POST", "http", "silent.test", upstream_port(fixture->upstream), "/");
  silent.request.policy = ADDRESS_POLICY_ALLOW;
  silent.request.timeout_ms = 400;
  uint64_t began = clock_real_monotonic_ns();
  start(fixture, &silent);
  start_to(fixture, &named, "good.test", ADDRESS_POLICY_ALLOW);
  start_to(fixture, &literal, "127.0.0.1", ADDRESS_POLICY_ALLOW);
  wait_for(fixture, &named);
  wait_for(fixture, &literal);
  assert_true(clock_real_monotonic_ns() - began < 300000000);
  assert_int_equal(silent.woken, 0);
  wait_for(fixture, &silent);
  uint64_t took = (clock_real_monotonic_ns() - began) / 1000000;
  assert_true(took >= 400 && took < 900);
  assert_error(&silent, "timeout");
  assert_false(http_operation_sent(silent.operation));
  assert_non_null(
      strstr(http_operation_error(silent.operation)->message, "while looking up its name"));
  finish(&silent);
  finish(&named);
  finish(&literal);
}

static void the_connect_time_out_covers_the_look_up(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  prepare(&call, "GET", "http", "silent.test", 80, "/");
  call.request.policy = ADDRESS_POLICY_ALLOW;
  call.request.connect_timeout_ms = 100;
  uint64_t began = clock_real_monotonic_ns();
  perform(fixture, &call);
  assert_true(clock_real_monotonic_ns() - began < 600000000);
  assert_error(&call, "timeout");
  finish(&call);
}

static void a_call_can_be_cancelled_while_its_name_is_looked_up(void **state) {
  struct fixture *fixture = *state;
  struct call gone, stays;
  start_to(fixture, &gone, "slow50.test", ADDRESS_POLICY_ALLOW);
  start_to(fixture, &stays, "slow50.test", ADDRESS_POLICY_ALLOW);
  uv_run(&fixture->timer_loop.loop, UV_RUN_NOWAIT);
  finish(&gone);
  wait_for(fixture, &stays);
  assert_answer(&stays, 200, "ok");
  assert_int_equal(gone.woken, 0);
  finish(&stays);
}

/* --- TLS ---------------------------------------------------------------------------------- */

static void serve_tls(struct fixture *fixture, const char *certificate, const char *client_ca) {
  upstream_stop(fixture->upstream);
  fixture->upstream = upstream_start(&(struct upstream_options){
      .answer = answer, .certificate = certificate, .client_ca = client_ca});
}

static void prepare_tls(struct fixture *fixture, struct call *call, const char *host) {
  prepare(call, "GET", "https", host, upstream_port(fixture->upstream), "/");
}

static void a_certificate_that_is_good_is_taken(void **state) {
  struct fixture *fixture = *state;
  static const char *const hosts[] = {"localhost", "127.0.0.1"};
  serve_tls(fixture, fixture->certificates.valid, NULL);
  for (size_t i = 0; i < 2; i++) {
    struct call call;
    prepare_tls(fixture, &call, hosts[i]);
    perform(fixture, &call);
    assert_answer(&call, 200, "ok");
    assert_true(http_operation_timings(call.operation)->tls > 0);
    finish(&call);
  }
}

static void assert_not_trusted(struct fixture *fixture, const char *certificate,
                               const char *because) {
  struct call call;
  serve_tls(fixture, certificate, NULL);
  prepare_tls(fixture, &call, "localhost");
  perform(fixture, &call);
  assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  const char *message = http_operation_error(call.operation)->message;
  if (strstr(message, because) == NULL) fail_msg("%s", message);
  finish(&call);
  assert_int_equal(upstream_requests(fixture->upstream), 0);
}

static void a_certificate_that_is_not_good_is_refused_with_its_reason(void **state) {
  struct fixture *fixture = *state;
  assert_not_trusted(fixture, fixture->certificates.expired, "expired");
  assert_not_trusted(fixture, fixture->certificates.self_signed, "self");
  assert_not_trusted(fixture, fixture->certificates.wrong_host, "subject name");
}

static void the_system_does_not_trust_what_the_option_does(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  http_client_free(fixture->client);
  open_client(fixture, &(struct http_client_options){.ca = NULL});
  prepare_tls(fixture, &call, "localhost");
  perform(fixture, &call);
  assert_error(&call, "network_error");
  finish(&call);
  prepare_tls(fixture, &call, "localhost");
  call.request.ca = fixture->certificates.authority;
  perform(fixture, &call);
  assert_answer(&call, 200, "ok");
  finish(&call);
  /* The handle is used again, without what this request brought. */
  prepare_tls(fixture, &call, "localhost");
  call.request.fresh_connection = true;
  perform(fixture, &call);
  assert_error(&call, "network_error");
  finish(&call);
}

static void a_client_certificate_is_shown_to_those_who_ask(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  serve_tls(fixture, fixture->certificates.valid, fixture->certificates.authority);
  prepare_tls(fixture, &call, "localhost");
  call.request.certificate = fixture->certificates.client;
  perform(fixture, &call);
  assert_answer(&call, 200, "ok");
  finish(&call);
  prepare_tls(fixture, &call, "localhost");
  perform(fixture, &call);
  assert_error(&call, "network_error");
  finish(&call);
  prepare_tls(fixture, &call, "localhost");
  call.request.certificate = "/nonexistent.pem";
  perform(fixture, &call);
  assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  finish(&call);
}

static void a_tls_session_is_resumed(void **state) {
  struct fixture *fixture = *state;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  for (int i = 0; i < 3; i++) {
    struct call call;
    prepare_tls(fixture, &call, "localhost");
    call.request.fresh_connection = true;
    perform(fixture, &call);
    assert_answer(&call, 200, "ok");
    finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 3);
  assert_int_equal(upstream_resumed(fixture->upstream), 2);
}

static void a_tls_connection_is_kept_and_used_again(void **state) {
  struct fixture *fixture = *state;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  struct call never = {.woken = 0};
  for (int i = 0; i < 10; i++) {
    struct call call;
    prepare_tls(fixture, &call, "localhost");
    perform(fixture, &call);
    assert_answer(&call, 200, "ok");
    finish(&call);
    timer_loop_run_until(&fixture->timer_loop, is_over, &never, 5);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

static void tls_to_a_server_that_speaks_plain_text_is_an_error(void **state) {
  struct fixture *fixture = *state;
  struct call call;
  fixture->upstream = upstream_start(&(struct upstream_options){.answer = answer});
  prepare_tls(fixture, &call, "localhost");
  call.request.timeout_ms = 1000;
  perform(fixture, &call);
  assert_non_null(http_operation_error(call.operation));
  assert_false(http_operation_sent(call.operation));
  finish(&call);
}

#define PLAIN(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define NAMES(name) cmocka_unit_test_setup_teardown(name, set_up_names, tear_down)
#define TLS(name) cmocka_unit_test_setup_teardown(name, set_up_tls, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      PLAIN(an_answer_comes_back_whole),
      PLAIN(answers_of_all_kinds_are_read),
      PLAIN(a_redirect_is_an_answer),
      PLAIN(coded_answers_are_decoded),
      PLAIN(headers_come_in_order_with_their_names_as_they_were),
      PLAIN(headers_of_interim_answers_are_not_the_answers),
      PLAIN(a_head_request_has_no_body_whatever_its_length_says),
      PLAIN(a_request_is_sent_as_it_was_described),
      PLAIN(a_request_without_a_body_says_so),
      PLAIN(a_body_of_a_megabyte_is_sent_without_asking_first),
      PLAIN(a_path_is_sent_as_it_is),
      PLAIN(what_is_not_fit_to_be_sent_is_refused_at_once),
      PLAIN(an_answer_that_is_cut_short_is_an_error),
      PLAIN(a_malformed_answer_is_an_error),
      PLAIN(a_malformed_chunk_is_an_error),
      PLAIN(a_head_without_end_is_an_error),
      PLAIN(a_body_over_the_ceiling_is_an_error),
      PLAIN(a_body_just_at_the_ceiling_is_decoded),
      PLAIN(a_coding_that_the_caller_asked_for_is_left_to_it),
      PLAIN(a_surplus_answer_is_never_taken_for_the_next),
      PLAIN(a_surplus_answer_that_was_not_noticed_yet_is_not_taken_either),
      PLAIN(a_deadline_holds_whatever_the_upstream_does),
      PLAIN(a_deadline_is_not_early),
      PLAIN(a_slow_call_delays_no_other),
      PLAIN(an_operation_can_be_freed_at_any_time),
      PLAIN(freeing_closes_the_connection_of_what_is_under_way),
      PLAIN(a_client_can_go_before_its_operations),
      PLAIN(a_connection_is_kept_and_used_again),
      PLAIN(a_fresh_connection_is_made_when_asked_and_joins_the_pool),
      PLAIN(a_connection_that_went_stale_is_replaced_unseen),
      PLAIN(a_fresh_post_that_gets_no_answer_is_sent_once),
      PLAIN(a_connection_that_the_other_side_closed_is_let_go),
      PLAIN(a_refused_connection_says_that_nothing_was_sent),
      PLAIN(five_hundred_calls_run_at_a_time),
      PLAIN(too_many_at_a_time_are_refused),
      PLAIN(a_host_that_is_not_declared_is_refused),
      PLAIN(literals_are_reached_as_the_policy_says),
      NAMES(a_name_that_resolves_into_a_private_range_is_refused),
      NAMES(a_name_is_reached_over_the_address_that_was_found),
      NAMES(a_connection_of_a_looser_policy_is_no_way_round),
      NAMES(a_name_that_cannot_be_found_is_an_error),
      NAMES(a_silent_name_server_delays_no_other_call_and_the_deadline_holds),
      NAMES(the_connect_time_out_covers_the_look_up),
      NAMES(a_call_can_be_cancelled_while_its_name_is_looked_up),
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
