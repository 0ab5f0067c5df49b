/* The head of one HTTP response, built from the lines that libcurl hands over, with what
 * libcurl lets pass and we do not: an unasked 101, two lengths, heads without end.
 *
 * Embedded; the text lives in the response's own buffer. One thread at a time. */
#ifndef TIDEGATE_IO_HTTP_RESPONSE_H
#define TIDEGATE_IO_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/content_decoder.h"

#define HTTP_RESPONSE_HEAD_MAX (256 * 1024) /* bytes: status lines, headers, trailers, 1xx too */
#define HTTP_RESPONSE_HEADERS_MAX 1000

/* A name and a value; not NUL-terminated. */
struct http_pair {
  const char *name;
  size_t name_length;
  const char *value;
  size_t value_length;
};

struct http_response_field {
  uint32_t name_at;
  uint32_t name_length;
  uint32_t value_at;
  uint32_t value_length;
};

struct http_response {
  int status;       /* of the last status line; 0 before the first */
  bool is_complete; /* the empty line of a final (not 1xx) head was seen */
  bool has_length;  /* a Content-Length was seen */
  uint64_t length;  /* its value */
  enum content_coding coding;
  size_t bytes; /* of all lines so far, for HTTP_RESPONSE_HEAD_MAX */
  struct buf text;
  struct http_response_field *fields;
  size_t field_count;
  size_t field_capacity;
};

/* Cannot fail; allocates nothing. */
void http_response_init(struct http_response *response);
void http_response_deinit(struct http_response *response);
/* Forgets the content; memory beyond a usual head is given back. */
void http_response_clear(struct http_response *response);

/* Takes a status line, a header, a folded line, the empty line or a trailer (which is dropped).
 * -1 with code "malformed_response", "too_large" or "out_of_memory". */
int http_response_take_line(struct http_response *response, const char *line, size_t length,
                            struct err *err);

/* In order of arrival, names as they came. Valid until the response is cleared. */
struct http_pair http_response_header(const struct http_response *response, size_t index);

#endif
