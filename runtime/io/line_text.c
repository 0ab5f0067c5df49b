#include "io/line_text.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"

#define REPLACEMENT 0xfffd

wchar_t *line_text_widen(const char *text, size_t length, size_t *count) {
  const unsigned char *at = (const unsigned char *)text, *end = at + length;
  wchar_t *wide = calloc(length + 1, sizeof *wide);
  size_t used = 0;
  if (wide == NULL) return NULL;
  while (at < end) {
    size_t sequence = utf8_sequence_length(at, end);
    wide[used++] = sequence == 0 ? REPLACEMENT : (wchar_t)utf8_decode(at, sequence);
    at += sequence == 0 ? 1 : sequence;
  }
  if (count != NULL) *count = used;
  return wide;
}

static size_t encode(char bytes[4], wchar_t character) {
  uint32_t code_point = (uint32_t)character;
  int is_valid = code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff);
  return utf8_encode(bytes, is_valid ? code_point : REPLACEMENT);
}

size_t line_text_bytes(const wchar_t *text, size_t count) {
  char bytes[4];
  size_t length = 0;
  for (size_t i = 0; i < count; i++) length += encode(bytes, text[i]);
  return length;
}

size_t line_text_characters(const wchar_t *text, size_t count, size_t bytes) {
  char scratch[4];
  for (size_t i = 0; i < count; i++) {
    size_t length = encode(scratch, text[i]);
    if (length > bytes) return i;
    bytes -= length;
  }
  return count;
}

char *line_text_narrow(const wchar_t *text, size_t count, size_t *length) {
  char *narrow = malloc(count * 4 + 1);
  size_t used = 0;
  if (narrow == NULL) return NULL;
  for (size_t i = 0; i < count; i++) used += encode(narrow + used, text[i]);
  narrow[used] = '\0';
  *length = used;
  return narrow;
}
