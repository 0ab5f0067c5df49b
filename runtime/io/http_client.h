/* The HTTP client: one request an operation, on libcurl, a loop and its resolver.
 *
 * No redirect is followed, no status is an error, nothing is retried but a GET or HEAD (or, with
 * a connection that may be reused, any method: see http_request.fresh_connection) whose kept-alive
 * connection turned out to be closed before a byte of the answer. Name look-up, address policy,
 * TLS, pooling, time-outs and ceilings are dealt with here. One client per loop, all functions on
 * its thread. */
#ifndef TIDEGATE_IO_HTTP_CLIENT_H
#define TIDEGATE_IO_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/timer.h"
#include "base/wake.h"
#include "io/http_request.h"
#include "io/http_response.h"
#include "io/ip_address.h"
#include "io/resolver.h"

#define HTTP_CLIENT_OPERATIONS_MAX 4096  /* under way at a time; beyond it "overloaded" */
#define HTTP_CLIENT_CONNECTIONS_MAX 1024 /* kept idle */
#define HTTP_CLIENT_CA "/etc/ssl/certs/ca-certificates.crt"

struct http_client;
struct http_operation;

struct http_client_options {
  const char *ca;         /* PEM bundle; NULL: HTTP_CLIENT_CA */
  size_t operations_max;  /* 0: HTTP_CLIENT_OPERATIONS_MAX */
  size_t connections_max; /* 0: HTTP_CLIENT_CONNECTIONS_MAX */
  struct resolver_options resolver;
};

struct http_client_counters {
  uint64_t started;
  uint64_t failed; /* ended with an error; cancelled ones are in neither */
  uint64_t cancelled;
  uint64_t timed_out; /* of the failed ones */
  uint64_t refused;   /* "overloaded": not started */
  uint64_t reused;    /* answered over a connection that was there already */
};

/* Milliseconds. Those of a phase are its duration, 0 when it did not happen. */
struct http_timings {
  double total;
  double dns;
  double connect; /* TCP */
  double tls;
  double first_byte; /* from the start of the operation */
};

/* Once, on the main thread before others start: libcurl and OpenSSL. -1: no memory. */
int http_client_open_library(void);
/* After the last client; no effect when it was not opened. */
void http_client_close_library(void);

/* NULL with code "out_of_memory" or "network_error". `timers` must outlive the client. */
struct http_client *http_client_new(uv_loop_t *loop, struct timer_heap *timers,
                                    const struct http_client_options *options, struct err *err);
/* Closes all connections. Operations that are still under way end without a wake, and remain
 * their owners' to free. The memory goes once the loop has run the close callbacks and the last
 * operation is freed. */
void http_client_free(struct http_client *client);
const struct http_client_counters *http_client_counters(const struct http_client *client);
/* Operations under way. */
size_t http_client_in_flight(const struct http_client *client);
/* Connections that are open, in use or idle. */
size_t http_client_connections(const struct http_client *client);
const struct resolver *http_client_resolver(const struct http_client *client);

/* Starts a request; `wake(argument)` is called once when it has ended, never from within this
 * function. NULL with code "invalid_input", "host_refused", "overloaded", "out_of_memory", or, when
 * it is known at once, "address_refused" or "network_error": nothing was sent then. The operation
 * belongs to the caller. */
struct http_operation *http_client_start(struct http_client *client,
                                         const struct http_request *request, wake_fn wake,
                                         void *argument, struct err *err);
/* Frees one that has ended, cancels and frees one that has not (its connection is closed, no wake
 * follows). At any time outside libcurl's callbacks, after http_client_free too; NULL is fine. */
void http_operation_free(struct http_operation *operation);

bool http_operation_is_done(const struct http_operation *operation);
/* What went wrong, NULL when there is an answer: code "timeout", "network_error",
 * "malformed_response", "too_large", "address_refused", "out_of_memory", or "certificate_unusable"
 * (the request's own, or its key or trust anchor). What follows is valid
 * only of operations that are done. */
const struct err *http_operation_error(const struct http_operation *operation);
/* Whether any byte of the request may have reached the other side: false when it failed in DNS,
 * connect or TLS. */
bool http_operation_sent(const struct http_operation *operation);
/* Valid until the operation is freed; complete only when there is no error. */
const struct http_response *http_operation_response(const struct http_operation *operation);
const struct buf *http_operation_body(const struct http_operation *operation);
const struct http_timings *http_operation_timings(const struct http_operation *operation);
bool http_operation_reused(const struct http_operation *operation);
/* The address that answered; "" when none did. */
const char *http_operation_remote_address(const struct http_operation *operation);

#endif
