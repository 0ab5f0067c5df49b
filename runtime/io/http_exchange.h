/* One request and the slot for its answer.
 *
 * Given to the server's handler once head and body are complete, and valid until the handler
 * releases it, even if the client has left meanwhile. Used on the server's thread only. */
#ifndef TIDEGATE_IO_HTTP_EXCHANGE_H
#define TIDEGATE_IO_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/address.h"
#include "io/http_message.h"

#define HTTP_RESPONSE_HEAD_MAX 32768u      /* bytes of the headers of an answer */
#define HTTP_RESPONSE_BODY_MAX (64u << 20) /* bytes of its body */

struct http_exchange;

/* What a handler answers; everything is copied or sent before http_exchange_respond returns.
 * Content-Length, Date, Connection and what else frames a message are the server's. */
struct http_response {
  int status;                        /* 200 to 599 */
  const struct http_header *headers; /* names are tokens; values without CR, LF, NUL */
  size_t header_count;
  const char *body; /* not sent for HEAD, 204 and 304 */
  size_t body_length;
};

/* Answers, in the order in which the requests came. -1 and nothing is sent: code
 * "invalid_input" (a header, the status, the size), "answered" (the second time), "gone"
 * (the client has left) or "out_of_memory". */
int http_exchange_respond(struct http_exchange *exchange, const struct http_response *response,
                          struct err *err);

/* One more holder, who releases it as well. */
void http_exchange_retain(struct http_exchange *exchange);
/* The last holder's release answers 500 if nobody has answered, and ends the exchange. */
void http_exchange_release(struct http_exchange *exchange);

/* The request. What is returned lives as long as the exchange. */
const struct http_message *http_exchange_message(const struct http_exchange *exchange);
const char *http_exchange_method(const struct http_exchange *exchange);
struct http_text http_exchange_target(const struct http_exchange *exchange);
struct http_text http_exchange_path(const struct http_exchange *exchange);
struct http_text http_exchange_query(const struct http_exchange *exchange);
struct http_text http_exchange_body(const struct http_exchange *exchange);
/* "127.0.0.1:5000", or "unix". */
void http_exchange_peer(const struct http_exchange *exchange, char *text, size_t size);
/* The uid of a Unix socket's peer; -1 over TCP. */
int64_t http_exchange_peer_uid(const struct http_exchange *exchange);
/* The handler's context, as given to http_server_listen. */
void *http_exchange_context(const struct http_exchange *exchange);

bool http_exchange_is_answered(const struct http_exchange *exchange);
/* The connection was lost or closed; nothing can be sent. A client that only ended its own
 * side (shutdown) is not gone. */
bool http_exchange_is_gone(const struct http_exchange *exchange);

#endif
