/* The search through what was typed before, backwards, a key at a time (Ctrl-R). libedit's own
 * takes characters beyond U+00FF for others.
 *
 * On the editor's thread. */
#ifndef TIDEGATE_IO_LINE_SEARCH_H
#define TIDEGATE_IO_LINE_SEARCH_H

#include "io/line_history.h"
#include "io/line_screen.h"

/* Shows the newest line with what is typed, until a key that means something else, which the editor
 * is given; Ctrl-R finds the one before, Ctrl-G ends with the line as it was. For a function that
 * is bound to a key: returns what libedit is to do then. */
unsigned char line_search_run(struct line_screen *screen, struct line_history *history);

#endif
