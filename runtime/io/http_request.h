/* One outgoing HTTP request as its caller describes it, checked, and in the form that libcurl
 * wants. */
#ifndef TIDEGATE_IO_HTTP_REQUEST_H
#define TIDEGATE_IO_HTTP_REQUEST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/address_policy.h"
#include "io/http_response.h"
#include "io/url.h"

#define HTTP_REQUEST_HEADERS_MAX 100
#define HTTP_REQUEST_HEAD_MAX (128 * 1024) /* bytes of URL and headers */
#define HTTP_REQUEST_METHOD_MAX 20
#define HTTP_REQUEST_HOSTS_MAX 100
#define HTTP_REQUEST_PEM_MAX (64 * 1024) /* bytes of a certificate, a key, a trust anchor */

/* Text in PEM form; `data` NULL: none. */
struct http_pem {
  const char *data;
  size_t length;
};

/* What to send. Everything is copied at the start of the operation but `body`, which must stay
 * as it is until the operation is freed. */
struct http_request {
  const char *method; /* in upper case, NUL-terminated */
  const char *url;
  size_t url_length;
  const struct http_pair *headers; /* in order */
  size_t header_count;
  const char *body; /* NULL: none */
  size_t body_length;
  uint64_t timeout_ms;           /* the whole request, DNS included; at least 1 */
  uint64_t connect_timeout_ms;   /* DNS, TCP and TLS; at least 1 */
  size_t response_max;           /* bytes of the body, decoded */
  const struct url_slice *hosts; /* patterns (io/address_policy.h); NULL: any host */
  size_t host_count;
  enum address_policy policy;
  bool fresh_connection;   /* not one that is kept alive: it may be closed without an answer, and
                              libcurl would send the request again, a POST too */
  bool http2;              /* over TLS, where the other side has it */
  const char *unix_socket; /* path of the socket that is connected to, whatever the URL's host
                              (which is not looked up); NULL: by the URL */
  struct http_pem certificate; /* of the client, with its chain; none: it shows none */
  struct http_pem key;         /* none: it is in `certificate` */
  struct http_pem ca;          /* trusted instead of the client's bundle */
};

/* -1 with code "invalid_input" when method, URL or headers are not fit to be sent (CR, LF and
 * NUL among the reasons) or a PEM is too long, "host_refused" when no pattern matches the host;
 * `url` is filled otherwise. Messages name no values. */
int http_request_check(const struct http_request *request, struct url *url, struct err *err);

/* URL and headers as libcurl takes them. Embedded; one thread at a time. */
struct http_lines {
  struct buf text;            /* "URL NUL", then each line with its NUL */
  struct curl_slist *headers; /* nodes in one array; NULL: none were built */
  size_t header_capacity;
  bool asks_for_encoding; /* the caller set Accept-Encoding: a coding unknown to us is its wish */
};

/* Cannot fail; allocates nothing. */
void http_lines_init(struct http_lines *lines);
void http_lines_deinit(struct http_lines *lines);
/* From a request that was checked. -1 with code "out_of_memory" or "invalid_input" (more than
 * HTTP_REQUEST_HEAD_MAX bytes). Memory is kept for the next one unless it is unusually much. */
int http_lines_build(struct http_lines *lines, const struct http_request *request,
                     const struct url *url, struct err *err);
/* The URL, spelt so that libcurl reads it as url_parse did; NUL-terminated. */
const char *http_lines_url(const struct http_lines *lines);

#endif
