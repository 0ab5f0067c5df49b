#include "io/http_request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEPT_TEXT 4096
/* Besides the caller's: Expect, Accept-Encoding, Content-Type. */
#define OWN_HEADERS 3

/* --- checks ------------------------------------------------------------------------------- */

static int refuse(struct err *err, const char *reason) {
  return err_set(err, "invalid_input", "%s", reason);
}

static int check_method(const struct http_request *request, struct err *err) {
  size_t length = strlen(request->method);
  if (length == 0 || length > HTTP_REQUEST_METHOD_MAX)
    return refuse(err, "the method must be 1 to 20 upper-case letters");
  for (size_t i = 0; i < length; i++) {
    char c = request->method[i];
    if ((c < 'A' || c > 'Z') && (c != '-' || i == 0))
      return refuse(err, "the method must be 1 to 20 upper-case letters");
  }
  if (strcmp(request->method, "CONNECT") == 0) return refuse(err, "CONNECT is not supported");
  if (strcmp(request->method, "HEAD") == 0 && request->body != NULL)
    return refuse(err, "a HEAD request cannot have a body");
  return 0;
}

static bool is_token(const char *text, size_t length) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    bool is_alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_alphanumeric && (c == '\0' || strchr(others, c) == NULL)) return false;
  }
  return length > 0;
}

static bool is_named(const struct http_pair *pair, const char *name) {
  return pair->name_length == strlen(name) && strncasecmp(pair->name, name, pair->name_length) == 0;
}

static int check_header(const struct http_pair *pair, struct err *err) {
  if (!is_token(pair->name, pair->name_length))
    return refuse(err, "a header name is empty or holds a character that is not allowed there");
  for (size_t i = 0; i < pair->value_length; i++) {
    unsigned char c = (unsigned char)pair->value[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f)
      return err_set(err, "invalid_input",
                     "the value of the header %.*s holds a line break, NUL or control character",
                     pair->name_length > 100 ? 100 : (int)pair->name_length, pair->name);
  }
  if (is_named(pair, "Content-Length") || is_named(pair, "Transfer-Encoding"))
    return refuse(err, "Content-Length and Transfer-Encoding are set by the client itself");
  return 0;
}

static int check_host(const struct http_request *request, const struct url *url, struct err *err) {
  if (request->hosts == NULL) return 0;
  for (size_t i = 0; i < request->host_count; i++)
    if (address_policy_host_matches(request->hosts[i].data, request->hosts[i].length, url->host,
                                    url->host_length))
      return 0;
  return err_set(err, "host_refused",
                 "%s is not among the hosts that this request may reach; declare it in `hosts`",
                 url->host);
}

static int check_tls(const struct http_request *request, struct err *err) {
  if (request->certificate.length > HTTP_REQUEST_PEM_MAX ||
      request->key.length > HTTP_REQUEST_PEM_MAX || request->ca.length > HTTP_REQUEST_PEM_MAX)
    return refuse(err, "a certificate or key for TLS is larger than 64 KiB");
  if (request->key.data != NULL && request->certificate.data == NULL)
    return refuse(err, "a key for TLS needs its certificate");
  return 0;
}

int http_request_check(const struct http_request *request, struct url *url, struct err *err) {
  if (check_method(request, err) != 0) return -1;
  if (url_parse(url, request->url, request->url_length, err) != 0) return -1;
  if (request->header_count > HTTP_REQUEST_HEADERS_MAX)
    return refuse(err, "a request can have at most 100 headers");
  for (size_t i = 0; i < request->header_count; i++)
    if (check_header(&request->headers[i], err) != 0) return -1;
  if (check_tls(request, err) != 0) return -1;
  return check_host(request, url, err);
}

/* --- lines -------------------------------------------------------------------------------- */

void http_lines_init(struct http_lines *lines) {
  *lines = (struct http_lines){0};
  buf_init(&lines->text, HTTP_REQUEST_HEAD_MAX);
}

void http_lines_deinit(struct http_lines *lines) {
  buf_deinit(&lines->text);
  free(lines->headers);
  http_lines_init(lines);
}

