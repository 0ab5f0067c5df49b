/* Patterns with wildcards: `*` is any run of bytes, also none, `?` any one byte, `\` takes the
 * byte after it as it is (itself, at the end); all else stands for itself, and the whole text has
 * to match. Pure functions; any thread. */
#ifndef TIDEGATE_BASE_GLOB_H
#define TIDEGATE_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Takes at most about pattern_length * text_length steps, whatever the pattern. */
bool glob_matches(const char *pattern, size_t pattern_length, const char *text, size_t text_length);

#endif
