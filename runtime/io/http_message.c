#include "io/http_message.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/http_parse.h"

#define FIELDS_FIRST_CAPACITY 16
/* Target, its decoded copy, and the header block. */
#define HEAD_CEILING (2 * HTTP_TARGET_MAX + HTTP_HEAD_MAX)

#define FAULT_NONE ((struct http_fault){0})
#define FAULT(code, text) ((struct http_fault){.status = (code), .reason = (text)})

void http_message_init(struct http_message *message, size_t body_max) {
  *message = (struct http_message){.method = HTTP_METHOD_UNKNOWN};
  buf_init(&message->head, HEAD_CEILING);
  buf_init(&message->body, body_max);
}

void http_message_deinit(struct http_message *message) {
  size_t body_max = message->body.ceiling;
  free(message->fields);
  buf_deinit(&message->head);
  buf_deinit(&message->body);
  http_message_init(message, body_max);
}

static void forget(struct buf *buf, size_t keep) {
  if (buf->capacity > keep) buf_deinit(buf);
  buf_clear(buf);
}

void http_message_clear(struct http_message *message, size_t keep) {
  forget(&message->head, keep);
  forget(&message->body, keep);
  struct http_message fresh = {
      .head = message->head,
      .body = message->body,
      .fields = message->fields,
      .field_capacity = message->field_capacity,
      .method = HTTP_METHOD_UNKNOWN,
  };
  *message = fresh;
}

int http_message_add_field(struct http_message *message) {
  if (message->field_count == HTTP_HEADERS_MAX) return HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE;
  if (message->field_count == message->field_capacity) {
    size_t capacity =
        message->field_capacity ? message->field_capacity * 2u : FIELDS_FIRST_CAPACITY;
    struct http_field *fields = realloc(message->fields, capacity * sizeof *fields);
    if (fields == NULL) return HTTP_STATUS_SERVICE_UNAVAILABLE;
    message->fields = fields;
    message->field_capacity = (uint8_t)capacity;
  }
  uint32_t at = (uint32_t)message->head.length;
  message->fields[message->field_count++] = (struct http_field){.name = {.at = at}};
  return 0;
}

static int append(struct http_message *message, struct http_span *span, const char *bytes,
                  size_t length) {
  struct buf *head = &message->head;
  if (span->length == 0) span->at = (uint32_t)head->length;
  span->length += (uint32_t)length;
  /* Twice a header, so the usual case is spared the calls. */
  if (length > 0 && length <= head->capacity - head->length) {
    memcpy(head->data + head->length, bytes, length);
    head->length += length;
    return 0;
  }
  if (buf_append(head, bytes, length) == 0) return 0;
  span->length -= (uint32_t)length;
  return head->length + length > head->ceiling ? HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE
                                               : HTTP_STATUS_SERVICE_UNAVAILABLE;
}

/* Sets bit 5 of the bytes from 'A' to 'Z', eight at a time: bit 7 of a sum says whether a byte
 * is at least 'A', or above 'Z'. */
static uint64_t lower_word(uint64_t word) {
  const uint64_t each = UINT64_C(0x0101010101010101);
  uint64_t low = word & (0x7f * each);
  uint64_t from_a = low + (0x80 - 'A') * each;
  uint64_t above_z = low + (0x7f - 'Z') * each;
  return word | ((from_a & ~above_z & ~word & (0x80 * each)) >> 2);
}

static void lower_at(char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  word = lower_word(word);
  memcpy(at, &word, sizeof word);
}

static void lower(char *text, size_t length) {
  if (length >= sizeof(uint64_t)) {
    for (size_t at = 0; at < length - sizeof(uint64_t); at += sizeof(uint64_t)) lower_at(text + at);
    lower_at(text + length - sizeof(uint64_t));
    return;
  }
  for (size_t at = 0; at < length; at++)
    if (text[at] >= 'A' && text[at] <= 'Z') text[at] = (char)(text[at] | 0x20);
}

int http_message_append_name(struct http_message *message, const char *bytes, size_t length) {
  size_t start = message->head.length;
  int status = append(message, &message->fields[message->field_count - 1].name, bytes, length);
  if (status == 0) lower(message->head.data + start, length);
  return status;
}

int http_message_append_value(struct http_message *message, const char *bytes, size_t length) {
  return append(message, &message->fields[message->field_count - 1].value, bytes, length);
}

struct http_text http_message_text(const struct http_message *message, struct http_span span) {
  if (span.length == 0) return (struct http_text){.data = ""};
  return (struct http_text){.data = message->head.data + span.at, .length = span.length};
}

struct http_header http_message_header(const struct http_message *message, size_t index) {
  const struct http_field *field = &message->fields[index];
  return (struct http_header){.name = http_message_text(message, field->name),
                              .value = http_message_text(message, field->value)};
}

