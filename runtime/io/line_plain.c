#include "io/line_plain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

#define READ_BYTES ((size_t)16 * 1024)

struct line_plain {
  int input, output;
  struct line_host host;
  struct buf bytes; /* read, and not given yet */
  bool has_ended;
  bool is_skipping; /* the rest of a line that is too long */
};

struct line_plain *line_plain_new(int input, int output, const struct line_host *host) {
  struct line_plain *plain = calloc(1, sizeof *plain);
  if (plain == NULL) return NULL;
  plain->input = input;
  plain->output = output;
  plain->host = *host;
  buf_init(&plain->bytes, LINE_BYTES_MAX + READ_BYTES + 1);
  return plain;
}

void line_plain_free(struct line_plain *plain) {
  if (plain == NULL) return;
  buf_deinit(&plain->bytes);
  free(plain);
}

/* False: nobody wants the line any more. */
static bool read_more(struct line_plain *plain) {
  enum line_wait wait = plain->host.wait(plain->host.argument, -1);
  if (wait == LINE_WAIT_ABANDON) return false;
  if (wait != LINE_WAIT_INPUT) return true;
  if (buf_reserve(&plain->bytes, READ_BYTES) != 0) return false;
  ssize_t count = read(plain->input, plain->bytes.data + plain->bytes.length, READ_BYTES);
  if (count > 0) plain->bytes.length += (size_t)count;
  plain->has_ended = count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN);
  return true;
}

/* Takes `length` bytes for a line, and the line's end with them when it is there. */
static enum line_event_kind take(struct line_plain *plain, size_t length, char **text,
                                 size_t *text_length) {
  bool is_refused = plain->is_skipping || length > LINE_BYTES_MAX;
  char *copy = is_refused ? NULL : malloc(length + 1);
  if (copy != NULL) {
    memcpy(copy, plain->bytes.data, length);
    copy[length] = '\0';
  }
  bool has_end = length < plain->bytes.length;
  buf_consume(&plain->bytes, length + (has_end ? 1 : 0));
  plain->is_skipping = false;
  if (copy == NULL) return LINE_TOO_LONG;
  *text = copy;
  *text_length = length;
  return LINE_TEXT;
}

enum line_event_kind line_plain_read(struct line_plain *plain, const char *prompt, char **text,
                                     size_t *length) {
  if (isatty(plain->input) && write(plain->output, prompt, strlen(prompt)) < 0) return LINE_END;
  while (true) {
    struct buf *bytes = &plain->bytes;
    const char *end = bytes->length == 0 ? NULL : memchr(bytes->data, '\n', bytes->length);
    if (end != NULL) return take(plain, (size_t)(end - bytes->data), text, length);
    if (plain->has_ended && (bytes->length > 0 || plain->is_skipping))
      return take(plain, bytes->length, text, length);
    if (plain->has_ended) return LINE_END;
    if (bytes->length > LINE_BYTES_MAX) {
      plain->is_skipping = true;
      buf_clear(bytes);
    }
    if (!read_more(plain)) return LINE_NONE;
  }
}
