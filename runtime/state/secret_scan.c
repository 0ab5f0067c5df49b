#include "state/secret_scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "state/secrets.h"

enum encoding {
  AS_IT_STANDS,
  PERCENT, /* %2F */
  FORM,    /* %2F, and "+" for a space */
  JSON,    /* \/ \n \u002f */
  ENCODINGS,
};

/* What one piece of text stands for. */
struct piece {
  size_t consumed; /* characters of the text */
  size_t count;    /* bytes that they stand for */
  unsigned char bytes[4];
};

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The number that `digits` hexadecimal digits make; -1 when they are not there. */
static int32_t read_hex(const char *at, const char *end, int digits) {
  int32_t value = 0;
  if (end - at < digits) return -1;
  for (int index = 0; index < digits; index++) {
    int digit = hex_value(at[index]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

static struct piece one_byte(unsigned char byte, size_t consumed) {
  return (struct piece){.consumed = consumed, .count = 1, .bytes = {byte}};
}

static struct piece read_percent(enum encoding encoding, const char *at, const char *end) {
  if (*at == '+' && encoding == FORM) return one_byte(' ', 1);
  int32_t value = *at == '%' ? read_hex(at + 1, end, 2) : -1;
  return value < 0 ? one_byte((unsigned char)*at, 1) : one_byte((unsigned char)value, 3);
}

/* \uXXXX, or two of them that make one code point. */
static struct piece read_unicode_escape(const char *at, const char *end) {
  struct piece piece = {.consumed = 6};
  char bytes[4];
  int32_t first = read_hex(at + 2, end, 4);
  if (first < 0) return one_byte('\\', 1);
  uint32_t code_point = (uint32_t)first;
  if (first >= 0xD800 && first < 0xE000) {
    bool pair = first < 0xDC00 && end - at >= 12 && at[6] == '\\' && at[7] == 'u';
    int32_t second = pair ? read_hex(at + 8, end, 4) : -1;
    if (second < 0xDC00 || second >= 0xE000) return one_byte('\\', 1);
    code_point = 0x10000 + (((uint32_t)first & 0x3FF) << 10) + ((uint32_t)second & 0x3FF);
    piece.consumed = 12;
  }
  piece.count = utf8_encode(bytes, code_point);
  memcpy(piece.bytes, bytes, piece.count);
  return piece;
}

static struct piece read_json(const char *at, const char *end) {
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  if (*at != '\\' || end - at < 2) return one_byte((unsigned char)*at, 1);
  if (at[1] == 'u') return read_unicode_escape(at, end);
  const char *letter = memchr(letters, at[1], sizeof letters - 1);
  if (letter == NULL) return one_byte('\\', 1);
  return one_byte((unsigned char)meanings[letter - letters], 2);
}

static struct piece read_piece(enum encoding encoding, const char *at, const char *end) {
  if (encoding == JSON) return read_json(at, end);
  if (encoding == AS_IT_STANDS) return one_byte((unsigned char)*at, 1);
  return read_percent(encoding, at, end);
}

/* Whether the text can read otherwise in this encoding than in those before it. */
static bool is_worth_reading(enum encoding encoding, const char *text, size_t length) {
  if (length == 0) return false;
  if (encoding == AS_IT_STANDS) return true;
  char sign = encoding == PERCENT ? '%' : encoding == FORM ? '+' : '\\';
  return memchr(text, sign, length) != NULL;
}

static bool occurs_plainly(const struct pattern_set *set, const char *text, size_t length) {
  uint32_t state = 0, matched;
  for (size_t index = 0; index < length; index++) {
    state = pattern_set_step(set, state, (unsigned char)text[index], &matched);
    if (matched != 0) return true;
  }
  return false;
}

static bool occurs_encoded(const struct pattern_set *set, enum encoding encoding, const char *text,
                           size_t length) {
  uint32_t state = 0, matched;
  for (const char *at = text, *end = text + length; at < end;) {
    struct piece piece = read_piece(encoding, at, end);
    for (size_t index = 0; index < piece.count; index++) {
      state = pattern_set_step(set, state, piece.bytes[index], &matched);
      if (matched != 0) return true;
    }
    at += piece.consumed;
  }
  return false;
}

bool secret_scan_occurs(const struct pattern_set *set, const char *text, size_t length) {
  if (occurs_plainly(set, text, length)) return true;
  for (int encoding = PERCENT; encoding < ENCODINGS; encoding++)
    if (is_worth_reading((enum encoding)encoding, text, length) &&
        occurs_encoded(set, (enum encoding)encoding, text, length))
      return true;
  return false;
}

/* Where matches lie. */
struct findings {
  uint32_t *starts; /* of each byte read: where in the text its piece starts */
  uint32_t *begins; /* of each place in the text: where the longest match that ends there
                       begins, UINT32_MAX for none */
};

static void find_all(const struct pattern_set *set, enum encoding encoding, const char *text,
                     size_t length, struct findings *findings) {
  uint32_t state = 0, matched, read = 0;
  for (const char *at = text, *end = text + length; at < end;) {
    struct piece piece = read_piece(encoding, at, end);
    size_t stop = (size_t)(at - text) + piece.consumed;
    for (size_t index = 0; index < piece.count; index++) {
      findings->starts[read++] = (uint32_t)(at - text);
      state = pattern_set_step(set, state, piece.bytes[index], &matched);
      if (matched == 0) continue;
      uint32_t begin = findings->starts[read - matched];
      if (begin < findings->begins[stop]) findings->begins[stop] = begin;
    }
    at += piece.consumed;
  }
}

/* Turns begins[n] into the place up to which, backwards from n, everything is covered. */
static void spread(struct findings *findings, size_t length) {
  uint32_t lowest = UINT32_MAX;
  for (size_t stop = length; stop > 0; stop--) {
    if (findings->begins[stop] < lowest) lowest = findings->begins[stop];
    if (lowest >= stop) lowest = UINT32_MAX;
    findings->begins[stop] = lowest;
  }
}

static bool is_covered(const struct findings *findings, size_t index) {
  return findings->begins[index + 1] <= index;
}

static int append_masked(const struct findings *findings, const char *text, size_t length,
                         struct buf *result) {
  size_t index = 0;
  while (index < length) {
    size_t start = index;
    bool covered = is_covered(findings, start);
    while (index < length && is_covered(findings, index) == covered) index++;
    int status = covered ? buf_append_text(result, SECRET_MASK)
                         : buf_append(result, text + start, index - start);
    if (status != 0) return -1;
  }
  return 0;
}

static int mask(const struct pattern_set *set, const char *text, size_t length,
                struct findings *findings, struct buf *result) {
  memset(findings->begins, 0xFF, (length + 1) * sizeof *findings->begins);
  for (int encoding = 0; encoding < ENCODINGS; encoding++)
    if (is_worth_reading((enum encoding)encoding, text, length))
      find_all(set, (enum encoding)encoding, text, length, findings);
  spread(findings, length);
  return append_masked(findings, text, length, result);
}

int secret_scan_mask(const struct pattern_set *set, const char *text, size_t length,
                     struct buf *result) {
  if (!secret_scan_occurs(set, text, length)) return buf_append(result, text, length);
  if (length >= UINT32_MAX) return -1;
  struct findings findings = {
      .starts = malloc((length + 1) * sizeof *findings.starts),
      .begins = malloc((length + 1) * sizeof *findings.begins),
  };
  int status = -1;
  if (findings.starts != NULL && findings.begins != NULL)
    status = mask(set, text, length, &findings, result);
  free(findings.starts);
  free(findings.begins);
  return status;
}
