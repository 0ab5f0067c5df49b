#include "base/buf.h"

#include <stdarg.h>
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

int buf_reserve(struct buf *buf, size_t extra) {
  if (extra > buf->ceiling || buf->length > buf->ceiling - extra) return -1;
  size_t needed = buf->length + extra;
  if (needed <= buf->capacity) return 0;
  size_t capacity = buf->capacity ? buf->capacity : BUF_FIRST_CAPACITY;
  while (capacity < needed) capacity *= 2;
  if (capacity > buf->ceiling) capacity = buf->ceiling;
  char *data = realloc(buf->data, capacity);
  if (data == NULL) return -1;
  buf->data = data;
  buf->capacity = capacity;
  return 0;
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
  /* vsnprintf writes a NUL as well, so room for it is needed but not counted. */
  if (length < 0 || buf_reserve(buf, (size_t)length + 1) != 0) return -1;
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
