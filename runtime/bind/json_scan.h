/* Finding the end of text that JSON takes as it is: the inner loop of both directions. */
#ifndef TIDEGATE_BIND_JSON_SCAN_H
#define TIDEGATE_BIND_JSON_SCAN_H

#include <stdbool.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Whether `byte` is ASCII and neither a control character, a quote nor a backslash. */
static inline bool json_is_plain(unsigned char byte) {
  return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

#ifdef __SSE2__
/* One bit for each of 16 bytes that is not plain. */
static inline unsigned json_special_mask(__m128i bytes) {
  /* Compared as signed, bytes from 0x80 on are below 0x20 too. */
  __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
  __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, backslash)));
}
#endif

/* The first byte from `at` on that is not plain, or `end`. */
static inline const unsigned char *json_plain_end(const unsigned char *at,
                                                  const unsigned char *end) {
#ifdef __SSE2__
  for (; end - at >= 16; at += 16) {
    unsigned mask = json_special_mask(_mm_loadu_si128((const __m128i *)at));
    if (mask != 0) return at + __builtin_ctz(mask);
  }
#endif
  while (at < end && json_is_plain(*at)) at++;
  return at;
}

#endif
