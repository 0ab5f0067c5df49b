#include "io/http_parse.h"

#include <string.h>

#define BLANK_LINES_MAX 4         /* in front of a request line; a kindness to old clients */
#define REQUEST_LINE_SPACES 2     /* METHOD SP TARGET SP VERSION */
#define CHUNK_EXTENSION_MAX 4096  /* bytes a message; nobody uses them */
#define BODY_FIRST_RESERVE 65536u /* a longer Content-Length is only a promise */

static int fail(struct http_parse *parse, int status, const char *reason) {
  parse->fault = (struct http_fault){.status = status, .reason = reason};
  return HPE_USER;
}

static const char *reason_of(int status) {
  if (status == HTTP_STATUS_URI_TOO_LONG) return "the request target is longer than 8192 bytes";
  if (status == HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE)
    return "the headers are more than 100 lines or 32768 bytes";
  if (status == HTTP_STATUS_PAYLOAD_TOO_LARGE) return "the body is larger than allowed";
  return "out of memory";
}

static int check(struct http_parse *parse, int status) {
  return status == 0 ? 0 : fail(parse, status, reason_of(status));
}

static int on_url(llhttp_t *machine, const char *bytes, size_t length) {
  struct http_parse *parse = machine->data;
  struct http_message *message = parse->message;
  if (message->target.length + length > HTTP_TARGET_MAX)
    return check(parse, HTTP_STATUS_URI_TOO_LONG);
  if (buf_append(&message->head, bytes, length) != 0)
    return check(parse, HTTP_STATUS_SERVICE_UNAVAILABLE);
  message->target.length += (uint32_t)length;
  return 0;
}

static int on_header_field(llhttp_t *machine, const char *bytes, size_t length) {
  struct http_parse *parse = machine->data;
  /* Trailers are received and forgotten: nobody asked for them. */
  if (parse->phase != HTTP_PARSE_HEAD) return 0;
  int status = parse->in_name ? 0 : http_message_add_field(parse->message);
  if (status == 0) status = http_message_append_name(parse->message, bytes, length);
  parse->in_name = true;
  return check(parse, status);
}

static int on_header_value(llhttp_t *machine, const char *bytes, size_t length) {
  struct http_parse *parse = machine->data;
  parse->in_name = false;
  if (parse->phase != HTTP_PARSE_HEAD || length == 0) return 0;
  if (parse->message->field_count == 0)
    return fail(parse, HTTP_STATUS_BAD_REQUEST, "a header has no name");
  return check(parse, http_message_append_value(parse->message, bytes, length));
}

static int on_header_field_complete(llhttp_t *machine) {
  struct http_parse *parse = machine->data;
  parse->in_name = false;
  return 0;
}

