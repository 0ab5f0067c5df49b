#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/http_parse.h"

#define BODY_MAX 100

/* What one or more feeds of a request came to. */
struct result {
  enum http_parse_event event;
  int status;
  size_t used;
  bool continued;
};

/* Feeds `bytes` in pieces that end at `cut` and at the end. */
static struct result feed(struct http_parse *parse, struct http_message *message, const char *bytes,
                          size_t length, size_t cut) {
  http_message_clear(message, 0);
  http_parse_begin(parse, message);
  struct result result = {.event = HTTP_PARSE_MORE};
  size_t end = cut < length ? cut : length;
  while (result.used < length) {
    if (result.used == end) end = length;
    /* A copy of exact size, so that a read past it is seen by the address sanitizer. */
    size_t count = end - result.used, used = 0;
    char *piece = malloc(count ? count : 1);
    assert_non_null(piece);
    memcpy(piece, bytes + result.used, count);
    result.event = http_parse_feed(parse, piece, count, &used);
    free(piece);
    result.used += used;
    if (result.event == HTTP_PARSE_CONTINUE) result.continued = true;
    if (result.event == HTTP_PARSE_DONE || result.event == HTTP_PARSE_FAULT) break;
  }
  result.status = parse->fault.status;
  return result;
}

static const char *shown(struct http_text text) {
  static char copy[256];
  snprintf(copy, sizeof copy, "%.*s", (int)text.length, text.data);
  return copy;
}

struct good {
  const char *bytes;
  size_t rest; /* bytes at the end that belong to the next request */
  const char *path;
  const char *query;
  const char *body;
  bool keep_alive;
  bool continues;
};

static const struct good goods[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/", NULL, "", true, false},
    {"GET /a?b=c?d HTTP/1.1\r\nHost: a:80\r\n\r\n", 0, "/a", "b=c?d", "", true, false},
    {"GET /a? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, "/a", "", "", true, false},
    {"GET http://a.example/b?c HTTP/1.1\r\nHost: a.example\r\n\r\n", 0, "/b", "c", "", true, false},
    {"GET http://a.example?c HTTP/1.1\r\nHost: x\r\n\r\n", 0, "/", "c", "", true, false},
    {"GET /%61%2f%2F%7e%zz%4 HTTP/1.1\r\nHost:\r\n\r\n", 0, "/a%2f%2F~%zz%4", NULL, "", true,
     false},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, "*", NULL, "", true, false},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/", NULL, "", true, false},
    {"GET / HTTP/1.0\r\n\r\n", 0, "/", NULL, "", false, false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, "/", NULL, "", true, false},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nrest", 4, "/", NULL, "", false, false},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n", 16, "/", NULL, "", true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\nbGET", 3, "/", NULL, "a\nb", true,
     false},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0, "/", NULL, "", true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
     "Chunked\r\n\r\n3\r\na\r\n\r\n1;x=\"y\"\r\n!\r\n"
     "0\r\n\r\nGET",
     3, "/", NULL, "a\r\n!", true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: "
     "y\r\n\r\n"
     "more",
     4, "/", NULL, "x", true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nok", 0, "/",
     NULL, "ok", true, true},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: "
     "chunked\r\n\r\n2\r\nok\r\n"
     "0\r\n\r\n",
     0, "/", NULL, "ok", true, true},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 0, "/", NULL, "", true, false},
    {"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nGET", 3,
     "/chat", NULL, "", true, false},
    {"POST /chat HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: "
     "2\r\n\r\nok",
     0, "/chat", NULL, "ok", true, false},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \r\nY:b\r\nZ: \x80\xff\t c \t \r\n\r\n", 0, "/", NULL, "",
     true, false},
};

