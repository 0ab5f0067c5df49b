/* Unicode text: normal forms and case folding (utf8proc), white space, boundaries.
 *
 * Pure functions; any thread; nothing is allocated: the caller provides the room. */
#ifndef TIDEGATE_IO_TEXT_H
#define TIDEGATE_IO_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TEXT_NORMALIZE_MAX ((size_t)16 << 20) /* bytes of one text to normalise */

enum text_form {
  TEXT_NFC,
  TEXT_NFKC,
  TEXT_FOLD, /* full case folding, then NFC */
};

/* The code points that text_normalize needs room for. -1: "invalid_utf8" (with the place) or
 * "too_large". */
int text_normalize_room(enum text_form form, const char *text, size_t length, size_t *code_points,
                        struct err *err);
/* Writes the form as UTF-8 into `room` (of code_points + 1 elements, used as scratch before)
 * and sets its length in bytes. The text passed text_normalize_room before. */
int text_normalize(enum text_form form, const char *text, size_t length, int32_t *room,
                   size_t code_points, size_t *result_length, struct err *err);

/* The part without Unicode white space at both ends; bytes that are not UTF-8 stay. */
const char *text_trim(const char *text, size_t *length);
/* The number of code points. -1: "invalid_utf8". */
int text_count(const char *text, size_t length, size_t *code_points, struct err *err);
/* Valid UTF-8 of which every character exists in EUC-KR. */
bool text_is_euc_kr(const char *text, size_t length);
/* At most `bytes`, less where that would cut a character. */
size_t text_truncated_length(const char *text, size_t length, size_t bytes);

#endif