int http_message_find(const struct http_message *message, const char *name, size_t from) {
  size_t length = strlen(name);
  for (size_t i = from; i < message->field_count; i++) {
    struct http_span span = message->fields[i].name;
    if (span.length == length && memcmp(message->head.data + span.at, name, length) == 0)
      return (int)i;
  }
  return -1;
}

const char *http_message_method(const struct http_message *message) {
  if (message->method == HTTP_METHOD_UNKNOWN) return "?";
  return llhttp_method_name((llhttp_method_t)message->method);
}

/* llhttp drops the white space in front of a value only. */
static void trim_values(struct http_message *message) {
  for (size_t i = 0; i < message->field_count; i++) {
    struct http_span *value = &message->fields[i].value;
    const char *text = message->head.data + value->at;
    while (value->length > 0 && (text[value->length - 1] == ' ' || text[value->length - 1] == '\t'))
      value->length--;
  }
}

/* What RFC 3986 lets stand in the name of a host: unreserved, or the rest of it. */
enum host_byte { NOT_IN_HOST, UNRESERVED, OTHER_IN_HOST };

static const uint8_t host_bytes[256] = {
    ['a' ... 'z'] = UNRESERVED, ['A' ... 'Z'] = UNRESERVED, ['0' ... '9'] = UNRESERVED,
    ['-'] = UNRESERVED,         ['.'] = UNRESERVED,         ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,         ['!'] = OTHER_IN_HOST,      ['$'] = OTHER_IN_HOST,
    ['&'] = OTHER_IN_HOST,      ['\''] = OTHER_IN_HOST,     ['('] = OTHER_IN_HOST,
    [')'] = OTHER_IN_HOST,      ['*'] = OTHER_IN_HOST,      ['+'] = OTHER_IN_HOST,
    [','] = OTHER_IN_HOST,      [';'] = OTHER_IN_HOST,      ['='] = OTHER_IN_HOST,
    ['%'] = OTHER_IN_HOST,
};

static bool is_unreserved(unsigned char byte) {
  return host_bytes[byte] == UNRESERVED;
}

static bool is_host_byte(unsigned char byte) {
  return host_bytes[byte] != NOT_IN_HOST;
}

static bool is_host(struct http_text host) {
  const char *at = host.data, *end = host.data + host.length;
  if (at < end && *at == '[') {
    for (at++; at < end && *at != ']'; at++)
      if (!isxdigit((unsigned char)*at) && *at != ':' && *at != '.') return false;
    if (at++ == end) return false;
  } else {
    while (at < end && is_host_byte((unsigned char)*at)) at++;
  }
  if (at == end) return true;
  if (*at++ != ':') return false;
  for (; at < end; at++)
    if (!isdigit((unsigned char)*at)) return false;
  return true;
}

static struct http_fault check_host(const struct http_message *message) {
  int at = http_message_find(message, "host", 0);
  if (at < 0) {
    if (message->version_minor == 0) return FAULT_NONE;
    return FAULT(HTTP_STATUS_BAD_REQUEST, "the Host header is missing");
  }
  if (http_message_find(message, "host", (size_t)at + 1) >= 0)
    return FAULT(HTTP_STATUS_BAD_REQUEST, "there is more than one Host header");
  if (!is_host(http_message_header(message, (size_t)at).value))
    return FAULT(HTTP_STATUS_BAD_REQUEST, "the Host header is not a host name and port");
  return FAULT_NONE;
}

static bool equals(struct http_text text, const char *word) {
  return text.length == strlen(word) && strncasecmp(text.data, word, text.length) == 0;
}

static struct http_fault check_coding(const struct http_message *message, bool chunked) {
  int at = http_message_find(message, "transfer-encoding", 0);
  if (at < 0) return FAULT_NONE;
  if (http_message_find(message, "content-length", 0) >= 0)
    return FAULT(HTTP_STATUS_BAD_REQUEST, "there are both Content-Length and Transfer-Encoding");
  if (message->version_minor == 0)
    return FAULT(HTTP_STATUS_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
  if (http_message_find(message, "transfer-encoding", (size_t)at + 1) >= 0)
    return FAULT(HTTP_STATUS_BAD_REQUEST, "there is more than one Transfer-Encoding header");
  if (!chunked || !equals(http_message_header(message, (size_t)at).value, "chunked"))
    return FAULT(HTTP_STATUS_NOT_IMPLEMENTED, "no transfer coding but chunked is supported");
  return FAULT_NONE;
}

static struct http_fault check_expect(struct http_message *message, bool has_body) {
  int at = http_message_find(message, "expect", 0);
  if (at < 0 || message->version_minor == 0) return FAULT_NONE;
  if (!equals(http_message_header(message, (size_t)at).value, "100-continue") ||
      http_message_find(message, "expect", (size_t)at + 1) >= 0)
    return FAULT(HTTP_STATUS_EXPECTATION_FAILED, "no expectation but 100-continue is supported");
  message->expects_continue = has_body;
  return FAULT_NONE;
}

static int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') return (digit | 0x20) - 'a' + 10;
  return -1;
}