static void check_good(const struct good *good, struct http_parse *parse,
                       struct http_message *message, size_t cut) {
  size_t length = strlen(good->bytes);
  struct result result = feed(parse, message, good->bytes, length, cut);
  if (result.event != HTTP_PARSE_DONE)
    fail_msg("%s cut at %zu: event %d, %d %s", good->bytes, cut, result.event, result.status,
             parse->fault.reason);
  if (result.used != length - good->rest)
    fail_msg("%s cut at %zu: used %zu", good->bytes, cut, result.used);
  assert_int_equal(result.continued, good->continues);
  assert_int_equal(message->keep_alive, good->keep_alive);
  assert_string_equal(shown(http_message_text(message, message->path)), good->path);
  assert_int_equal(message->has_query, good->query != NULL);
  if (good->query != NULL)
    assert_string_equal(shown(http_message_text(message, message->query)), good->query);
  assert_int_equal(message->body.length, strlen(good->body));
  if (message->body.length > 0)
    assert_memory_equal(message->body.data, good->body, message->body.length);
}

static void a_good_request_is_the_same_however_its_bytes_arrive(void **state) {
  (void)state;
  struct http_parse parse;
  struct http_message message;
  http_parse_init(&parse);
  http_message_init(&message, BODY_MAX);
  for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++)
    for (size_t cut = 0; cut <= strlen(goods[i].bytes); cut++)
      check_good(&goods[i], &parse, &message, cut);
  http_message_deinit(&message);
}

static void headers_keep_their_order_with_names_in_lower_case(void **state) {
  (void)state;
  static const char bytes[] =
      "GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-B:  two words \t\r\nx-b: again\r\n\r\n";
  struct http_parse parse;
  struct http_message message;
  http_parse_init(&parse);
  http_message_init(&message, BODY_MAX);
  for (size_t cut = 0; cut < sizeof bytes; cut++) {
    assert_int_equal(feed(&parse, &message, bytes, strlen(bytes), cut).event, HTTP_PARSE_DONE);
    assert_int_equal(message.field_count, 4);
    assert_string_equal(shown(http_message_header(&message, 1).name), "x-empty");
    assert_int_equal(http_message_header(&message, 1).value.length, 0);
    assert_int_equal(http_message_find(&message, "x-b", 0), 2);
    assert_string_equal(shown(http_message_header(&message, 2).value), "two words");
    assert_int_equal(http_message_find(&message, "x-b", 3), 3);
    assert_int_equal(http_message_find(&message, "x-c", 0), -1);
    assert_string_equal(http_message_method(&message), "GET");
  }
  http_message_deinit(&message);
}

struct bad {
  int status;
  const char *bytes;
  size_t length; /* 0: up to the NUL */
};

#define HEAD "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define RAW(text) text, sizeof(text) - 1

