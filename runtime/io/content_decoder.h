/* Undoes the content coding of a response: gzip and deflate (with and without the zlib
 * header).
 *
 * libcurl's own decoder takes a truncated body for a complete one, and its ceiling does not
 * count what it inflates; both are checked here. Embedded; one thread at a time. */
#ifndef TIDEGATE_IO_CONTENT_DECODER_H
#define TIDEGATE_IO_CONTENT_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/err.h"

enum content_coding {
  CONTENT_IDENTITY,
  CONTENT_GZIP,
  CONTENT_DEFLATE,
  CONTENT_UNKNOWN, /* one that we cannot undo, or several */
};

struct content_decoder {
  enum content_coding coding;
  bool is_open;           /* `stream` holds memory */
  bool has_ended;         /* the stream, or the last member of it, is complete */
  unsigned char first[2]; /* of deflate, until it is known which kind it is */
  size_t first_count;
  z_stream stream;
};

/* The coding that a Content-Encoding names; CONTENT_IDENTITY for an empty one. */
enum content_coding content_coding_parse(const char *value, size_t length);

/* Cannot fail; allocates nothing. For CONTENT_UNKNOWN the bytes pass as they are. */
void content_decoder_init(struct content_decoder *decoder, enum content_coding coding);
/* Appends the decoded bytes to `out`. -1 with code "too_large" (past the ceiling of `out`),
 * "malformed_response" or "out_of_memory". */
int content_decoder_write(struct content_decoder *decoder, const void *bytes, size_t length,
                          struct buf *out, struct err *err);
/* To be called after the last byte: -1 with code "network_error" when the coding was cut short.
 * No bytes at all is complete. */
int content_decoder_finish(struct content_decoder *decoder, struct err *err);
void content_decoder_deinit(struct content_decoder *decoder);

#endif
