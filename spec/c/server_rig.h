/* A server on a real socket, its loop in the test's own thread, its time-outs on a clock that
 * stands until the test advances it, and raw clients. For specs. */
#ifndef TIDEGATE_SPEC_SERVER_RIG_H
#define TIDEGATE_SPEC_SERVER_RIG_H

#include "io/http_connection.h"

#define SECOND_NS 1000000000ull
#define HELD_MAX 64
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* What is done with a request: its body or path is the answer, it is held, let go without an
 * answer, or answered with `big`. */
enum server_rig_mode { SERVER_RIG_ECHO, SERVER_RIG_HOLD, SERVER_RIG_RELEASE, SERVER_RIG_BIG };

struct server_rig {
  uv_loop_t loop;
  struct timer_heap timers;
  uint64_t now_ns;
  struct http_server *server;
  struct http_listener *listener; /* of server_rig_listen; the server's */
  enum server_rig_mode mode;
  struct http_exchange *held[HELD_MAX]; /* released at the end, but for those set to NULL */
  size_t held_count;
  unsigned requests; /* counted so far */
  bool listener_closed;
  char *big; /* freed at the end */
  size_t big_length;
};

/* Set-up and tear-down of cmocka, with the rig as the state; nothing listens yet. */
int server_rig_set_up(void **state);
int server_rig_tear_down(void **state);

/* Fails the test when it cannot. */
void server_rig_listen(struct server_rig *rig, const char *text,
                       struct http_listen_options options);
/* Answers the exchange in plain text; as http_exchange_respond. */
int server_rig_answer(struct http_exchange *exchange, int status, const char *body, size_t length);

/* Runs the due timers and the loop once, without waiting. */
void server_rig_turn(struct server_rig *rig);
/* Everything that can happen without more input or time has happened. */
void server_rig_quiesce(struct server_rig *rig);
/* Moves the clock from timer to timer. */
void server_rig_advance(struct server_rig *rig, double seconds);

/* A connected, non-blocking descriptor, which the test closes. */
int server_rig_dial(const struct server_rig *rig);
/* Sends all, with turns of the loop in between; or less, when the server has closed. */
void server_rig_send(struct server_rig *rig, int client, const char *bytes, size_t length);
void server_rig_send_text(struct server_rig *rig, int client, const char *text);

/* Turn the loop until so many have come in all, or are open; fail the test when it is late. */
void server_rig_await_requests(struct server_rig *rig, unsigned count);
void server_rig_await_connections(struct server_rig *rig, unsigned count);
/* Whether a wait that began at `start` of uv_hrtime is hopeless. */
bool server_rig_is_late(uint64_t start);

#endif
