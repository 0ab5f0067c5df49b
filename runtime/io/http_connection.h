/* One accepted connection: bytes in, requests out, answers in order, time-outs, the end.
 *
 * Internal to the server (http_server.c, http_connection.c, http_exchange.c); all of it on
 * the loop's thread. The structures of these three are here because they share them. */
#ifndef TIDEGATE_IO_HTTP_CONNECTION_H
#define TIDEGATE_IO_HTTP_CONNECTION_H

#include <uv.h>

#include "io/http_exchange.h"
#include "io/http_output.h"
#include "io/http_parse.h"
#include "io/http_server.h"
#include "io/listener.h"
#include "io/tls_session.h"

#define HTTP_READ_BYTES 65536u                              /* of the one read buffer of a loop */
#define HTTP_PLAIN_BYTES (HTTP_READ_BYTES + TLS_RECORD_MAX) /* that one reading may hold */
#define HTTP_POOL_MAX 256          /* idle connections, and exchanges, kept for reuse */
#define HTTP_POOL_BUFFER_KEEP 8192 /* a pooled exchange's larger buffers are freed */
#define HTTP_DATE_MAX 40

struct http_connection;

struct http_exchange {
  struct http_message message;
  struct http_connection *connection; /* NULL: gone, or its answer is on its way */
  struct http_listener *listener;
  struct http_exchange *next; /* in the connection's queue, or in the pool */
  struct buf answer;          /* an answer that waits for its turn */
  union address_socket peer;
  int64_t peer_uid;
  unsigned holds; /* by the handler */
  bool queued;    /* in the connection's queue */
  bool answered;
  bool gone;
  bool closes;  /* the answer says "Connection: close" */
  bool counted; /* in the listener's `exchanges` */
};

enum http_connection_state {
  HTTP_CONNECTION_OPEN,
  HTTP_CONNECTION_FINISHING, /* the last answer is on its way */
  HTTP_CONNECTION_LINGERING, /* our side is shut down, the client's bytes are thrown away */
  HTTP_CONNECTION_CLOSED,    /* waiting for the close callback */
};

/* What the connection waits for, so what its one timer means. */
enum http_connection_wait {
  HTTP_WAIT_NONE,
  HTTP_WAIT_HANDSHAKE,
  HTTP_WAIT_IDLE,
  HTTP_WAIT_HEAD,
  HTTP_WAIT_BODY,
  HTTP_WAIT_WRITE,
  HTTP_WAIT_LINGER,
};

struct http_connection {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  struct http_listener *listener;
  struct http_connection *previous; /* of the listener's list */
  struct http_connection *next;     /* of the listener's list, or of the pool */
  struct http_parse parse;
  struct http_exchange *incoming; /* being received; NULL: none */
  struct http_exchange *first;    /* received, in order, not yet answered on the wire */
  struct http_exchange *last;
  struct buf stash;        /* received and not yet parsed, because of HTTP_PIPELINE_MAX */
  struct tls_session *tls; /* NULL: plain */
  struct http_output output;
  uv_shutdown_t shutdown;
  struct timer timer;
  uint64_t deadline_ns; /* of `wait`; the timer may be due earlier, then it starts anew */
  uint64_t begun_ns;    /* when `wait` began */
  size_t progress;      /* bytes of the body, or bytes left to write, when last looked at */
  union address_socket peer;
  int64_t peer_uid;
  size_t unparsed;     /* bytes behind the request that the parse loop has just completed */
  size_t queued_bytes; /* of the bodies in the queue */
  unsigned queue_length;
  uint8_t state; /* enum http_connection_state */
  uint8_t wait;  /* enum http_connection_wait */
  bool reading;
  bool busy;          /* in the parse loop, which must not be entered twice */
  bool ended;         /* the client has shut down its side */
  bool last_received; /* nothing after the last request may be parsed */
  bool owes_continue; /* "100 Continue" is to be sent when the queue is empty */
  bool extended;      /* `wait` was extended once because unread bytes were there */
};

struct http_listener {
  struct listener socket;
  struct http_server *server;
  struct http_listener *next, *previous;
  struct http_connection *connections;
  struct http_handler handler;
  struct http_limits limits;
  struct tls_identity *tls; /* NULL: plain; not owned */
  struct http_listener_stats stats;
  unsigned references; /* its socket, its connections and its exchanges */
  bool draining;
  bool closed;
};

struct http_server {
  uv_loop_t *loop;
  struct timer_heap *timers;
  const struct clock *clock;
  struct http_listener *listeners;
  struct http_exchange *exchange_pool;
  struct http_connection *connection_pool;
  unsigned exchanges_pooled;
  unsigned connections_pooled;
  unsigned references; /* its owner and its listeners */
  struct buf head;     /* the head of the answer that is being written */
  int64_t date_second;
  char date[HTTP_DATE_MAX]; /* the Date line of that second */
  size_t date_length;
  char *plain_buffer; /* HTTP_PLAIN_BYTES; NULL: no listener speaks TLS */
  char read_buffer[HTTP_READ_BYTES];
};

/* Takes over an accepted descriptor; closes it when something fails. */
void http_connection_open(struct http_listener *listener, int descriptor,
                          const union address_socket *peer);
/* Closes at once; its exchanges are gone. */
void http_connection_abort(struct http_connection *connection);
/* The listener drains: ends soon if idle. */
void http_connection_drain(struct http_connection *connection);

/* Whether an answer to `exchange` would be the connection's last. */
bool http_connection_ends_with(const struct http_connection *connection,
                               const struct http_exchange *exchange);
/* `exchange` has been answered with these bytes: sends or keeps them. -1: not done, the
 * connection is lost or memory ran out. */
int http_connection_answer(struct http_connection *connection, struct http_exchange *exchange,
                           const uv_buf_t *parts, unsigned count);

/* An empty exchange of the connection; NULL without memory. */
struct http_exchange *http_exchange_new(struct http_connection *connection);
/* The queue lets go of it; ends it if nobody holds it. */
void http_exchange_leave_queue(struct http_exchange *exchange);
/* Frees it, or keeps it for reuse. */
void http_exchange_recycle(struct http_exchange *exchange);
/* Answers for the server itself (fault, time-out). */
void http_exchange_refuse(struct http_exchange *exchange, struct http_fault fault);

void http_listener_retain(struct http_listener *listener);
void http_listener_release(struct http_listener *listener);
/* The current Date line with its CRLF. */
struct http_text http_server_date(struct http_server *server);
uint64_t http_server_now(const struct http_server *server);

#endif
