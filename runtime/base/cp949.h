/* Korean text in EUC-KR or its superset CP949 (what Korean services mean by both) as UTF-8.
 *
 * Pure; any thread. The C library's converter does the work: its tables are files of libc6. */
#ifndef TIDEGATE_BASE_CP949_H
#define TIDEGATE_BASE_CP949_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Whether the name, in any case, is one of the names that such text goes by. */
bool cp949_is_name(const char *name);
/* Appends the text to `out`. -1: "invalid_encoding" (with the place), "too_large" when `out`
 * is full, "internal" when the C library lacks the converter; `out` may then hold a part. */
int cp949_to_utf8(const char *text, size_t length, struct buf *out, struct err *err)
    __attribute__((warn_unused_result));

#endif
