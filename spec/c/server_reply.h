/* The bytes that a server has sent on one connection. For specs. */
#ifndef TIDEGATE_SPEC_SERVER_REPLY_H
#define TIDEGATE_SPEC_SERVER_REPLY_H

#include "server_rig.h"

struct server_reply {
  char bytes[65536]; /* NUL-terminated once read */
  size_t length;
  bool closed; /* the server has ended its side */
  bool reset;
};

/* Appends what is there, without waiting. */
void server_reply_read(int client, struct server_reply *reply);
/* Reads until `count` answers have come or the server has closed. */
void server_reply_await_answers(struct server_rig *rig, int client, struct server_reply *reply,
                                unsigned count);
/* Reads until the server has closed. */
void server_reply_await_close(struct server_rig *rig, int client, struct server_reply *reply);
/* One request on a connection of its own; the reply is static and lasts until the next. */
struct server_reply *server_reply_ask(struct server_rig *rig, const char *bytes, size_t length);

/* Of the first answer; 0 and "" when there is none. */
int server_reply_status(const struct server_reply *reply);
const char *server_reply_body(const struct server_reply *reply);
/* How often the word is in the text. */
unsigned server_reply_count(const char *text, const char *word);

#endif
