#include "base/utf8.h"

#include <string.h>

#define WORD_HIGH_BITS UINT64_C(0x8080808080808080)

/* ASCII runs are skipped eight bytes at a time. */
static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end) {
  while (end - at >= 8) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    if (word & WORD_HIGH_BITS) break;
    at += 8;
  }
  while (at < end && *at < 0x80) at++;
  return at;
}

size_t utf8_valid_length(const char *text, size_t length) {
  const unsigned char *start = (const unsigned char *)text;
  const unsigned char *end = start + length;
  const unsigned char *at = skip_ascii(start, end);
  while (at < end) {
    size_t step = utf8_sequence_length(at, end);
    if (step == 0) break;
    at += step;
    if (at < end && *at < 0x80) at = skip_ascii(at, end);
  }
  return (size_t)(at - start);
}

size_t utf8_encode(char bytes[4], uint32_t code_point) {
  if (code_point < 0x80) {
    bytes[0] = (char)code_point;
    return 1;
  }
  if (code_point < 0x800) {
    bytes[0] = (char)(0xc0 | code_point >> 6);
    bytes[1] = (char)(0x80 | (code_point & 0x3f));
    return 2;
  }
  if (code_point < 0x10000) {
    bytes[0] = (char)(0xe0 | code_point >> 12);
    bytes[1] = (char)(0x80 | (code_point >> 6 & 0x3f));
    bytes[2] = (char)(0x80 | (code_point & 0x3f));
    return 3;
  }
  bytes[0] = (char)(0xf0 | code_point >> 18);
  bytes[1] = (char)(0x80 | (code_point >> 12 & 0x3f));
  bytes[2] = (char)(0x80 | (code_point >> 6 & 0x3f));
  bytes[3] = (char)(0x80 | (code_point & 0x3f));
  return 4;
}
