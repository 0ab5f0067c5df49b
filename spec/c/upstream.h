/* A scripted third party on the loopback: raw TCP (or TLS) in threads, so that it can be as
 * rude as it likes. For specs. */
#ifndef TIDEGATE_SPEC_UPSTREAM_H
#define TIDEGATE_SPEC_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#define UPSTREAM_REQUEST_MAX 65536

struct upstream;
struct upstream_connection;

/* One request as it came. */
struct upstream_request {
  char method[32];
  char target[4096];
  char text[UPSTREAM_REQUEST_MAX + 1]; /* head and body, NUL-terminated */
  size_t length;
  const char *body;
  size_t body_length;
  int number; /* on this connection, from 1 */
};

/* Answers one request on the connection's thread; false closes the connection. */
typedef bool (*upstream_fn)(struct upstream_connection *connection,
                            const struct upstream_request *request, void *argument);

/* Serves a whole connection that agreed on `protocol`, until it returns. */
typedef void (*upstream_serve_fn)(struct upstream_connection *connection);

struct upstream_options {
  upstream_fn answer;
  void *argument;
  const char *certificate; /* PEM file with certificate and key: speaks TLS */
  const char *client_ca;   /* PEM file: asks for a client certificate of this issuer */
  const char *protocol;    /* of ALPN, taken when the client offers it; NULL: none */
  upstream_serve_fn serve; /* for connections that do */
};

/* Listens on a free port of 127.0.0.1; aborts the test program when it cannot. */
struct upstream *upstream_start(const struct upstream_options *options);
/* Closes all connections and joins all threads. */
void upstream_stop(struct upstream *upstream);
int upstream_port(const struct upstream *upstream);
/* Counted so far. */
int upstream_connections(struct upstream *upstream);
int upstream_requests(struct upstream *upstream);
int upstream_resumed(struct upstream *upstream); /* TLS sessions that were resumed */

/* For the answer function, or the one that serves. */
/* Exactly so many bytes; false at the end of the connection. */
bool upstream_receive(struct upstream_connection *connection, void *bytes, size_t length);
void upstream_send(struct upstream_connection *connection, const void *bytes, size_t length);
void upstream_say(struct upstream_connection *connection, const char *text);
/* An answer with a Content-Length. */
void upstream_answer(struct upstream_connection *connection, int status, const char *headers,
                     const void *body, size_t length);
/* The name in the client's certificate; "" when it showed none. */
void upstream_client_name(struct upstream_connection *connection, char name[64]);
/* The connection ends with RST. */
void upstream_reset(struct upstream_connection *connection);
/* Sleeps in small steps until the time is over (false) or the other side has gone or the upstream
 * stops (true). */
bool upstream_wait(struct upstream_connection *connection, int milliseconds);

#endif