/* What url_parse took apart, put together again; URLs without a path get "/". */
static int append_url(struct buf *text, const struct url *url) {
  char origin[URL_ORIGIN_MAX];
  url_origin(url, origin);
  if (buf_append_text(text, origin) != 0) return -1;
  if (url->path.length == 0 && buf_append_text(text, "/") != 0) return -1;
  if (buf_append(text, url->path.data, url->path.length) != 0) return -1;
  if (url->query.data == NULL) return buf_append(text, "", 1);
  if (buf_append_text(text, "?") != 0) return -1;
  if (buf_append(text, url->query.data, url->query.length) != 0) return -1;
  return buf_append(text, "", 1);
}

static int append_header(struct buf *text, const struct http_pair *pair) {
  if (buf_append(text, pair->name, pair->name_length) != 0) return -1;
  /* libcurl takes "Name:" for the wish to leave the header out, "Name;" for an empty one. */
  if (pair->value_length == 0) return buf_append(text, ";", 2);
  if (buf_append(text, ": ", 2) != 0) return -1;
  if (buf_append(text, pair->value, pair->value_length) != 0) return -1;
  return buf_append(text, "", 1);
}

static bool is_blank(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (text[i] != ' ' && text[i] != '\t') return false;
  return true;
}

static int make_room(struct http_lines *lines, size_t count) {
  if (count <= lines->header_capacity) return 0;
  struct curl_slist *headers = realloc(lines->headers, count * sizeof *headers);
  if (headers == NULL) return -1;
  lines->headers = headers;
  lines->header_capacity = count;
  return 0;
}

static bool has_header(const struct http_request *request, const char *name) {
  for (size_t i = 0; i < request->header_count; i++)
    if (is_named(&request->headers[i], name)) return true;
  return false;
}

/* Ours first: libcurl finds them faster, and a list of ours alone is never empty. The strings are
 * only read, whatever the type of the member says. */
static size_t add_own_headers(struct http_lines *lines, const struct http_request *request) {
  size_t count = 0;
  if (!has_header(request, "Expect")) lines->headers[count++].data = (char *)"Expect:";
  lines->asks_for_encoding = has_header(request, "Accept-Encoding");
  if (!lines->asks_for_encoding)
    lines->headers[count++].data = (char *)"Accept-Encoding: gzip, deflate";
  /* libcurl would call every body a form. */
  if (!has_header(request, "Content-Type")) lines->headers[count++].data = (char *)"Content-Type:";
  return count;
}

static int append_lines(struct http_lines *lines, const struct http_request *request,
                        const struct url *url) {
  struct buf *text = &lines->text;
  size_t most = URL_ORIGIN_MAX + url->path.length + url->query.length + 3;
  for (size_t i = 0; i < request->header_count; i++)
    most += request->headers[i].name_length + request->headers[i].value_length + 3;
  /* Reserved at once, so that the text does not move while nodes point into it. */
  if (buf_reserve(text, most) != 0 || append_url(text, url) != 0) return -1;
  size_t count = add_own_headers(lines, request);
  for (size_t i = 0; i < request->header_count; i++) {
    struct http_pair pair = request->headers[i];
    if (is_blank(pair.value, pair.value_length)) pair.value_length = 0;
    lines->headers[count++].data = text->data + text->length;
    if (append_header(text, &pair) != 0) return -1;
  }
  for (size_t i = 0; i < count; i++)
    lines->headers[i].next = i + 1 < count ? &lines->headers[i + 1] : NULL;
  return 0;
}

int http_lines_build(struct http_lines *lines, const struct http_request *request,
                     const struct url *url, struct err *err) {
  if (lines->text.capacity > KEPT_TEXT) http_lines_deinit(lines);
  buf_clear(&lines->text);
  if (make_room(lines, request->header_count + OWN_HEADERS) == 0 &&
      append_lines(lines, request, url) == 0)
    return 0;
  return err_set(err, "invalid_input", "URL and headers are larger than %d bytes, or memory is out",
                 HTTP_REQUEST_HEAD_MAX);
}

const char *http_lines_url(const struct http_lines *lines) {
  return lines->text.data;
}
