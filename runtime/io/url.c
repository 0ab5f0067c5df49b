#include "io/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "io/ip_address.h"

#define LABEL_LENGTH_MAX 63

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hexadecimal(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int refuse(struct err *err, const char *reason) {
  return err_set(err, "invalid_input", "the URL is not valid: %s", reason);
}

/* Controls, spaces and bytes above ASCII would let a URL say one thing to us and another to
 * whoever reads the request; a backslash is a slash to some. */
static int check_characters(const char *text, size_t length, struct err *err) {
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c <= 0x20 || c == 0x7f) return refuse(err, "it holds a space or a control character");
    if (c > 0x7f) return refuse(err, "characters outside ASCII must be percent-encoded");
    if (c == '\\') return refuse(err, "it holds a backslash");
    if (c != '%') continue;
    if (length - i < 3 || !is_hexadecimal(text[i + 1]) || !is_hexadecimal(text[i + 2]))
      return refuse(err, "\"%\" must be followed by two hexadecimal digits");
  }
  return 0;
}

static size_t parse_scheme(struct url *url, const char *text, size_t length) {
  if (length > 8 && strncasecmp(text, "https://", 8) == 0) {
    url->secure = true;
    return 8;
  }
  if (length > 7 && strncasecmp(text, "http://", 7) == 0) return 7;
  return 0;
}

static bool labels_are_valid(const char *host, size_t length) {
  size_t label = 0;
  for (size_t i = 0; i < length; i++) {
    if (host[i] == '.') {
      if (label == 0) return false;
      label = 0;
      continue;
    }
    if (!is_alphanumeric(host[i]) && host[i] != '-' && host[i] != '_') return false;
    if (++label > LABEL_LENGTH_MAX) return false;
  }
  return label > 0;
}

static bool last_label_is_number(const char *host, size_t length) {
  size_t start = length;
  while (start > 0 && host[start - 1] != '.') start--;
  const char *label = host + start;
  size_t label_length = length - start;
  if (label_length >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) {
    label += 2;
    label_length -= 2;
    for (size_t i = 0; i < label_length; i++)
      if (!is_hexadecimal(label[i])) return false;
    return true;
  }
  for (size_t i = 0; i < label_length; i++)
    if (!is_digit(label[i])) return false;
  return true;
}

bool url_host_is_valid(const char *host, size_t length) {
  if (length > 1 && host[length - 1] == '.') length--;
  if (length == 0 || length > URL_HOST_MAX || !labels_are_valid(host, length)) return false;
  struct ip_address address;
  return !last_label_is_number(host, length) || ip_address_parse(&address, host, length) == 0;
}

bool url_host_is_localhost(const char *host, size_t length) {
  if (length == 10 && host[9] == '.') length--;
  return length == 9 && strncasecmp(host, "localhost", 9) == 0;
}

static int take_ipv6(struct url *url, const char *text, size_t length, struct err *err) {
  struct ip_address address;
  if (ip_address_parse(&address, text, length) != 0 || address.family != AF_INET6)
    return refuse(err, "what stands in brackets is no IPv6 address");
  ip_address_format(&address, url->host);
  url->host_length = strlen(url->host);
  url->host_is_ipv6 = url->host_is_literal = true;
  return 0;
}

