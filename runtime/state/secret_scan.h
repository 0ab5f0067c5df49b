/* Looks for a set of patterns in a text as it stands and as its encodings read.
 *
 * Encoders differ in what they escape (a slash as "/", "\/" or "%2F"; either case of
 * hexadecimal digits; "é" as itself or as \u00e9), so the text is decoded on the way instead
 * of the patterns being encoded in every manner. Stateless; any thread. */
#ifndef TIDEGATE_STATE_SECRET_SCAN_H
#define TIDEGATE_STATE_SECRET_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "state/pattern_set.h"

/* Allocates nothing. */
bool secret_scan_occurs(const struct pattern_set *set, const char *text, size_t length);

/* Appends the text with what matches replaced by SECRET_MASK; matches that overlap or touch
 * are one. Time and memory grow with the length alone. -1 when `result` is full or memory ran
 * out: then nothing of the text may be shown. */
int secret_scan_mask(const struct pattern_set *set, const char *text, size_t length,
                     struct buf *result) __attribute__((warn_unused_result));

#endif
