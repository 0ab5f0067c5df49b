/* What a connection sends, in order: written at once as far as the kernel takes it, kept and
 * written later as far as it does not.
 *
 * Embedded in its connection; all of it on the loop's thread. */
#ifndef TIDEGATE_IO_HTTP_OUTPUT_H
#define TIDEGATE_IO_HTTP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/buf.h"

struct http_output;

/* What was kept has been written, or (status below 0) will never be. */
typedef void (*http_output_fn)(struct http_output *output, int status);

struct http_output {
  uv_stream_t *stream; /* the connection's */
  http_output_fn on_written;
  struct buf writing; /* under uv_write */
  struct buf waiting; /* to be written after it */
  uv_write_t write;
  bool is_writing; /* uv_write has not called back */
};

/* Cannot fail; allocates nothing. */
void http_output_init(struct http_output *output, uv_stream_t *stream, http_output_fn on_written);
/* After the close callback of the stream. */
void http_output_deinit(struct http_output *output);

/* Sends copies of the parts, one after the other, or keeps them; one system call as a rule.
 * -1: the connection is lost, or memory ran out. */
int http_output_send(struct http_output *output, const uv_buf_t *parts, unsigned count);
/* Bytes that are on their way, those that the kernel holds included: it takes megabytes at a
 * time, with long pauses in between. */
size_t http_output_left(const struct http_output *output);

/* Appends the parts; -1 when they do not fit. */
int http_output_copy(struct buf *to, const uv_buf_t *parts, unsigned count);

#endif
