/* What a connection sends, in order: written at once as far as the kernel takes it, kept and
 * written later as far as it does not. With TLS it is sealed first, and no more of it at a time
 * than is soon written.
 *
 * Embedded in its connection; all of it on the loop's thread. */
#ifndef TIDEGATE_IO_HTTP_OUTPUT_H
#define TIDEGATE_IO_HTTP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/buf.h"

#define HTTP_SEAL_BYTES (64u * 1024) /* sealed at a time, before the kernel takes it */

struct http_output;
struct tls_session;

/* What was kept has been written, or (status below 0) will never be. */
typedef void (*http_output_fn)(struct http_output *output, int status);

struct http_output {
  uv_stream_t *stream;     /* the connection's */
  struct tls_session *tls; /* NULL: plain; not owned */
  http_output_fn on_written;
  struct buf writing; /* under uv_write */
  struct buf records; /* of TLS, to be written after it */
  struct buf waiting; /* to be written, or sealed, after those */
  size_t sealed;      /* bytes of `waiting` that are sealed already */
  uv_write_t write;
  bool is_writing; /* uv_write has not called back */
};

/* Cannot fail; allocates nothing. `tls` (NULL: plain) outlives it. */
void http_output_init(struct http_output *output, uv_stream_t *stream, struct tls_session *tls,
                      http_output_fn on_written);
/* After the close callback of the stream. */
void http_output_deinit(struct http_output *output);

/* Sends copies of the parts, one after the other, or keeps them; one system call as a rule.
 * -1: the connection is lost, or memory ran out. */
int http_output_send(struct http_output *output, const uv_buf_t *parts, unsigned count);
/* Sends what TLS itself has put into `records`. -1 as above. */
int http_output_flush(struct http_output *output);
/* Nothing is sent any more: tells the other side so, if TLS has a way to say it. -1 as above. */
int http_output_end(struct http_output *output);
/* Bytes that are on their way, those that the kernel holds included: it takes megabytes at a
 * time, with long pauses in between. */
size_t http_output_left(const struct http_output *output);

/* Appends the parts; -1 when they do not fit. */
int http_output_copy(struct buf *to, const uv_buf_t *parts, unsigned count);

#endif
