#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/http_connection.h"

static const char *phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

/* What may stand in a name and in a value. Tables, as every byte of every answer is looked up. */
static const bool token_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

static const bool value_bytes[256] = {
    ['\t'] = true,
    [' ' ... '~'] = true,
    [0x80 ... 0xff] = true,
};

static bool consists_of(struct http_text text, const bool bytes[256]) {
  for (size_t i = 0; i < text.length; i++)
    if (!bytes[(unsigned char)text.data[i]]) return false;
  return true;
}

static bool is_token(struct http_text text) {
  return text.length > 0 && consists_of(text, token_bytes);
}

static bool is_value(struct http_text text) {
  return consists_of(text, value_bytes);
}

#define NAME(text) \
  { text, sizeof(text) - 1 }

/* Whoever sets one of these could make two messages of one. */
static bool is_reserved(struct http_text name) {
  static const struct http_text names[] = {
      NAME("content-length"),    NAME("connection"), NAME("date"),
      NAME("keep-alive"),        NAME("trailer"),    NAME("upgrade"),
      NAME("transfer-encoding"),
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (name.length == names[i].length && strncasecmp(name.data, names[i].data, name.length) == 0)
      return true;
  return false;
}

static int check_header(const struct http_header *header, struct err *err) {
  int shown = header->name.length > 60 ? 60 : (int)header->name.length;
  const char *name = header->name.data;
  if (!is_token(header->name))
    return err_set(err, "invalid_input", "\"%.*s\" is not the name of a header", shown, name);
  if (is_reserved(header->name))
    return err_set(err, "invalid_input", "the header %.*s is set by the server", shown, name);
  if (!is_value(header->value))
    return err_set(err, "invalid_input", "the value of header %.*s has a control character", shown,
                   name);
  return 0;
}

static int check_response(const struct http_response *response, struct err *err) {
  size_t bytes = 0;
  if (response->status < 200 || response->status > 599)
    return err_set(err, "invalid_input", "the status %d is not 200 to 599", response->status);
  if (response->body_length > HTTP_RESPONSE_BODY_MAX)
    return err_set(err, "invalid_input", "the body of %zu bytes is above %u", response->body_length,
                   HTTP_RESPONSE_BODY_MAX);
  for (size_t i = 0; i < response->header_count; i++) {
    if (check_header(&response->headers[i], err) != 0) return -1;
    bytes += response->headers[i].name.length + response->headers[i].value.length + 4;
    if (bytes > HTTP_RESPONSE_HEAD_MAX)
      return err_set(err, "invalid_input", "the headers are above %u bytes",
                     HTTP_RESPONSE_HEAD_MAX);
  }
  return 0;
}

static char *put(char *to, const char *bytes, size_t length) {
  memcpy(to, bytes, length);
  return to + length;
}

static char *put_text(char *to, const char *text) {
  return put(to, text, strlen(text));
}

static char *put_number(char *to, size_t number) {
  char digits[24];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return put(to, digits + at, sizeof digits - at);
}

static char *put_headers(char *to, const struct http_response *response) {
  for (size_t i = 0; i < response->header_count; i++) {
    to = put(to, response->headers[i].name.data, response->headers[i].name.length);
    to = put(to, ": ", 2);
    to = put(to, response->headers[i].value.data, response->headers[i].value.length);
    to = put(to, "\r\n", 2);
  }
  return to;
}

/* The head into the server's buffer. By hand: this is in the path of every request. */
static int format_head(struct http_exchange *exchange, const struct http_response *response) {
  struct http_server *server = exchange->listener->server;
  struct buf *head = &server->head;
  buf_clear(head);
  if (buf_reserve(head, HTTP_RESPONSE_HEAD_MAX + 512) != 0) return -1;
  char *to = put_text(head->data, "HTTP/1.1 ");
  to = put_number(to, (size_t)response->status);
  to = put(to, " ", 1);
  to = put_text(to, phrase(response->status));
  to = put(to, "\r\n", 2);
  to = put_headers(to, response);
  struct http_text date = http_server_date(server);
  to = put(to, date.data, date.length);
  if (response->status != HTTP_STATUS_NO_CONTENT && response->status != HTTP_STATUS_NOT_MODIFIED) {
    to = put_text(to, "Content-Length: ");
    to = put_number(to, response->body_length);
    to = put(to, "\r\n", 2);
  }
  if (exchange->closes)
    to = put_text(to, "Connection: close\r\n");
  else if (exchange->message.version_minor == 0)
    to = put_text(to, "Connection: keep-alive\r\n");
  to = put(to, "\r\n", 2);
  head->length = (size_t)(to - head->data);
  return 0;
}

static bool sends_body(const struct http_exchange *exchange, const struct http_response *response) {
  return exchange->message.method != HTTP_HEAD && response->status != HTTP_STATUS_NO_CONTENT &&
         response->status != HTTP_STATUS_NOT_MODIFIED && response->body_length > 0;
}

static void uncount(struct http_exchange *exchange) {
  if (exchange->counted) exchange->listener->stats.exchanges--;
  exchange->counted = false;
}

static int answer(struct http_exchange *exchange, const struct http_response *response,
                  struct err *err) {
  struct http_connection *connection = exchange->connection;
  exchange->closes = http_connection_ends_with(connection, exchange);
  if (format_head(exchange, response) != 0)
    return err_set(err, "out_of_memory", "no memory for the head of an answer");
  const struct buf *head = &exchange->listener->server->head;
  uv_buf_t parts[2] = {uv_buf_init(head->data, (unsigned)head->length),
                       uv_buf_init((char *)response->body, (unsigned)response->body_length)};
  exchange->answered = true;
  uncount(exchange);
  if (http_connection_answer(connection, exchange, parts, sends_body(exchange, response) ? 2 : 1) !=
      0)
    return err_set(err, "gone", "the client has left");
  return 0;
}

int http_exchange_respond(struct http_exchange *exchange, const struct http_response *response,
                          struct err *err) {
  if (exchange->answered) return err_set(err, "answered", "the request has been answered");
  if (check_response(response, err) != 0) return -1;
  if (exchange->gone) {
    exchange->answered = true;
    return err_set(err, "gone", "the client has left");
  }
  return answer(exchange, response, err);
}

static void describe_as_text(const char *reason, struct http_refusal *refusal) {
  static const struct http_header plain = {.name = {"Content-Type", 12},
                                           .value = {"text/plain; charset=utf-8", 25}};
  refusal->headers[0] = plain;
  refusal->header_count = 1;
  refusal->body = reason;
  refusal->body_length = strlen(reason);
}

void http_exchange_refuse(struct http_exchange *exchange, struct http_fault fault) {
  struct http_listener *listener = exchange->listener;
  struct http_refusal refusal = {0};
  listener->stats.refused++;
  exchange->message.keep_alive = false;
  if (listener->handler.on_refuse != NULL)
    listener->handler.on_refuse(listener->handler.context, fault.status, fault.reason, &refusal);
  else
    describe_as_text(fault.reason, &refusal);
  struct http_response response = {.status = fault.status,
                                   .headers = refusal.headers,
                                   .header_count = refusal.header_count,
                                   .body = refusal.body,
                                   .body_length = refusal.body_length};
  /* If this fails the release answers, barely. */
  http_exchange_retain(exchange);
  http_exchange_respond(exchange, &response, NULL);
  http_exchange_release(exchange);
}

struct http_exchange *http_exchange_new(struct http_connection *connection) {
  struct http_listener *listener = connection->listener;
  struct http_server *server = listener->server;
  struct http_exchange *exchange = server->exchange_pool;
  if (exchange != NULL) {
    server->exchange_pool = exchange->next;
    server->exchanges_pooled--;
  } else {
    exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) return NULL;
    http_message_init(&exchange->message, 0);
    buf_init(&exchange->answer, HTTP_RESPONSE_HEAD_MAX + 512 + HTTP_RESPONSE_BODY_MAX);
  }
  exchange->message.body.ceiling = listener->limits.body_bytes;
  exchange->connection = connection;
  exchange->listener = listener;
  exchange->next = NULL;
  exchange->peer = connection->peer;
  exchange->peer_uid = connection->peer_uid;
  exchange->holds = 0;
  exchange->queued = exchange->answered = exchange->gone = false;
  exchange->closes = exchange->counted = false;
  http_listener_retain(listener);
  return exchange;
}

