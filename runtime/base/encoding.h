/* Bytes as text: hexadecimal, base64 and base64url (RFC 4648), strictly.
 *
 * Pure functions; any thread. The caller provides the room, sized by the functions beside
 * them; nothing adds a NUL. */
#ifndef TIDEGATE_BASE_ENCODING_H
#define TIDEGATE_BASE_ENCODING_H

#include <stddef.h>

#include "base/err.h"

enum encoding_base64 {
  ENCODING_BASE64,     /* "+/", padded */
  ENCODING_BASE64_URL, /* "-_", written without padding, read with or without */
};

/* Room for `length` bytes written as text, or for `length` characters read. */
#define ENCODING_HEX_SIZE(length) ((length)*2)
#define ENCODING_BASE64_SIZE(length) (((length) + 2) / 3 * 4)
#define ENCODING_FROM_HEX_SIZE(length) ((length) / 2)
#define ENCODING_FROM_BASE64_SIZE(length) ((length) / 4 * 3 + 3)

/* Lower case. Cannot fail. */
void encoding_hex(const void *bytes, size_t length, char *out);
/* Returns the length written. Cannot fail. */
size_t encoding_base64(enum encoding_base64 kind, const void *bytes, size_t length, char *out);

/* The readers return 0 and set `*written`, or -1 with code "invalid_encoding" and the place;
 * `out` may then hold a part. Either case is read. */
int encoding_from_hex(const char *text, size_t length, unsigned char *out, size_t *written,
                      struct err *err);
/* No white space; padding complete or (base64url) absent; unused bits zero. */
int encoding_from_base64(enum encoding_base64 kind, const char *text, size_t length,
                         unsigned char *out, size_t *written, struct err *err);

#endif
