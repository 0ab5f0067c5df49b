#include "base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_CAPACITY 256

void buf_init(struct buf *buf, size_t ceiling) {
  *buf = (struct buf){.ceiling = ceiling};
}

void buf_deinit(struct buf *buf) {
  free(buf->data);
  buf_init(buf, buf->ceiling);
}

void buf_clear(struct buf *buf) {
  buf->length = 0;
}

static bool fits(const struct buf *buf, size_t extra) {
  return extra <= buf->ceiling && buf->length <= buf->ceiling - extra;
}

static int grow(struct buf *buf, size_t needed) {
  if (needed <= buf->capacity) return 0;
  size_t capacity = buf->capacity ? buf->capacity : BUF_FIRST_CAPACITY;
  while (capacity < needed) capacity = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
  if (capacity > buf->ceiling) capacity = needed > buf->ceiling ? needed : buf->ceiling;
  char *data = realloc(buf->data, capacity);
  if (data == NULL) return -1;
  buf->data = data;
  buf->capacity = capacity;
  return 0;
}

int buf_reserve(struct buf *buf, size_t extra) {
  return fits(buf, extra) ? grow(buf, buf->length + extra) : -1;
}

int buf_append(struct buf *buf, const void *bytes, size_t length) {
  if (length == 0) return 0;
  if (buf_reserve(buf, length) != 0) return -1;
  memcpy(buf->data + buf->length, bytes, length);
  buf->length += length;
  return 0;
}

int buf_append_text(struct buf *buf, const char *text) {
  return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0 || !fits(buf, (size_t)length)) return -1;
  /* vsnprintf writes a NUL as well: room for it, though it does not count. */
  if (grow(buf, buf->length + (size_t)length + 1) != 0) return -1;
  va_start(arguments, format);
  vsnprintf(buf->data + buf->length, (size_t)length + 1, format, arguments);
  va_end(arguments);
  buf->length += (size_t)length;
  return 0;
}

void buf_consume(struct buf *buf, size_t length) {
  if (length > buf->length) length = buf->length;
  if (length == 0) return;
  memmove(buf->data, buf->data + length, buf->length - length);
  buf->length -= length;
}
