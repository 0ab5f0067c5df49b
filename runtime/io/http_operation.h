/* The inside of an HTTP operation, shared by http_client.c (its life) and http_transfer.c (what
 * libcurl is told and says). For nobody else. */
#ifndef TIDEGATE_IO_HTTP_OPERATION_H
#define TIDEGATE_IO_HTTP_OPERATION_H

#include "io/content_decoder.h"
#include "io/curl_loop.h"
#include "io/http_client.h"
#include "io/unix_path.h"

/* "+" host ":" port ":" and RESOLVER_ADDRESSES_MAX addresses in brackets with commas. */
#define HTTP_RESOLVE_MAX (URL_HOST_MAX + 16 + RESOLVER_ADDRESSES_MAX * (IP_ADDRESS_TEXT_MAX + 3))

enum http_phase {
  HTTP_IDLE, /* in the pool */
  HTTP_LOOKING_UP,
  HTTP_CONNECTING, /* or waiting for a connection */
  HTTP_SENT,       /* connected; bytes may have gone out */
  HTTP_DONE,
};

struct http_operation {
  struct http_client *client;
  struct http_operation *previous; /* among those of the client that are not in the pool */
  struct http_operation *next;     /* the same, or in the pool */
  CURL *easy;                      /* NULL once the client is gone */
  enum http_phase phase;
  bool is_added; /* the easy handle is in the multi handle */
  bool sent;
  bool expects_body; /* not HEAD */
  bool is_literal;   /* the URL names an address or `localhost` */
  bool http2;
  bool is_customised; /* the handle holds certificates or a socket's path and is reset before its
                         next use */
  struct unix_path unix_path; /* closed: connect by address */
  bool has_failed;            /* `err` is filled */
  bool reused;
  bool is_spoilt; /* the kept-alive connection was no good, and nothing was sent over it */
  enum address_policy policy;
  wake_fn wake;
  void *argument;
  uint16_t port;
  char host[URL_HOST_MAX + 1];
  struct timer timer;
  uint64_t timeout_ms;
  uint64_t connect_timeout_ms;
  uint64_t started_ns; /* on the clock of the timers, for deadlines */
  uint64_t began_ns;   /* real, for the timings */
  uint64_t resolved_ns;
  struct resolver_query query;
  struct http_lines lines;
  struct curl_slist resolve; /* one node over resolve_text */
  char resolve_text[HTTP_RESOLVE_MAX];
  struct http_response response;
  struct content_decoder decoder;
  struct buf body;
  struct http_timings timings;
  char remote_address[IP_ADDRESS_TEXT_MAX];
  struct err err;
  char curl_message[CURL_ERROR_SIZE];
};

struct http_client {
  uv_loop_t *loop;
  struct timer_heap *timers;
  struct curl_loop *curl_loop;
  struct resolver *resolver;
  CURLSH *share; /* TLS sessions */
  char *ca;
  size_t operations_max;
  struct http_operation *live; /* not in the pool: under way, or done and not freed */
  struct http_operation *pool; /* with their easy handles */
  size_t pool_size;
  size_t in_flight;
  struct http_client_counters counters;
};

/* A handle with all that does not depend on the request; NULL without memory. */
CURL *http_transfer_handle_new(struct http_operation *operation);
/* Tells the handle what to send; -1 when libcurl has no memory for it. */
int http_transfer_configure(struct http_operation *operation, const struct http_request *request);
/* Checks the addresses against the policy and hands them to libcurl. -1 with the error of the
 * policy. */
int http_transfer_set_addresses(struct http_operation *operation,
                                const struct resolver_addresses *addresses, struct err *err);
/* Whether the transfer ended only because of its connection, and is ready to be added again, with
 * a new one. */
bool http_transfer_is_to_restart(struct http_operation *operation, CURLcode code);
/* Reads timings and addresses off a transfer that ended with `code`, and fills the operation's
 * error unless it ended well. */
void http_transfer_conclude(struct http_operation *operation, CURLcode code);
/* Notes the error, unless one was noted before; -1. */
int http_operation_fail(struct http_operation *operation, const struct err *err);

#endif
