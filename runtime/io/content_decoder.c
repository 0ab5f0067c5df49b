#include "io/content_decoder.h"

#include <string.h>
#include <strings.h>

#define WINDOW_BITS 15
#define WINDOW_GZIP 16
#define CHUNK 4096

static bool is_named(const char *value, size_t length, const char *name) {
  return length == strlen(name) && strncasecmp(value, name, length) == 0;
}

enum content_coding content_coding_parse(const char *value, size_t length) {
  if (length == 0 || is_named(value, length, "identity")) return CONTENT_IDENTITY;
  if (is_named(value, length, "gzip") || is_named(value, length, "x-gzip")) return CONTENT_GZIP;
  if (is_named(value, length, "deflate")) return CONTENT_DEFLATE;
  return CONTENT_UNKNOWN;
}

void content_decoder_init(struct content_decoder *decoder, enum content_coding coding) {
  *decoder = (struct content_decoder){.coding = coding};
}

static int too_large(const struct buf *out, struct err *err) {
  return err_set(err, "too_large", "the response is larger than %zu bytes (max_response_bytes)",
                 out->ceiling);
}

static int append(struct buf *out, const void *bytes, size_t length, struct err *err) {
  if (buf_append(out, bytes, length) == 0) return 0;
  if (length > out->ceiling - out->length) return too_large(out, err);
  return err_set(err, "out_of_memory", "the response does not fit into memory");
}

static int malformed(const struct content_decoder *decoder, struct err *err) {
  return err_set(err, "malformed_response", "the response is no valid %s",
                 decoder->coding == CONTENT_GZIP ? "gzip" : "deflate");
}

static int open_stream(struct content_decoder *decoder, int window_bits, struct err *err) {
  if (inflateInit2(&decoder->stream, window_bits) != Z_OK)
    return err_set(err, "out_of_memory", "the decoder of the response does not fit into memory");
  decoder->is_open = true;
  return 0;
}

/* One step into the free part of `out`, or, at its ceiling, into a byte beyond it. */
static int step(struct content_decoder *decoder, struct buf *out, struct err *err) {
  z_stream *stream = &decoder->stream;
  unsigned char beyond;
  bool is_full = out->length == out->ceiling;
  size_t room = out->ceiling - out->length < CHUNK ? out->ceiling - out->length : CHUNK;
  if (buf_reserve(out, room) != 0)
    return err_set(err, "out_of_memory", "the response does not fit into memory");
  /* A buffer that is used again may have more capacity than its ceiling allows now. */
  size_t limit = out->capacity < out->ceiling ? out->capacity : out->ceiling;
  size_t free_bytes = limit - out->length;
  if (free_bytes > (1u << 30)) free_bytes = 1u << 30;
  stream->next_out = is_full ? &beyond : (unsigned char *)out->data + out->length;
  stream->avail_out = is_full ? 1 : (unsigned)free_bytes;
  unsigned before = stream->avail_out;
  int status = inflate(stream, Z_NO_FLUSH);
  unsigned produced = before - stream->avail_out;
  if (is_full && produced > 0) return too_large(out, err);
  out->length += produced;
  if (status == Z_STREAM_END) decoder->has_ended = true;
  if (status == Z_MEM_ERROR)
    return err_set(err, "out_of_memory", "the response does not fit into memory");
  bool is_fine = status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR;
  return is_fine ? 0 : malformed(decoder, err);
}

static int inflate_bytes(struct content_decoder *decoder, const void *bytes, size_t length,
                         struct buf *out, struct err *err) {
  z_stream *stream = &decoder->stream;
  stream->next_in = (unsigned char *)bytes; /* zlib is const-correct only with ZLIB_CONST */
  stream->avail_in = (unsigned)length;
  for (;;) {
    if (decoder->has_ended && stream->avail_in > 0) {
      /* gzip may consist of several members; anything else after the end is not ours. */
      if (decoder->coding != CONTENT_GZIP || inflateReset(stream) != Z_OK)
        return malformed(decoder, err);
      decoder->has_ended = false;
    }
    if (step(decoder, out, err) != 0) return -1;
    if (decoder->has_ended && stream->avail_in == 0) return 0;
    if (!decoder->has_ended && stream->avail_in == 0 && stream->avail_out > 0) return 0;
  }
}

static int open_for(struct content_decoder *decoder, struct err *err) {
  if (decoder->coding == CONTENT_GZIP) return open_stream(decoder, WINDOW_BITS + WINDOW_GZIP, err);
  const unsigned char *first = decoder->first;
  bool has_header = (first[0] & 0x0f) == Z_DEFLATED && (first[0] << 8 | first[1]) % 31 == 0;
  return open_stream(decoder, has_header ? WINDOW_BITS : -WINDOW_BITS, err);
}

int content_decoder_write(struct content_decoder *decoder, const void *bytes, size_t length,
                          struct buf *out, struct err *err) {
  if (decoder->coding == CONTENT_IDENTITY || decoder->coding == CONTENT_UNKNOWN)
    return append(out, bytes, length, err);
  const unsigned char *at = bytes;
  if (decoder->is_open) return length > 0 ? inflate_bytes(decoder, at, length, out, err) : 0;
  if (decoder->coding == CONTENT_GZIP) {
    if (length == 0) return 0;
    if (open_for(decoder, err) != 0) return -1;
    return inflate_bytes(decoder, at, length, out, err);
  }
  for (; length > 0 && decoder->first_count < 2; length--)
    decoder->first[decoder->first_count++] = *at++;
  if (decoder->first_count < 2) return 0;
  if (open_for(decoder, err) != 0) return -1;
  if (inflate_bytes(decoder, decoder->first, 2, out, err) != 0) return -1;
  return length > 0 ? inflate_bytes(decoder, at, length, out, err) : 0;
}

int content_decoder_finish(struct content_decoder *decoder, struct err *err) {
  bool has_begun = decoder->is_open || decoder->first_count > 0;
  if (!has_begun || decoder->has_ended) return 0;
  return err_set(err, "network_error", "the response was cut short: its %s ends too early",
                 decoder->coding == CONTENT_GZIP ? "gzip" : "deflate");
}

void content_decoder_deinit(struct content_decoder *decoder) {
  if (decoder->is_open) inflateEnd(&decoder->stream);
  decoder->is_open = false;
}
