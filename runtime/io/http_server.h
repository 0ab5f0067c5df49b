/* The inbound HTTP/1 server of one loop: keep-alive, pipelining, limits, time-outs, drain.
 *
 * One server per loop, any number of listeners. All functions and callbacks on the loop's
 * thread. The process must ignore SIGPIPE. */
#ifndef TIDEGATE_IO_HTTP_SERVER_H
#define TIDEGATE_IO_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/timer.h"
#include "io/address.h"
#include "io/http_exchange.h"

#define HTTP_PIPELINE_MAX 16 /* requests of a connection that are taken before an answer */
#define HTTP_REFUSAL_HEADERS_MAX 4
#define HTTP_REFUSAL_TEXT_MAX 1024

struct http_server;
struct http_listener;
struct tls_identity;

/* A request is complete. The handler owns one hold on the exchange, answers it now or later
 * and releases it. */
typedef void (*http_request_fn)(void *context, struct http_exchange *exchange);

/* The answer to what never became an exchange: malformed, too large, too slow. */
struct http_refusal {
  struct http_header headers[HTTP_REFUSAL_HEADERS_MAX];
  size_t header_count;
  const char *body;
  size_t body_length;
  char text[HTTP_REFUSAL_TEXT_MAX]; /* for whatever the above point to */
};

/* Fills `refusal` (zeroed). `reason` is a static sentence that may be shown to the client. */
typedef void (*http_refuse_fn)(void *context, int status, const char *reason,
                               struct http_refusal *refusal);

struct http_handler {
  http_request_fn on_request;
  http_refuse_fn on_refuse; /* NULL: the reason as text/plain */
  /* The listener is closed and no exchange of it is left, so `context` may go; may be NULL. */
  void (*on_closed)(void *context);
  void *context;
};

/* Each zero stands for the default. */
struct http_limits {
  size_t body_bytes;              /* 1 MiB; above: 413 */
  unsigned connections;           /* 10,240; at it accepting pauses */
  uint64_t head_ns;               /* 10 s from a request's first byte to the end of its head; the
                                     same for a handshake of TLS */
  uint64_t idle_ns;               /* 75 s between requests */
  uint64_t body_ns;               /* 30 s without a byte of the body */
  uint64_t body_bytes_per_second; /* 1,024 on average, once body_ns have passed */
  uint64_t write_ns;              /* 30 s in which the client took nothing */
  uint64_t linger_ns;             /* 5 s for the client to close after us */
  uint64_t drain_idle_ns;         /* 500 ms that idle connections live on while draining */
};

struct http_listen_options {
  struct http_limits limits;
  bool reuse_port; /* SO_REUSEPORT, TCP only */
  /* TLS with what it holds when a connection begins; NULL: plain. Outlives the server. */
  struct tls_identity *tls;
  /* With `adopt`, `descriptor` is an already bound socket and `address` what it is bound to;
   * it is the listener's from then on, even on failure. */
  bool adopt;
  int descriptor;
};

struct http_listener_stats {
  unsigned connections;       /* open now */
  unsigned exchanges;         /* being handled now */
  uint64_t accepted;          /* connections */
  uint64_t requests;          /* given to the handler */
  uint64_t refused;           /* requests answered by the server: malformed, too large, too slow */
  uint64_t handshakes;        /* of TLS, completed */
  uint64_t failed_handshakes; /* not TLS, nothing in common, or not in time */
  uint64_t full;              /* times that accepting paused at the limit of connections */
  uint64_t starved;           /* times that it paused for want of descriptors or memory */
};

/* NULL without memory. `timers` and `clock` (NULL: the real one) outlive the server. */
struct http_server *http_server_new(uv_loop_t *loop, struct timer_heap *timers,
                                    const struct clock *clock);
/* Closes all listeners and connections. The memory goes when the loop has run their close
 * callbacks and the last exchange is released; the caller just forgets the pointer. */
void http_server_free(struct http_server *server);

/* Serves `address`. NULL with the codes of listener_bind, "out_of_memory", or "invalid_input" when
 * TLS has no certificate. The listener is
 * the server's; it lives until http_listener_close and its close callbacks. */
struct http_listener *http_server_listen(struct http_server *server, const struct address *address,
                                         const struct http_handler *handler,
                                         const struct http_listen_options *options,
                                         struct err *err);
/* What was bound, with the real port. */
const struct address *http_listener_address(const struct http_listener *listener);
/* The largest body of requests that begin from now on. */
void http_listener_limit_body(struct http_listener *listener, size_t bytes);
/* Accepts what waits in the backlog, then closes the socket. Requests that have come are
 * answered, the last of each connection with "Connection: close". */
void http_listener_drain(struct http_listener *listener);
/* Closes the socket and every connection at once. The pointer is not to be used again;
 * exchanges that are held stay valid and are gone. */
void http_listener_close(struct http_listener *listener);
struct http_listener_stats http_listener_stats(const struct http_listener *listener);

#endif
