/* Lines of what is no terminal (a pipe, a file), as they are: no editing, no UTF-8 asked for.
 *
 * On the thread of its host, which waits (line_terminal.h). */
#ifndef TIDEGATE_IO_LINE_PLAIN_H
#define TIDEGATE_IO_LINE_PLAIN_H

#include "io/line_terminal.h"

struct line_plain;

/* The descriptors stay the caller's. NULL without memory. */
struct line_plain *line_plain_new(int input, int output, const struct line_host *host);
void line_plain_free(struct line_plain *plain);
/* As line_terminal_read; the prompt is written when the input is a terminal. */
enum line_event_kind line_plain_read(struct line_plain *plain, const char *prompt, char **text,
                                     size_t *length);

#endif
