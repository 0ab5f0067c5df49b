#include "io/http_response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEPT_TEXT 4096
#define KEPT_FIELDS 64
#define FIRST_FIELDS 16

void http_response_init(struct http_response *response) {
  *response = (struct http_response){0};
  buf_init(&response->text, HTTP_RESPONSE_HEAD_MAX);
}

void http_response_deinit(struct http_response *response) {
  buf_deinit(&response->text);
  free(response->fields);
  http_response_init(response);
}

static void forget(struct http_response *response) {
  response->status = 0;
  response->is_complete = response->has_length = false;
  response->length = 0;
  response->coding = CONTENT_IDENTITY;
  response->field_count = 0;
  buf_clear(&response->text);
}

void http_response_clear(struct http_response *response) {
  if (response->text.capacity > KEPT_TEXT || response->field_capacity > KEPT_FIELDS) {
    http_response_deinit(response);
    return;
  }
  forget(response);
  response->bytes = 0;
}

static int malformed(struct err *err, const char *reason) {
  return err_set(err, "malformed_response", "the response is malformed: %s", reason);
}

static int take_status(struct http_response *response, const char *line, size_t length,
                       struct err *err) {
  const char *space = memchr(line, ' ', length);
  forget(response);
  if (space == NULL) return malformed(err, "its first line has no status");
  const char *digits = space + 1;
  if (length - (size_t)(digits - line) < 3) return malformed(err, "its first line has no status");
  int status = 0;
  for (int i = 0; i < 3; i++) {
    if (digits[i] < '0' || digits[i] > '9') return malformed(err, "its first line has no status");
    status = status * 10 + (digits[i] - '0');
  }
  if (status < 100) return malformed(err, "its status is below 100");
  if (status == 101) return malformed(err, "101 (Switching Protocols), which was not asked for");
  response->status = status;
  return 0;
}

static int grow(struct http_response *response) {
  if (response->field_count < response->field_capacity) return 0;
  size_t capacity = response->field_capacity ? response->field_capacity * 2 : FIRST_FIELDS;
  struct http_response_field *fields = realloc(response->fields, capacity * sizeof *fields);
  if (fields == NULL) return -1;
  response->fields = fields;
  response->field_capacity = capacity;
  return 0;
}

static bool is_named(const struct http_pair *pair, const char *name) {
  return pair->name_length == strlen(name) && strncasecmp(pair->name, name, pair->name_length) == 0;
}

static int check_length(struct http_response *response, const struct http_pair *pair,
                        struct err *err) {
  uint64_t length = 0;
  if (response->has_length) return malformed(err, "it has two Content-Length headers");
  if (pair->value_length == 0 || pair->value_length > 18)
    return malformed(err, "its Content-Length is no number");
  for (size_t i = 0; i < pair->value_length; i++) {
    if (pair->value[i] < '0' || pair->value[i] > '9')
      return malformed(err, "its Content-Length is no number");
    length = length * 10 + (uint64_t)(pair->value[i] - '0');
  }
  response->has_length = true;
  response->length = length;
  return 0;
}

/* What decides how the body is read. */
static int check_framing(struct http_response *response, const struct http_pair *pair,
                         struct err *err) {
  if (is_named(pair, "Content-Length")) return check_length(response, pair, err);
  if (is_named(pair, "Transfer-Encoding")) {
    struct http_pair coding = {.name = pair->value, .name_length = pair->value_length};
    if (is_named(&coding, "chunked") || is_named(&coding, "identity")) return 0;
    return malformed(err, "its Transfer-Encoding is not \"chunked\"");
  }
  if (!is_named(pair, "Content-Encoding")) return 0;
  bool is_second = response->coding != CONTENT_IDENTITY;
  response->coding =
      is_second ? CONTENT_UNKNOWN : content_coding_parse(pair->value, pair->value_length);
  return 0;
}

static void trim(const char **text, size_t *length) {
  while (*length > 0 && (**text == ' ' || **text == '\t')) {
    *text += 1;
    *length -= 1;
  }
  while (*length > 0 && ((*text)[*length - 1] == ' ' || (*text)[*length - 1] == '\t')) *length -= 1;
}

static int add(struct http_response *response, const struct http_pair *pair, struct err *err) {
  struct buf *text = &response->text;
  if (response->field_count >= HTTP_RESPONSE_HEADERS_MAX)
    return err_set(err, "too_large", "the response has more than %d headers",
                   HTTP_RESPONSE_HEADERS_MAX);
  if (grow(response) != 0 || buf_reserve(text, pair->name_length + pair->value_length) != 0)
    return err_set(err, "out_of_memory", "the head of the response does not fit into memory");
  struct http_response_field *field = &response->fields[response->field_count++];
  field->name_at = (uint32_t)text->length;
  field->name_length = (uint32_t)pair->name_length;
  field->value_at = (uint32_t)(text->length + pair->name_length);
  field->value_length = (uint32_t)pair->value_length;
  memcpy(text->data + field->name_at, pair->name, pair->name_length);
  memcpy(text->data + field->value_at, pair->value, pair->value_length);
  text->length += pair->name_length + pair->value_length;
  return 0;
}

/* An obsolete folded line goes on with the value before it (RFC 9112, 5.2). */
static int fold(struct http_response *response, const char *line, size_t length, struct err *err) {
  if (response->field_count == 0) return malformed(err, "its first header is a folded line");
  trim(&line, &length);
  if (length == 0) return 0;
  struct http_response_field *field = &response->fields[response->field_count - 1];
  if (buf_reserve(&response->text, length + 1) != 0)
    return err_set(err, "out_of_memory", "the head of the response does not fit into memory");
  response->text.data[response->text.length] = ' ';
  memcpy(response->text.data + response->text.length + 1, line, length);
  response->text.length += length + 1;
  field->value_length += (uint32_t)length + 1;
  return 0;
}

static int take_header(struct http_response *response, const char *line, size_t length,
                       struct err *err) {
  if (line[0] == ' ' || line[0] == '\t') return fold(response, line, length, err);
  const char *colon = memchr(line, ':', length);
  if (colon == NULL) return malformed(err, "it has a header without a colon");
  struct http_pair pair = {line, (size_t)(colon - line), colon + 1,
                           length - (size_t)(colon - line) - 1};
  trim(&pair.name, &pair.name_length);
  trim(&pair.value, &pair.value_length);
  if (pair.name_length == 0) return malformed(err, "it has a header without a name");
  if (check_framing(response, &pair, err) != 0) return -1;
  return add(response, &pair, err);
}

int http_response_take_line(struct http_response *response, const char *line, size_t length,
                            struct err *err) {
  response->bytes += length;
  if (response->bytes > HTTP_RESPONSE_HEAD_MAX)
    return err_set(err, "too_large", "the head of the response is larger than %d bytes",
                   HTTP_RESPONSE_HEAD_MAX);
  /* Trailers are counted, not kept: nothing may rely on what comes after the body. */
  if (response->is_complete) return 0;
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
  if (memchr(line, '\0', length) != NULL) return malformed(err, "its head holds a NUL");
  if (length == 0) {
    response->is_complete = response->status >= 200;
    return 0;
  }
  bool starts_head = response->status < 200; /* none yet, or an interim answer */
  if (starts_head && length >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
    return take_status(response, line, length, err);
  return take_header(response, line, length, err);
}

struct http_pair http_response_header(const struct http_response *response, size_t index) {
  const struct http_response_field *field = &response->fields[index];
  const char *text = response->text.data;
  return (struct http_pair){text + field->name_at, field->name_length, text + field->value_at,
                            field->value_length};
}
