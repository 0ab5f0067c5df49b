#include "io/http_output.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "io/http_server.h"
#include "io/tls_session.h"

#define SMALL_BYTES 4096 /* written in one piece */
#define OUTPUT_MAX \
  ((size_t)HTTP_PIPELINE_MAX * (HTTP_RESPONSE_HEAD_MAX + 512 + (size_t)HTTP_RESPONSE_BODY_MAX))

/* Two pieces with what TLS puts around them, and what it says itself meanwhile. */
#define RECORDS_MAX (3 * (size_t)HTTP_SEAL_BYTES)

void http_output_init(struct http_output *output, uv_stream_t *stream, struct tls_session *tls,
                      http_output_fn on_written) {
  output->stream = stream;
  output->tls = tls;
  output->sealed = 0;
  output->on_written = on_written;
  output->is_writing = false;
  buf_init(&output->writing, OUTPUT_MAX);
  buf_init(&output->records, RECORDS_MAX);
  buf_init(&output->waiting, OUTPUT_MAX);
}

void http_output_deinit(struct http_output *output) {
  buf_deinit(&output->writing);
  buf_deinit(&output->records);
  buf_deinit(&output->waiting);
}

size_t http_output_left(const struct http_output *output) {
  uv_os_fd_t descriptor;
  int in_kernel = 0;
  if (uv_fileno((const uv_handle_t *)output->stream, &descriptor) != 0 ||
      ioctl(descriptor, TIOCOUTQ, &in_kernel) != 0)
    in_kernel = 0;
  return uv_stream_get_write_queue_size(output->stream) + (size_t)in_kernel;
}

static int append_parts(struct buf *to, const uv_buf_t *parts, unsigned count, size_t skip) {
  for (unsigned i = 0; i < count; i++) {
    size_t skipped = skip < parts[i].len ? skip : parts[i].len;
    skip -= skipped;
    if (buf_append(to, parts[i].base + skipped, parts[i].len - skipped) != 0) return -1;
  }
  return 0;
}

int http_output_copy(struct buf *to, const uv_buf_t *parts, unsigned count) {
  return append_parts(to, parts, count, 0);
}

static void on_written(uv_write_t *request, int status);

static int write_rest(struct http_output *output) {
  struct buf *rest = &output->writing;
  output->write.data = output;
  /* In pieces, as a length of uv is 32 bits wide. */
  size_t length = rest->length < INT32_MAX ? rest->length : INT32_MAX;
  uv_buf_t part = uv_buf_init(rest->data, (unsigned)length);
  if (uv_write(&output->write, output->stream, &part, 1, on_written) != 0) return -1;
  output->is_writing = true;
  return 0;
}

/* `writing` is empty: what `from` holds is next. */
static void move_to_writing(struct http_output *output, struct buf *from) {
  size_t ceiling = from->ceiling;
  buf_deinit(&output->writing);
  output->writing = *from;
  output->writing.ceiling = OUTPUT_MAX;
  buf_init(from, ceiling);
}

static int write_next(struct http_output *output) {
  struct buf *rest = &output->writing;
  buf_consume(rest, rest->length < INT32_MAX ? rest->length : INT32_MAX);
  if (rest->length == 0)
    move_to_writing(output, output->tls != NULL ? &output->records : &output->waiting);
  if (rest->length > 0) return write_rest(output);
  return http_output_flush(output);
}

static void on_written(uv_write_t *request, int status) {
  struct http_output *output = request->data;
  output->is_writing = false;
  if (status == 0 && write_next(output) != 0) status = UV_ENOMEM;
  output->on_written(output, status);
}

/* A small answer is written from one buffer: a gathering write costs the kernel more than the
 * copy costs us. */
static unsigned join_parts(const uv_buf_t *parts, unsigned count, uv_buf_t *joined) {
  size_t length = 0;
  for (unsigned i = 0; i < count; i++) {
    if (length + parts[i].len > joined->len) return 0;
    memcpy(joined->base + length, parts[i].base, parts[i].len);
    length += parts[i].len;
  }
  joined->len = length;
  return 1;
}

/* Past libuv, whose write() goes through the checks of files: send() does not. Only while uv_write
 * has nothing under way. */
