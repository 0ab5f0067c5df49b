#include "http_client_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SILENCE_MS 20000
#define MIB (1024 * 1024)

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

bool http_client_script_answer(struct upstream_connection *connection,
                               const struct upstream_request *request, void *argument) {
  const char *target = request->target;
  (void)argument;
  const struct fixed *fixed = find_fixed(target);
  if (fixed != NULL) {
    upstream_say(connection, fixed->bytes);
    return fixed->stays;
  }
  if (strcmp(target, "/silent") == 0) return !upstream_wait(connection, SILENCE_MS);
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
