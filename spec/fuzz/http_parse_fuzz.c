/* Any bytes, in pieces whose sizes the input chooses: what the parser makes of them must not
 * depend on the pieces, and no limit may be passed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/http_parse.h"

#define BODY_MAX 1000

struct outcome {
  enum http_parse_event event;
  int status;
  size_t used;
  uint64_t digest;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t digest, struct http_text text) {
  for (size_t i = 0; i < text.length; i++)
    digest = (digest ^ (unsigned char)text.data[i]) * 1099511628211u;
  return digest * 31 + text.length;
}

static uint64_t digest_of(const struct http_message *message) {
  uint64_t digest = mix(message->method, http_message_text(message, message->target));
  digest = mix(digest, http_message_text(message, message->path));
  digest = mix(digest, http_message_text(message, message->query));
  for (size_t i = 0; i < message->field_count; i++) {
    struct http_header header = http_message_header(message, i);
    digest = mix(mix(digest, header.name), header.value);
  }
  struct http_text body = {.data = message->body.data, .length = message->body.length};
  return mix(digest, body);
}

static void check_limits(const struct http_message *message) {
  if (message->body.length > BODY_MAX || message->field_count > HTTP_HEADERS_MAX) abort();
  if (message->target.length > HTTP_TARGET_MAX || message->path.length == 0) abort();
  for (size_t i = 0; i < message->field_count; i++) {
    struct http_header header = http_message_header(message, i);
    if (header.name.length == 0) abort();
    if (memchr(header.value.data, '\n', header.value.length) != NULL) abort();
    if (memchr(header.value.data, '\0', header.value.length) != NULL) abort();
  }
}

static struct outcome run(const uint8_t *data, size_t size, size_t step) {
  struct http_message message;
  struct http_parse parse;
  struct outcome outcome = {.event = HTTP_PARSE_MORE};
  http_message_init(&message, BODY_MAX);
  http_parse_init(&parse);
  http_parse_begin(&parse, &message);
  while (outcome.used < size && outcome.event != HTTP_PARSE_FAULT) {
    size_t used = 0, count = size - outcome.used < step ? size - outcome.used : step;
    char *piece = malloc(count);
    if (piece == NULL) abort();
    memcpy(piece, data + outcome.used, count);
    outcome.event = http_parse_feed(&parse, piece, count, &used);
    free(piece);
    if (used > count) abort();
    outcome.used += used;
    if (outcome.event != HTTP_PARSE_DONE) continue;
    check_limits(&message);
    outcome.digest = outcome.digest * 31 + digest_of(&message);
    http_message_clear(&message, 0);
    http_parse_begin(&parse, &message);
  }
  outcome.status = parse.fault.status;
  http_message_deinit(&message);
  return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  struct outcome whole = run(data + 1, size - 1, SIZE_MAX);
  struct outcome pieces = run(data + 1, size - 1, 1 + data[0] % 16);
  bool refused = whole.event == HTTP_PARSE_FAULT;
  if (refused != (pieces.event == HTTP_PARSE_FAULT)) abort();
  if (whole.digest != pieces.digest) abort();
  if (!refused && whole.used != pieces.used) abort();
  return 0;
}