static int try_send(struct http_output *output, const uv_buf_t *part) {
  uv_os_fd_t descriptor;
  if (uv_fileno((const uv_handle_t *)output->stream, &descriptor) != 0) return UV_EBADF;
  ssize_t sent;
  do {
    sent = send(descriptor, part->base, part->len, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return (int)sent;
  return errno == EWOULDBLOCK || errno == ENOBUFS ? UV_EAGAIN : uv_translate_sys_error(errno);
}

static int try_write(struct http_output *output, const uv_buf_t *parts, unsigned count) {
  char small[SMALL_BYTES];
  uv_buf_t joined = uv_buf_init(small, sizeof small);
  if (join_parts(parts, count, &joined) == 1) return try_send(output, &joined);
  return uv_try_write(output->stream, parts, count);
}

/* --- TLS ------------------------------------------------------------------------------ */

/* Seals the next of what waits. */
static int seal_next(struct http_output *output) {
  struct buf *waiting = &output->waiting;
  size_t length = waiting->length - output->sealed;
  if (length == 0) return 0;
  if (length > HTTP_SEAL_BYTES) length = HTTP_SEAL_BYTES;
  if (tls_session_seal(output->tls, waiting->data + output->sealed, length, &output->records) != 0)
    return -1;
  output->sealed += length;
  if (output->sealed < waiting->length) return 0;
  output->sealed = 0;
  buf_deinit(waiting);
  return 0;
}

/* Nothing is being written: as much of the records as the kernel takes, the rest later. */
static int write_records(struct http_output *output) {
  struct buf *records = &output->records;
  uv_buf_t part = uv_buf_init(records->data, (unsigned)records->length);
  int sent = try_send(output, &part);
  if (sent == UV_EAGAIN) sent = 0;
  if (sent < 0) return -1;
  if ((size_t)sent == records->length) {
    buf_clear(records);
    return 0;
  }
  buf_consume(records, (size_t)sent);
  move_to_writing(output, records);
  return write_rest(output);
}

int http_output_flush(struct http_output *output) {
  struct buf *records = &output->records;
  if (output->tls == NULL) return 0;
  while (!output->is_writing) {
    if (records->length == 0 && seal_next(output) != 0) return -1;
    if (records->length == 0) break;
    if (write_records(output) != 0) return -1;
  }
  if (records->length == 0) buf_deinit(records);
  return 0;
}

int http_output_end(struct http_output *output) {
  if (output->tls == NULL) return 0;
  if (tls_session_end(output->tls, &output->records) != 0) return -1;
  return http_output_flush(output);
}

/* Seals and writes, piece by piece, as much of the parts as the kernel takes. */
static int seal_parts(struct http_output *output, const uv_buf_t *parts, unsigned count,
                      size_t *sealed) {
  for (unsigned i = 0; i < count; i++) {
    for (size_t at = 0; at < parts[i].len && !output->is_writing;) {
      size_t left = parts[i].len - at;
      size_t length = left < HTTP_SEAL_BYTES ? left : HTTP_SEAL_BYTES;
      if (tls_session_seal(output->tls, parts[i].base + at, length, &output->records) != 0)
        return -1;
      at += length;
      *sealed += length;
      if (output->records.length >= HTTP_SEAL_BYTES && write_records(output) != 0) return -1;
    }
  }
  return 0;
}

/* A small answer is one record. */
static int send_sealed(struct http_output *output, const uv_buf_t *parts, unsigned count) {
  char small[SMALL_BYTES];
  uv_buf_t joined = uv_buf_init(small, sizeof small);
  size_t sealed = 0;
  if (join_parts(parts, count, &joined) == 1) {
    parts = &joined;
    count = 1;
  }
  if (seal_parts(output, parts, count, &sealed) != 0) return -1;
  if (append_parts(&output->waiting, parts, count, sealed) != 0) return -1;
  return http_output_flush(output);
}

/* -------------------------------------------------------------------------------------- */

int http_output_send(struct http_output *output, const uv_buf_t *parts, unsigned count) {
  if (output->tls != NULL) return send_sealed(output, parts, count);
  if (output->is_writing) return append_parts(&output->waiting, parts, count, 0);
  size_t total = 0;
  for (unsigned i = 0; i < count; i++) total += parts[i].len;
  int sent = try_write(output, parts, count);
  if (sent == UV_EAGAIN) sent = 0;
  if (sent < 0) return -1;
  if ((size_t)sent == total) return 0;
  if (append_parts(&output->writing, parts, count, (size_t)sent) != 0) return -1;
  return write_rest(output);
}
