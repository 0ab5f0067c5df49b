/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Pure functions; any thread. */
#ifndef TIDEGATE_BASE_UTF8_H
#define TIDEGATE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the longest valid beginning: `length` when all of it is valid, else the
 * offset of the first byte of the sequence that is not. */
size_t utf8_valid_length(const char *text, size_t length);

static inline bool utf8_is_valid(const char *text, size_t length) {
  return utf8_valid_length(text, length) == length;
}

/* Writes one code point (not a surrogate, at most U+10FFFF); returns its length, 1 to 4. */
size_t utf8_encode(char bytes[4], uint32_t code_point);

/* The length of the one sequence that starts at `at`, before `end`; 0 when it is not valid.
 * Inline: scanners of text call it once per character. */
static inline size_t utf8_sequence_length(const unsigned char *at, const unsigned char *end) {
  size_t left = (size_t)(end - at);
  if (left == 0) return 0;
  unsigned lead = at[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4 || left < 2 || (at[1] & 0xc0) != 0x80) return 0;
  if (lead < 0xe0) return 2;
  if (left < 3 || (at[2] & 0xc0) != 0x80) return 0;
  if (lead < 0xf0) {
    bool overlong = lead == 0xe0 && at[1] < 0xa0;
    bool surrogate = lead == 0xed && at[1] > 0x9f;
    return overlong || surrogate ? 0 : 3;
  }
  if (left < 4 || (at[3] & 0xc0) != 0x80) return 0;
  bool overlong = lead == 0xf0 && at[1] < 0x90;
  bool too_large = lead == 0xf4 && at[1] > 0x8f;
  return overlong || too_large ? 0 : 4;
}

/* The code point of one valid sequence (utf8_sequence_length). */
static inline uint32_t utf8_decode(const unsigned char *at, size_t length) {
  static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  uint32_t code_point = at[0] & masks[length];
  for (size_t i = 1; i < length; i++) code_point = code_point << 6 | (at[i] & 0x3f);
  return code_point;
}

#endif