static int take_name(struct url *url, const char *text, size_t length, struct err *err) {
  if (!url_host_is_valid(text, length)) return refuse(err, "the host is missing or malformed");
  if (text[length - 1] == '.') length--;
  for (size_t i = 0; i < length; i++)
    url->host[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
  url->host[length] = '\0';
  url->host_length = length;
  url->host_is_literal = last_label_is_number(text, length);
  return 0;
}

static int take_port(struct url *url, const char *text, size_t length, struct err *err) {
  unsigned port = 0;
  if (length == 0 || length > 5) return refuse(err, "the port must be 1 to 65535");
  for (size_t i = 0; i < length; i++) {
    if (!is_digit(text[i])) return refuse(err, "the port must be 1 to 65535");
    port = port * 10 + (unsigned)(text[i] - '0');
  }
  if (port == 0 || port > 65535) return refuse(err, "the port must be 1 to 65535");
  url->port = (uint16_t)port;
  return 0;
}

static int parse_authority(struct url *url, const char *text, size_t length, struct err *err) {
  if (memchr(text, '@', length) != NULL)
    return refuse(err, "it holds a user name or password; use the auth of the integration");
  url->port = url->secure ? 443 : 80;
  const char *end = text + length;
  const char *after;
  if (length > 0 && text[0] == '[') {
    const char *bracket = memchr(text, ']', length);
    if (bracket == NULL) return refuse(err, "\"]\" is missing");
    if (take_ipv6(url, text + 1, (size_t)(bracket - text) - 1, err) != 0) return -1;
    after = bracket + 1;
  } else {
    const char *colon = memchr(text, ':', length);
    after = colon != NULL ? colon : end;
    if (take_name(url, text, (size_t)(after - text), err) != 0) return -1;
  }
  if (after == end) return 0;
  if (*after != ':') return refuse(err, "the host is missing or malformed");
  return take_port(url, after + 1, (size_t)(end - after) - 1, err);
}

int url_parse(struct url *url, const char *text, size_t length, struct err *err) {
  memset(url, 0, offsetof(struct url, host));
  url->host_length = 0;
  if (length > URL_LENGTH_MAX) return refuse(err, "it is longer than 65536 bytes");
  if (check_characters(text, length, err) != 0) return -1;
  size_t at = parse_scheme(url, text, length);
  if (at == 0) return refuse(err, "it must begin with http:// or https:// and a host");
  const char *fragment = memchr(text, '#', length);
  const char *end = fragment != NULL ? fragment : text + length;
  const char *authority = text + at;
  const char *path = authority;
  while (path < end && *path != '/' && *path != '?') path++;
  if (parse_authority(url, authority, (size_t)(path - authority), err) != 0) return -1;
  const char *question = memchr(path, '?', (size_t)(end - path));
  url->query = (struct url_slice){0};
  if (question != NULL) url->query = (struct url_slice){question + 1, (size_t)(end - question) - 1};
  url->path = (struct url_slice){path, (size_t)((question != NULL ? question : end) - path)};
  return 0;
}

void url_origin(const struct url *url, char text[URL_ORIGIN_MAX]) {
  const char *scheme = url->secure ? "https" : "http";
  const char *open = url->host_is_ipv6 ? "[" : "";
  const char *close = url->host_is_ipv6 ? "]" : "";
  if (url->port == (url->secure ? 443 : 80))
    snprintf(text, URL_ORIGIN_MAX, "%s://%s%s%s", scheme, open, url->host, close);
  else
    snprintf(text, URL_ORIGIN_MAX, "%s://%s%s%s:%u", scheme, open, url->host, close, url->port);
}

size_t url_encode(char *out, const char *text, size_t length) {
  static const char digits[] = "0123456789ABCDEF";
  size_t written = 0;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (is_alphanumeric(text[i]) || c == '-' || c == '.' || c == '_' || c == '~') {
      out[written++] = text[i];
      continue;
    }
    out[written++] = '%';
    out[written++] = digits[c >> 4];
    out[written++] = digits[c & 15];
  }
  return written;
}

static unsigned hexadecimal_value(char c) {
  if (is_digit(c)) return (unsigned)(c - '0');
  return (unsigned)((c | 0x20) - 'a') + 10;
}

int url_decode_query(char *out, size_t *written, const char *text, size_t length, struct err *err) {
  size_t count = 0;
  for (size_t i = 0; i < length; i++) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%') {
      if (length - i < 3 || !is_hexadecimal(text[i + 1]) || !is_hexadecimal(text[i + 2]))
        return err_set(err, "invalid_input",
                       "\"%%\" must be followed by two hexadecimal digits (byte %zu)", i + 1);
      c = (char)(hexadecimal_value(text[i + 1]) << 4 | hexadecimal_value(text[i + 2]));
      i += 2;
    }
    out[count++] = c;
  }
  *written = count;
  return 0;
}

static struct url_slice split(struct url_slice *rest, char separator) {
  const char *at = memchr(rest->data, separator, rest->length);
  if (at == NULL) {
    struct url_slice whole = *rest;
    *rest = (struct url_slice){rest->data + rest->length, 0};
    return whole;
  }
  struct url_slice part = {rest->data, (size_t)(at - rest->data)};
  *rest = (struct url_slice){at + 1, rest->length - part.length - 1};
  return part;
}

bool url_query_next(struct url_slice *query, struct url_slice *name, struct url_slice *value) {
  while (query->length > 0) {
    struct url_slice pair = split(query, '&');
    if (pair.length == 0) continue;
    *name = split(&pair, '=');
    *value = pair;
    return true;
  }
  return false;
}
