#include "server_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void server_reply_read(int client, struct server_reply *reply) {
  ssize_t count =
      recv(client, reply->bytes + reply->length, sizeof reply->bytes - 1 - reply->length, 0);
  if (count > 0) reply->length += (size_t)count;
  if (count == 0 && reply->length < sizeof reply->bytes - 1) reply->closed = true;
  if (count < 0 && errno != EAGAIN) reply->closed = reply->reset = true;
  reply->bytes[reply->length] = '\0';
}

unsigned server_reply_count(const char *text, const char *word) {
  unsigned count = 0;
  for (text = strstr(text, word); text != NULL; text = strstr(text + 1, word)) count++;
  return count;
}

void server_reply_await_answers(struct server_rig *rig, int client, struct server_reply *reply,
                                unsigned count) {
  uint64_t start = uv_hrtime();
  while (!reply->closed && server_reply_count(reply->bytes, "HTTP/1.1 ") < count) {
    server_rig_turn(rig);
    server_reply_read(client, reply);
    assert_false(server_rig_is_late(start));
  }
  server_rig_quiesce(rig);
  server_reply_read(client, reply);
}

void server_reply_await_close(struct server_rig *rig, int client, struct server_reply *reply) {
  uint64_t start = uv_hrtime();
  while (!reply->closed) {
    server_rig_turn(rig);
    server_reply_read(client, reply);
    assert_false(server_rig_is_late(start));
  }
}

int server_reply_status(const struct server_reply *reply) {
  if (strncmp(reply->bytes, "HTTP/1.1 ", 9) != 0) return 0;
  return (int)strtol(reply->bytes + 9, NULL, 10);
}

const char *server_reply_body(const struct server_reply *reply) {
  const char *end = strstr(reply->bytes, "\r\n\r\n");
  return end == NULL ? "" : end + 4;
}

struct server_reply *server_reply_ask(struct server_rig *rig, const char *bytes, size_t length) {
  static struct server_reply reply;
  memset(&reply, 0, sizeof reply);
  int client = server_rig_dial(rig);
  server_rig_send(rig, client, bytes, length);
  server_reply_await_answers(rig, client, &reply, 1);
  close(client);
  server_rig_await_connections(rig, 0);
  return &reply;
}