void http_exchange_recycle(struct http_exchange *exchange) {
  struct http_listener *listener = exchange->listener;
  struct http_server *server = listener->server;
  uncount(exchange);
  if (server->exchanges_pooled < HTTP_POOL_MAX) {
    http_message_clear(&exchange->message, HTTP_POOL_BUFFER_KEEP);
    buf_deinit(&exchange->answer);
    exchange->next = server->exchange_pool;
    server->exchange_pool = exchange;
    server->exchanges_pooled++;
  } else {
    http_message_deinit(&exchange->message);
    buf_deinit(&exchange->answer);
    free(exchange);
  }
  http_listener_release(listener);
}

void http_exchange_leave_queue(struct http_exchange *exchange) {
  exchange->queued = false;
  exchange->connection = NULL;
  if (exchange->holds == 0) http_exchange_recycle(exchange);
}

void http_exchange_retain(struct http_exchange *exchange) {
  exchange->holds++;
}

void http_exchange_release(struct http_exchange *exchange) {
  if (exchange->holds > 1) {
    exchange->holds--;
    return;
  }
  if (!exchange->answered && !exchange->gone) {
    struct http_response response = {.status = HTTP_STATUS_INTERNAL_SERVER_ERROR};
    struct http_connection *connection = exchange->connection;
    if (http_exchange_respond(exchange, &response, NULL) != 0 && !exchange->answered)
      http_connection_abort(connection);
  }
  exchange->holds = 0;
  if (!exchange->queued) http_exchange_recycle(exchange);
}

const struct http_message *http_exchange_message(const struct http_exchange *exchange) {
  return &exchange->message;
}

const char *http_exchange_method(const struct http_exchange *exchange) {
  return http_message_method(&exchange->message);
}

struct http_text http_exchange_target(const struct http_exchange *exchange) {
  return http_message_text(&exchange->message, exchange->message.target);
}

struct http_text http_exchange_path(const struct http_exchange *exchange) {
  return http_message_text(&exchange->message, exchange->message.path);
}

struct http_text http_exchange_query(const struct http_exchange *exchange) {
  return http_message_text(&exchange->message, exchange->message.query);
}

struct http_text http_exchange_body(const struct http_exchange *exchange) {
  const struct buf *body = &exchange->message.body;
  return (struct http_text){.data = body->length > 0 ? body->data : "", .length = body->length};
}

void http_exchange_peer(const struct http_exchange *exchange, char *text, size_t size) {
  address_format_socket(&exchange->peer, text, size);
}

int64_t http_exchange_peer_uid(const struct http_exchange *exchange) {
  return exchange->peer_uid;
}

void *http_exchange_context(const struct http_exchange *exchange) {
  return exchange->listener->handler.context;
}

bool http_exchange_is_answered(const struct http_exchange *exchange) {
  return exchange->answered;
}

bool http_exchange_is_gone(const struct http_exchange *exchange) {
  return exchange->gone;
}
