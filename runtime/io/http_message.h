/* One HTTP request as it was received: target, headers, body.
 *
 * Filled by http_parse, read through the functions below. All bytes live in two buffers of
 * the message itself, so the slices are valid until it is cleared. One thread at a time. */
#ifndef TIDEGATE_IO_HTTP_MESSAGE_H
#define TIDEGATE_IO_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HTTP_TARGET_MAX 8192 /* bytes of the request target; above: 414 */
#define HTTP_HEAD_MAX 32768  /* bytes of the header block, and of the trailers; above: 431 */
#define HTTP_HEADERS_MAX 100 /* header lines; above: 431 */
#define HTTP_METHOD_UNKNOWN 0xFF

/* Bytes that someone else owns; not NUL-terminated. */
struct http_text {
  const char *data;
  size_t length;
};

struct http_header {
  struct http_text name; /* in lower case in what was received */
  struct http_text value;
};

/* A slice by place, because the buffer moves while it grows. */
struct http_span {
  uint32_t at;
  uint32_t length;
};

struct http_field {
  struct http_span name;
  struct http_span value;
};

struct http_message {
  struct buf head;           /* target, header names in lower case, values */
  struct buf body;           /* its ceiling is the largest body allowed */
  struct http_field *fields; /* in order of arrival */
  struct http_span target;   /* as sent */
  struct http_span path;     /* "/" at least, or "*" */
  struct http_span query;    /* without the "?" */
  uint8_t field_count;
  uint8_t field_capacity;
  uint8_t method;        /* of llhttp; HTTP_METHOD_UNKNOWN until the head is complete */
  uint8_t version_minor; /* of HTTP/1 */
  bool has_query;
  bool keep_alive;       /* the client lets the connection live */
  bool expects_continue; /* "Expect: 100-continue", and a body is to come */
};

/* Why a request cannot be taken; `status` 0: it can. */
struct http_fault {
  int status;
  const char *reason; /* static; for people */
};

/* Cannot fail; allocates nothing. */
void http_message_init(struct http_message *message, size_t body_max);
void http_message_deinit(struct http_message *message);
/* Forgets the content; memory above `keep` bytes a buffer is given back. */
void http_message_clear(struct http_message *message, size_t keep);

/* For the parser. They return 0 or the status that answers (431, 503). Names are stored in lower
 * case. */
int http_message_add_field(struct http_message *message);
int http_message_append_name(struct http_message *message, const char *bytes, size_t length);
int http_message_append_value(struct http_message *message, const char *bytes, size_t length);

/* Checks what llhttp leaves to its user, once the head is there (method and version_minor
 * set), and finds path and query. `length` is the Content-Length, 0 without one. */
struct http_fault http_message_check_head(struct http_message *message, bool chunked,
                                          uint64_t length);

/* The static name of the method; "?" while it is unknown. */
const char *http_message_method(const struct http_message *message);
struct http_text http_message_text(const struct http_message *message, struct http_span span);
struct http_header http_message_header(const struct http_message *message, size_t index);
/* The index of the first header of that name (lower case) at or after `from`; -1: none. */
int http_message_find(const struct http_message *message, const char *name, size_t from);

#endif
