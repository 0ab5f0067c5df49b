/* UTF-8 <-> the wide characters of the line editor.
 *
 * Pure functions; the results are the caller's to free(), NULL without memory. */
#ifndef TIDEGATE_IO_LINE_TEXT_H
#define TIDEGATE_IO_LINE_TEXT_H

#include <stddef.h>
#include <wchar.h>

/* Ends with L'\0', not counted; what is no UTF-8 becomes U+FFFD. `count` may be NULL. */
wchar_t *line_text_widen(const char *text, size_t length, size_t *count);
/* Ends with '\0', not counted. */
char *line_text_narrow(const wchar_t *text, size_t count, size_t *length);
/* How many bytes so many characters are. */
size_t line_text_bytes(const wchar_t *text, size_t count);
/* How many characters so many bytes of the narrowed text are; of one that they cut, none. */
size_t line_text_characters(const wchar_t *text, size_t count, size_t bytes);

#endif
