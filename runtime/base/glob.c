#include "base/glob.h"

#include <stdint.h>

/* How many bytes of the pattern stand for `byte`; 0 when they do not. */
static size_t width_of(const char *pattern, size_t left, char byte) {
  if (left == 0) return 0;
  if (pattern[0] == '?') return 1;
  if (pattern[0] == '\\' && left > 1) return pattern[1] == byte ? 2 : 0;
  return pattern[0] == byte ? 1 : 0;
}

/* Only the last star is ever tried again: what came before it matched as early as it could, and a
 * later match there would leave less text for the rest. */
bool glob_matches(const char *pattern, size_t pattern_length, const char *text,
                  size_t text_length) {
  size_t at = 0, read = 0;             /* in the pattern, in the text */
  size_t star = SIZE_MAX, resumed = 0; /* behind the last star, and where it was tried last */
  while (read < text_length) {
    if (at < pattern_length && pattern[at] == '*') {
      star = ++at;
      resumed = read;
      if (star == pattern_length) return true;
      continue;
    }
    size_t width = width_of(pattern + at, pattern_length - at, text[read]);
    if (width > 0) {
      at += width;
      read++;
    } else if (star != SIZE_MAX) {
      at = star;
      read = ++resumed;
    } else {
      return false;
    }
  }
  while (at < pattern_length && pattern[at] == '*') at++;
  return at == pattern_length;
}