static int on_headers_complete(llhttp_t *machine) {
  struct http_parse *parse = machine->data;
  struct http_message *message = parse->message;
  if (machine->http_major != 1 || machine->http_minor > 1)
    return fail(parse, HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.0 and 1.1 are spoken");
  message->method = machine->method;
  message->version_minor = machine->http_minor;
  message->keep_alive = llhttp_should_keep_alive(machine) != 0;
  /* An offer to change the protocol is not taken; the request is one like any other. */
  machine->upgrade = 0;
  machine->flags &= (uint16_t) ~(F_UPGRADE | F_CONNECTION_UPGRADE);

  bool chunked = (machine->flags & F_CHUNKED) != 0;
  uint64_t length = (machine->flags & F_CONTENT_LENGTH) != 0 ? machine->content_length : 0;
  struct http_fault fault = http_message_check_head(message, chunked, length);
  if (fault.status != 0) return fail(parse, fault.status, fault.reason);
  size_t expected = length < BODY_FIRST_RESERVE ? (size_t)length : BODY_FIRST_RESERVE;
  if (expected > 0 && buf_reserve(&message->body, expected) != 0)
    return check(parse, HTTP_STATUS_SERVICE_UNAVAILABLE);

  parse->phase = HTTP_PARSE_BODY;
  parse->waits_for_continue = message->expects_continue;
  return parse->waits_for_continue ? HPE_PAUSED : 0;
}

static int on_body(llhttp_t *machine, const char *bytes, size_t length) {
  struct http_parse *parse = machine->data;
  struct buf *body = &parse->message->body;
  if (length > body->ceiling - body->length) return check(parse, HTTP_STATUS_PAYLOAD_TOO_LARGE);
  if (buf_append(body, bytes, length) != 0) return check(parse, HTTP_STATUS_SERVICE_UNAVAILABLE);
  return 0;
}

static int on_chunk_extension(llhttp_t *machine, const char *bytes, size_t length) {
  struct http_parse *parse = machine->data;
  (void)bytes;
  parse->extension_bytes += length;
  if (parse->extension_bytes > CHUNK_EXTENSION_MAX)
    return fail(parse, HTTP_STATUS_BAD_REQUEST, "the chunk extensions are too long");
  return 0;
}

static int on_chunk_header(llhttp_t *machine) {
  struct http_parse *parse = machine->data;
  const struct buf *body = &parse->message->body;
  if (machine->content_length > body->ceiling - body->length)
    return check(parse, HTTP_STATUS_PAYLOAD_TOO_LARGE);
  if (machine->content_length > 0) return 0;
  /* Stops here, so that the trailers are looked at line by line as the head is. */
  parse->last_chunk = true;
  return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *machine) {
  struct http_parse *parse = machine->data;
  parse->complete = true;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_message_complete,
};

void http_parse_init(struct http_parse *parse) {
  *parse = (struct http_parse){0};
}

static void begin_block(struct http_parse *parse, enum http_parse_phase phase) {
  parse->phase = phase;
  parse->first_line = phase == HTTP_PARSE_HEAD;
  parse->block_bytes = 0;
  parse->line_bytes = 0;
  parse->after_return = false;
}

void http_parse_begin(struct http_parse *parse, struct http_message *message) {
  llhttp_init(&parse->machine, HTTP_REQUEST, &settings);
  parse->machine.data = parse;
  parse->message = message;
  parse->fault = (struct http_fault){0};
  parse->extension_bytes = 0;
  parse->blank_lines = parse->spaces = 0;
  parse->in_name = parse->complete = parse->last_chunk = parse->waits_for_continue = false;
  begin_block(parse, HTTP_PARSE_HEAD);
}

bool http_parse_has_begun(const struct http_parse *parse) {
  return parse->phase != HTTP_PARSE_HEAD || !parse->first_line || parse->line_bytes > 0;
}

/* Ends a line at its LF. 1: it was the empty one that ends the block; -1: fault. */
static int end_line(struct http_parse *parse) {
  bool empty = parse->line_bytes == 1; /* only the CR */
  parse->line_bytes = 0;
  if (!parse->first_line) return empty;
  if (!empty) {
    parse->first_line = false;
    return 0;
  }
  if (++parse->blank_lines <= BLANK_LINES_MAX) return 0;
  fail(parse, HTTP_STATUS_BAD_REQUEST, "there are empty lines in front of the request line");
  return -1;
}

/* llhttp takes any number of spaces between the parts of a request line. */
static bool has_extra_space(struct http_parse *parse, const char *bytes, size_t length) {
  const char *end = bytes + length;
  for (const char *at = bytes; at < end && parse->spaces <= REQUEST_LINE_SPACES; at++) {
    at = memchr(at, ' ', (size_t)(end - at));
    if (at == NULL) return false;
    parse->spaces++;
  }
  return parse->spaces > REQUEST_LINE_SPACES;
}

/* Looks at `length` > 0 bytes of a line; static text: what is wrong with them. */
static const char *fault_in_line(struct http_parse *parse, const char *bytes, size_t length) {
  if (parse->first_line)
    return has_extra_space(parse, bytes, length) ? "the request line has too many spaces" : NULL;
  if (parse->line_bytes > 0) return NULL;
  if (bytes[0] == ' ' || bytes[0] == '\t') return "a header line begins with white space";
  return bytes[0] == ':' ? "a header has no name" : NULL;
}

/* Takes `length` bytes of a line; `ends`: its LF follows. */
static int scan_line(struct http_parse *parse, const char *bytes, size_t length, bool ends) {
  if (length > 0) {
    const char *wrong = fault_in_line(parse, bytes, length);
    if (wrong != NULL) return fail(parse, HTTP_STATUS_BAD_REQUEST, wrong);
    parse->after_return = bytes[length - 1] == '\r';
  }
  parse->line_bytes += length;
  if (ends && (parse->line_bytes == 0 || !parse->after_return))
    return fail(parse, HTTP_STATUS_BAD_REQUEST, "a line ends in LF without CR");
  if (!parse->first_line) parse->block_bytes += length + ends;
  if (parse->block_bytes > HTTP_HEAD_MAX)
    return check(parse, HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
  return 0;
}

/* How many bytes belong to the head or the trailers; sets `fault` where llhttp would not. */
static size_t scan_block(struct http_parse *parse, const char *bytes, size_t length) {
  size_t at = 0;
  while (at < length) {
    const char *feed = memchr(bytes + at, '\n', length - at);
    size_t line = feed == NULL ? length - at : (size_t)(feed - bytes) - at;
    if (scan_line(parse, bytes + at, line, feed != NULL) != 0) break;
    at += line + (feed != NULL);
    if (feed != NULL && end_line(parse) != 0) break;
  }
  return at;
}

static void set_fault(struct http_parse *parse, llhttp_errno_t error) {
  if (parse->fault.status != 0) return;
  if (error == HPE_INVALID_VERSION || error == HPE_PAUSED_H2_UPGRADE) {
    fail(parse, HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.0 and 1.1 are spoken");
    return;
  }
  const char *reason = llhttp_get_error_reason(&parse->machine);
  fail(parse, HTTP_STATUS_BAD_REQUEST, reason != NULL ? reason : "the request is malformed");
}

/* Gives llhttp the bytes. Returns how many it used; sets `fault` if it refused. */
static size_t execute(struct http_parse *parse, const char *bytes, size_t length) {
  llhttp_errno_t error = llhttp_execute(&parse->machine, bytes, length);
  if (error == HPE_OK) return length;
  if (error != HPE_PAUSED) {
    set_fault(parse, error);
    return 0;
  }
  const char *stop = llhttp_get_error_pos(&parse->machine);
  llhttp_resume(&parse->machine);
  return (size_t)(stop - bytes);
}

enum http_parse_event http_parse_feed(struct http_parse *parse, const char *bytes, size_t length,
                                      size_t *used) {
  *used = 0;
  while (*used < length && parse->fault.status == 0) {
    const char *at = bytes + *used;
    size_t count = length - *used;
    if (parse->phase != HTTP_PARSE_BODY) count = scan_block(parse, at, count);
    if (parse->fault.status != 0) break;
    *used += execute(parse, at, count);
    if (parse->fault.status != 0) break;
    if (parse->complete) return HTTP_PARSE_DONE;
    if (parse->last_chunk) {
      parse->last_chunk = false;
      begin_block(parse, HTTP_PARSE_TRAILERS);
    }
    if (parse->waits_for_continue) {
      parse->waits_for_continue = false;
      return HTTP_PARSE_CONTINUE;
    }
  }
  return parse->fault.status != 0 ? HTTP_PARSE_FAULT : HTTP_PARSE_MORE;
}