/* The byte that "%41" stands for when it need not have been escaped; -1 otherwise. */
static int unescaped(const char *at, size_t left) {
  if (left < 3 || at[0] != '%') return -1;
  int high = hex_value(at[1]), low = hex_value(at[2]);
  if (high < 0 || low < 0) return -1;
  int byte = high * 16 + low;
  return is_unreserved((unsigned char)byte) ? byte : -1;
}

/* Decodes what need not be escaped into a copy behind the headers, so that "/%61" is "/a". */
static struct http_fault decode_path(struct http_message *message) {
  struct http_span span = message->path;
  if (memchr(message->head.data + span.at, '%', span.length) == NULL) return FAULT_NONE;
  if (buf_reserve(&message->head, span.length) != 0)
    return FAULT(HTTP_STATUS_SERVICE_UNAVAILABLE, "out of memory");
  const char *from = message->head.data + span.at;
  char *to = message->head.data + message->head.length;
  uint32_t length = 0;
  for (size_t i = 0; i < span.length; length++) {
    int byte = unescaped(from + i, span.length - i);
    to[length] = byte < 0 ? from[i] : (char)byte;
    i += byte < 0 ? 1 : 3;
  }
  message->path = (struct http_span){.at = (uint32_t)message->head.length, .length = length};
  message->head.length += length;
  return FAULT_NONE;
}

/* Where the path of an absolute-form target begins; 0: it is none. */
static uint32_t authority_end(struct http_text target) {
  uint32_t at = 0;
  if (target.length > 7 && strncasecmp(target.data, "http://", 7) == 0) at = 7;
  if (target.length > 8 && strncasecmp(target.data, "https://", 8) == 0) at = 8;
  if (at == 0) return 0;
  uint32_t start = at;
  while (at < target.length && target.data[at] != '/' && target.data[at] != '?') at++;
  struct http_text host = {.data = target.data + start, .length = at - start};
  return is_host(host) && host.length > 0 ? at : 0;
}

static bool has_bad_byte(struct http_text target) {
  for (size_t i = 0; i < target.length; i++)
    if (target.data[i] <= ' ' || target.data[i] > '~' || target.data[i] == '#') return true;
  return false;
}

static struct http_fault find_path(struct http_message *message) {
  struct http_text target = http_message_text(message, message->target);
  uint32_t start = 0;
  if (has_bad_byte(target))
    return FAULT(HTTP_STATUS_BAD_REQUEST, "the request target has a character not allowed in it");
  if (target.length == 1 && target.data[0] == '*' && message->method == HTTP_OPTIONS) {
    message->path = message->target;
    return FAULT_NONE;
  }
  if (target.length == 0 || target.data[0] != '/') start = authority_end(target);
  if (start == 0 && (target.length == 0 || target.data[0] != '/'))
    return FAULT(HTTP_STATUS_BAD_REQUEST, "the request target is neither a path nor a URL");

  const char *mark = memchr(target.data + start, '?', target.length - start);
  uint32_t end = mark == NULL ? (uint32_t)target.length : (uint32_t)(mark - target.data);
  message->path = (struct http_span){.at = message->target.at + start, .length = end - start};
  if (mark != NULL) {
    message->has_query = true;
    message->query = (struct http_span){.at = message->target.at + end + 1,
                                        .length = (uint32_t)target.length - end - 1};
  }
  if (end > start) return FAULT_NONE;
  message->path = (struct http_span){.at = (uint32_t)message->head.length, .length = 1};
  if (buf_append(&message->head, "/", 1) != 0)
    return FAULT(HTTP_STATUS_SERVICE_UNAVAILABLE, "out of memory");
  return FAULT_NONE;
}

struct http_fault http_message_check_head(struct http_message *message, bool chunked,
                                          uint64_t length) {
  trim_values(message);
  if (message->method == HTTP_CONNECT)
    return FAULT(HTTP_STATUS_NOT_IMPLEMENTED, "CONNECT is not supported");
  struct http_fault fault = check_host(message);
  if (fault.status == 0) fault = check_coding(message, chunked);
  if (fault.status == 0) fault = find_path(message);
  if (fault.status == 0) fault = decode_path(message);
  if (fault.status == 0) fault = check_expect(message, chunked || length > 0);
  if (fault.status == 0 && length > message->body.ceiling)
    fault = FAULT(HTTP_STATUS_PAYLOAD_TOO_LARGE, "the body is larger than allowed");
  return fault;
}
