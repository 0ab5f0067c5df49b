/* Lines that a person types, or a pipe brings, while the loop goes on: the reading has a thread of
 * its own (line_terminal.h, line_plain.h).
 *
 * One read at a time. All functions belong to the loop's thread; none of them blocks. */
#ifndef TIDEGATE_IO_LINE_EDITOR_H
#define TIDEGATE_IO_LINE_EDITOR_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "base/wake.h"
#include "io/line_completion.h"
#include "io/line_event.h"

struct line_editor;

struct line_editor_options {
  int input, output;   /* stay the caller's, and open to the end */
  const char *history; /* the path of a file; NULL: the lines are kept in memory only */
};

/* Takes the terminal, until it is closed. NULL with `err` filled. */
struct line_editor *line_editor_new(uv_loop_t *loop, const struct line_editor_options *options,
                                    struct err *err);
/* Gives the terminal back, and frees itself, as soon as its thread has noticed; the loop must run
 * until then. No event comes any more. */
void line_editor_close(struct line_editor *editor);

/* Whether lines are edited: input and output are a terminal. */
bool line_editor_is_editing(const struct line_editor *editor);
/* Calls wake(argument) when there may be an event; NULL: nobody. */
void line_editor_listen(struct line_editor *editor, wake_fn wake, void *argument);

/* Wants a line; while one is typed already, it goes on with that. */
void line_editor_read(struct line_editor *editor, const char *prompt);
/* Drops the line that is typed. */
void line_editor_cancel(struct line_editor *editor);
/* Drops what was typed ahead of the next line. */
void line_editor_forget(struct line_editor *editor);
/* The next event; false: there is none. LINE_COMPLETE is answered by an offer, or nothing happens
 * for two seconds. */
bool line_editor_take(struct line_editor *editor, struct line_event *event);
/* Takes the words, and leaves `offer` empty. */
void line_editor_offer(struct line_editor *editor, struct line_offer *offer);

#endif