static const struct bad bads[] = {
    {400, "GET / HTTP/1.1\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0},
    {400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\nHost: a\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\nHost: a\r\n\n", 0},
    {400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, HEAD "A: b\r\n c\r\n\r\n", 0},
    {400, HEAD "A: b\r\n\tc\r\n\r\n", 0},
    {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0},
    {400, HEAD "A : b\r\n\r\n", 0},
    {400, HEAD "A b: c\r\n\r\n", 0},
    {400, HEAD "A\r\n\r\n", 0},
    {400, HEAD ": b\r\n\r\n", 0},
    {400, HEAD "A: b\rc\r\n\r\n", 0},
    {400, RAW(HEAD "A: b\0c\r\n\r\n")},
    {400, RAW(HEAD "A\0: b\r\n\r\n")},
    {400, RAW("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, HEAD "A: b\x01\r\n\r\n", 0},
    {400, HEAD "A: b\x7f\r\n\r\n", 0},
    {400, "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0},
    {400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "get / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "NOSUCH / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "\x16\x03\x01\x02", 0},
    {400, "GET / FOO/1.1\r\nHost: a\r\n\r\n", 0},
    {400, "GET / http/1.1\r\nHost: a\r\n\r\n", 0},
    {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0},
    {505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0},
    {505, "GET / HTTP/3\r\nHost: a\r\n\r\n", 0},
    {505, "GET /\r\n\r\n", 0},
    {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
    {501, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 0},
    {400, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {400, POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 0},
    {400, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 0},
    {400, POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 0},
    {400, POST "Content-Length: 3, 3\r\n\r\n", 0},
    {400, POST "Content-Length: +3\r\n\r\n", 0},
    {400, POST "Content-Length: -3\r\n\r\n", 0},
    {400, POST "Content-Length: 0x3\r\n\r\n", 0},
    {400, POST "Content-Length: 3 3\r\n\r\n", 0},
    {400, POST "Content-Length: \r\n\r\n", 0},
    {400, POST "Content-Length: 99999999999999999999999\r\n\r\n", 0},
    {413, POST "Content-Length: 101\r\n\r\n", 0},
    {413, POST "Content-Length: 9999999999999999\r\n\r\n", 0},
    {501, POST "Transfer-Encoding: gzip\r\n\r\n", 0},
    {501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0},
    {501, POST "Transfer-Encoding: identity\r\n\r\n", 0},
    {501, POST "Transfer-Encoding: xchunked\r\n\r\n", 0},
    {400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 0},
    {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {417, POST "Expect: 200-ok\r\nContent-Length: 3\r\n\r\n", 0},
    {417, POST "Expect: 100-continue, more\r\nContent-Length: 3\r\n\r\n", 0},
    {413, POST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n", 0},
    {400, CHUNKED "x\r\n", 0},
    {400, CHUNKED "-1\r\n", 0},
    {400, CHUNKED "1\n", 0},
    {400, CHUNKED "1 \r\nx\r\n", 0},
    {400, CHUNKED "1\r\nxy", 0},
    {400, CHUNKED "1\r\nx\n", 0},
    {400, CHUNKED "fffffffffffffffff\r\n", 0},
    {413, CHUNKED "65\r\n", 0},
    {413, CHUNKED "ffffffffffffffff\r\n", 0},
    {400, CHUNKED "0\r\nA: b\n\r\n", 0},
    {400, CHUNKED "0\r\nA: b\r\n c\r\n\r\n", 0},
    {400, CHUNKED "0\r\n\n", 0},
    {400, CHUNKED "0\r\nA : b\r\n\r\n", 0},
    {400, CHUNKED "0\n\r\n", 0},
};

static void a_bad_request_gets_its_status_however_its_bytes_arrive(void **state) {
  (void)state;
  struct http_parse parse;
  struct http_message message;
  http_parse_init(&parse);
  http_message_init(&message, BODY_MAX);
  size_t wrong = 0;
  for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
    size_t length = bads[i].length ? bads[i].length : strlen(bads[i].bytes);
    for (size_t cut = 0; cut <= length; cut++) {
      struct result result = feed(&parse, &message, bads[i].bytes, length, cut);
      if (result.event == HTTP_PARSE_FAULT && result.status == bads[i].status) continue;
      print_error("%s\ncut at %zu: event %d, %d %s\n", bads[i].bytes, cut, result.event,
                  result.status, parse.fault.reason);
      wrong++;
      break;
    }
  }
  http_message_deinit(&message);
  assert_int_equal(wrong, 0);
}

/* A request of `count` times `piece` between `before` and `after`. */
static int status_of(const char *before, const char *piece, size_t count, const char *after) {
  struct http_parse parse;
  struct http_message message;
  struct buf bytes;
  buf_init(&bytes, 1 << 20);
  assert_int_equal(buf_append_text(&bytes, before), 0);
  for (size_t i = 0; i < count; i++) assert_int_equal(buf_append_text(&bytes, piece), 0);
  assert_int_equal(buf_append_text(&bytes, after), 0);
  http_parse_init(&parse);
  http_message_init(&message, BODY_MAX);
  struct result result = feed(&parse, &message, bytes.data, bytes.length, bytes.length / 2);
  http_message_deinit(&message);
  buf_deinit(&bytes);
  return result.event == HTTP_PARSE_DONE ? 200 : result.status;
}

static void each_limit_is_exact_and_has_a_status(void **state) {
  (void)state;
  const char *end = " HTTP/1.1\r\nHost: a\r\n\r\n";
  assert_int_equal(status_of("GET /", "a", HTTP_TARGET_MAX - 1, end), 200);
  assert_int_equal(status_of("GET /", "a", HTTP_TARGET_MAX, end), 414);
  assert_int_equal(status_of("GET /", "%61", (HTTP_TARGET_MAX - 1) / 3, end), 200);
  assert_int_equal(status_of(HEAD, "A: b\r\n", HTTP_HEADERS_MAX - 1, "\r\n"), 200);
  assert_int_equal(status_of(HEAD, "A: b\r\n", HTTP_HEADERS_MAX, "\r\n"), 431);
  /* "Host: a" and "A: " with their line ends, and the empty line, are 16 bytes. */
  assert_int_equal(status_of(HEAD "A: ", "b", HTTP_HEAD_MAX - 16, "\r\n\r\n"), 200);
  assert_int_equal(status_of(HEAD "A: ", "b", HTTP_HEAD_MAX - 15, "\r\n\r\n"), 431);
  assert_int_equal(status_of(HEAD, "b", HTTP_HEAD_MAX, ""), 431);
  assert_int_equal(status_of(POST "Content-Length: 100\r\n\r\n", "b", 100, ""), 200);
  assert_int_equal(status_of(CHUNKED, "1\r\nb\r\n", 100, "0\r\n\r\n"), 200);
  assert_int_equal(status_of(CHUNKED, "1\r\nb\r\n", 101, "0\r\n\r\n"), 413);
  assert_int_equal(status_of(CHUNKED "1;", "b", 5000, "\r\nb\r\n0\r\n\r\n"), 400);
  assert_int_equal(
      status_of(CHUNKED, "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nb\r\n", 99, ""),
      400);
  assert_int_equal(status_of(CHUNKED "0\r\n", "A: b\r\n", 9000, "\r\n"), 431);
}

static void a_message_can_be_cleared_and_filled_again(void **state) {
  (void)state;
  struct http_parse parse;
  struct http_message message;
  http_parse_init(&parse);
  http_message_init(&message, BODY_MAX);
  const char *bytes = POST "Content-Length: 2\r\n\r\nok";
  feed(&parse, &message, bytes, strlen(bytes), 0);
  assert_int_equal(message.body.length, 2);
  http_message_clear(&message, 4096);
  assert_int_equal(message.body.length, 0);
  assert_int_equal(message.field_count, 0);
  assert_true(message.head.capacity > 0);
  http_message_clear(&message, 0);
  assert_int_equal(message.head.capacity, 0);
  assert_string_equal(http_message_method(&message), "?");
  http_message_deinit(&message);
}

static void a_parser_knows_whether_a_request_has_begun(void **state) {
  (void)state;
  struct http_parse parse;
  struct http_message message;
  size_t used;
  http_parse_init(&parse);
  http_message_init(&message, BODY_MAX);
  http_parse_begin(&parse, &message);
  assert_false(http_parse_has_begun(&parse));
  assert_int_equal(http_parse_feed(&parse, "\r\n", 2, &used), HTTP_PARSE_MORE);
  assert_false(http_parse_has_begun(&parse));
  assert_int_equal(http_parse_feed(&parse, "G", 1, &used), HTTP_PARSE_MORE);
  assert_true(http_parse_has_begun(&parse));
  http_message_deinit(&message);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_good_request_is_the_same_however_its_bytes_arrive),
      cmocka_unit_test(headers_keep_their_order_with_names_in_lower_case),
      cmocka_unit_test(a_bad_request_gets_its_status_however_its_bytes_arrive),
      cmocka_unit_test(each_limit_is_exact_and_has_a_status),
      cmocka_unit_test(a_message_can_be_cleared_and_filled_again),
      cmocka_unit_test(a_parser_knows_whether_a_request_has_begun),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
