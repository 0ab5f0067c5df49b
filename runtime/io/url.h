/* Absolute http and https URLs, percent-encoding and query strings.
 *
 * Strict: what is not surely a URL is refused, so that this parser and libcurl's can never
 * disagree about the host. Pure functions, usable from any thread. */
#ifndef TIDEGATE_IO_URL_H
#define TIDEGATE_IO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define URL_LENGTH_MAX 65536
#define URL_HOST_MAX 253
/* Room for "https://[host]:65535" and the NUL. */
#define URL_ORIGIN_MAX (URL_HOST_MAX + 18)

/* Bytes of the text that was parsed; not NUL-terminated. */
struct url_slice {
  const char *data;
  size_t length;
};

struct url {
  bool secure;                 /* https */
  bool host_is_ipv6;           /* the host is an IPv6 literal and needs brackets in a URL */
  bool host_is_literal;        /* an IPv4 or IPv6 address */
  uint16_t port;               /* the scheme's own when the URL names none */
  char host[URL_HOST_MAX + 1]; /* in lower case, without brackets and trailing dot; an IPv6
                                  literal in its canonical spelling */
  size_t host_length;
  struct url_slice path;  /* as given; empty when there is none */
  struct url_slice query; /* without the "?"; data NULL: there is none */
};

/* Parses `scheme://host[:port][/path][?query][#fragment]`; the fragment is dropped. -1 with code
 * "invalid_input" and a message that says what is wrong but not the URL, which may hold
 * secrets; `url` is then undefined. The slices point into `text`. */
int url_parse(struct url *url, const char *text, size_t length, struct err *err);

/* Writes "https://host[:port]", the port only when it is not the scheme's own. */
void url_origin(const struct url *url, char text[URL_ORIGIN_MAX]);

/* `localhost`, in any case and with or without a trailing dot. */
bool url_host_is_localhost(const char *host, size_t length);

/* Whether it can be a host of a URL (names of letters, digits, "-" and "_", IPv4 literals). A
 * name whose last label is a number but which is no dotted quad (`127.1`, `0x7f000001`) is
 * refused: resolvers and libraries read such things as addresses, each in its own way. */
bool url_host_is_valid(const char *host, size_t length);

/* Writes the text with everything but unreserved characters percent-encoded; `out` has room for
 * three times its length. Returns the bytes written, no NUL. Cannot fail. */
size_t url_encode(char *out, const char *text, size_t length);

/* The reverse for one name or value of a query: "+" is a space. `out` has room for `length` bytes;
 * `*written` of them are used. -1 with code "invalid_input" for a "%" that no two hexadecimal
 * digits follow. */
int url_decode_query(char *out, size_t *written, const char *text, size_t length, struct err *err);

/* Takes the next pair off the front of a query; false when none is left. Empty parts
 * ("a=1&&b=2") are skipped; without "=" the value is empty. Still encoded. */
bool url_query_next(struct url_slice *query, struct url_slice *name, struct url_slice *value);

#endif
