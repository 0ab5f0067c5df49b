/* A byte buffer that grows up to a ceiling that its owner names.
 *
 * Past the ceiling (or without memory) an append changes nothing and returns -1; the
 * content so far stays valid. Embedded: buf_init, then buf_deinit. One thread at a time. */
#ifndef TIDEGATE_BASE_BUF_H
#define TIDEGATE_BASE_BUF_H

#include <stddef.h>

struct buf {
  char *data;      /* NULL while nothing was appended; not NUL-terminated */
  size_t length;   /* bytes in use */
  size_t capacity; /* bytes allocated */
  size_t ceiling;  /* most bytes it may ever hold */
};

/* Cannot fail; allocates nothing. */
void buf_init(struct buf *buf, size_t ceiling);
void buf_deinit(struct buf *buf);
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *buf);
/* Makes room for `extra` more bytes. */
int buf_reserve(struct buf *buf, size_t extra) __attribute__((warn_unused_result));
int buf_append(struct buf *buf, const void *bytes, size_t length)
    __attribute__((warn_unused_result));
int buf_append_text(struct buf *buf, const char *text) __attribute__((warn_unused_result));
int buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((warn_unused_result, format(printf, 2, 3)));
/* Drops the first `length` bytes. */
void buf_consume(struct buf *buf, size_t length);

#endif
