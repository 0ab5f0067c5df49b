#include "io/text.h"

#include <utf8proc.h>

#include "base/euc_kr.h"
#include "base/utf8.h"

static utf8proc_option_t options_of(enum text_form form) {
  if (form == TEXT_NFKC) return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
  if (form == TEXT_FOLD) return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD;
  return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
}

static int fail_invalid(struct err *err, size_t offset) {
  return err_set(err, "invalid_utf8", "not valid UTF-8, at byte %zu", offset + 1);
}

static int fail_library(struct err *err, utf8proc_ssize_t code) {
  return err_set(err, "internal", "utf8proc: %s", utf8proc_errmsg(code));
}

int text_normalize_room(enum text_form form, const char *text, size_t length, size_t *code_points,
                        struct err *err) {
  if (length > TEXT_NORMALIZE_MAX)
    return err_set(err, "too_large", "a text to normalise may have at most %zu bytes",
                   TEXT_NORMALIZE_MAX);
  size_t valid = utf8_valid_length(text, length);
  if (valid < length) return fail_invalid(err, valid);
  utf8proc_ssize_t count = utf8proc_decompose((const utf8proc_uint8_t *)text,
                                              (utf8proc_ssize_t)length, NULL, 0, options_of(form));
  if (count < 0) return fail_library(err, count);
  *code_points = (size_t)count;
  return 0;
}

int text_normalize(enum text_form form, const char *text, size_t length, int32_t *room,
                   size_t code_points, size_t *result_length, struct err *err) {
  utf8proc_option_t options = options_of(form);
  utf8proc_ssize_t count =
      utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, room,
                         (utf8proc_ssize_t)code_points, options);
  if (count < 0) return fail_library(err, count);
  utf8proc_ssize_t bytes = utf8proc_reencode(room, count, options);
  if (bytes < 0) return fail_library(err, bytes);
  *result_length = (size_t)bytes;
  return 0;
}

/* The property White_Space of Unicode. */
static bool is_space(utf8proc_int32_t code_point) {
  return (code_point >= 0x09 && code_point <= 0x0D) || code_point == 0x20 || code_point == 0x85 ||
         code_point == 0xA0 || code_point == 0x1680 ||
         (code_point >= 0x2000 && code_point <= 0x200A) || code_point == 0x2028 ||
         code_point == 0x2029 || code_point == 0x202F || code_point == 0x205F ||
         code_point == 0x3000;
}

/* The length of the white space character that starts at `at`; 0 when there is none. */
static size_t space_length(const char *at, const char *end) {
  const unsigned char *start = (const unsigned char *)at;
  size_t length = utf8_sequence_length(start, (const unsigned char *)end);
  utf8proc_int32_t code_point;
  if (length == 0) return 0;
  utf8proc_iterate(start, (utf8proc_ssize_t)length, &code_point);
  return is_space(code_point) ? length : 0;
}

/* The length of the white space character that ends at `end`; 0 when there is none. All of
 * them have three bytes at most. */
static size_t space_length_before(const char *start, const char *end) {
  for (size_t length = 1; length <= 3 && (size_t)(end - start) >= length; length++)
    if (space_length(end - length, end) == length) return length;
  return 0;
}

const char *text_trim(const char *text, size_t *length) {
  const char *start = text, *end = text + *length;
  size_t space;
  while ((space = space_length(start, end)) > 0) start += space;
  while ((space = space_length_before(start, end)) > 0) end -= space;
  *length = (size_t)(end - start);
  return start;
}

int text_count(const char *text, size_t length, size_t *code_points, struct err *err) {
  size_t valid = utf8_valid_length(text, length), count = 0;
  if (valid < length) return fail_invalid(err, valid);
  for (size_t index = 0; index < length; index++)
    if (((unsigned char)text[index] & 0xC0) != 0x80) count++;
  *code_points = count;
  return 0;
}

bool text_is_euc_kr(const char *text, size_t length) {
  const unsigned char *at = (const unsigned char *)text, *end = at + length;
  while (at < end) {
    utf8proc_int32_t code_point;
    size_t sequence = utf8_sequence_length(at, end);
    if (sequence == 0) return false;
    utf8proc_iterate(at, (utf8proc_ssize_t)sequence, &code_point);
    if (!euc_kr_has((uint32_t)code_point)) return false;
    at += sequence;
  }
  return true;
}

size_t text_truncated_length(const char *text, size_t length, size_t bytes) {
  if (length <= bytes) return length;
  size_t cut = bytes;
  while (cut > 0 && bytes - cut < 3 && ((unsigned char)text[cut] & 0xC0) == 0x80) cut--;
  /* Bytes that are no character are cut as they come. */
  return ((unsigned char)text[cut] & 0xC0) == 0x80 ? bytes : cut;
}
