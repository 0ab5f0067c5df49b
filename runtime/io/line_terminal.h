/* A line at a terminal: libedit, with what it needs around it (keys, history, completion, modes).
 *
 * Blocks, so that it has a thread of its own, on which all of this is called; it knows of no other.
 * What it waits for it asks of its host. */
#ifndef TIDEGATE_IO_LINE_TERMINAL_H
#define TIDEGATE_IO_LINE_TERMINAL_H

#include <stddef.h>

#include "base/err.h"
#include "io/line_completion.h"
#include "io/line_event.h"

enum line_wait {
  LINE_WAIT_INPUT,     /* there is something to read */
  LINE_WAIT_LATE,      /* so many milliseconds have passed */
  LINE_WAIT_RESIZED,   /* the terminal has another size */
  LINE_WAIT_CONTINUED, /* the process had been stopped */
  LINE_WAIT_ABANDON,   /* nobody wants the line any more */
};

struct line_host {
  void *argument;
  /* `milliseconds` -1: as long as it takes. */
  enum line_wait (*wait)(void *argument, int milliseconds);
  /* Fills candidates for the text (the host's to free()) with the cursor after `at` bytes. */
  void (*complete)(void *argument, char *text, size_t length, size_t at, struct line_offer *offer);
};

struct line_terminal;

/* Whether lines can be edited there. */
int line_terminal_is_usable(int input, int output);
/* From here on the terminal shows nothing that is typed, and Ctrl-C is a signal, but for the time
 * of a read. `history` is the path of a file, or NULL. NULL with `err` filled: "in_use" when
 * another is open, "io". */
struct line_terminal *line_terminal_open(int input, int output, const char *history,
                                         const struct line_host *host, struct err *err);
/* Gives the terminal back as it was. */
void line_terminal_close(struct line_terminal *terminal);

/* LINE_TEXT, with the text that the caller frees; LINE_TOO_LONG, LINE_INTERRUPT, LINE_END, or
 * LINE_NONE when it was abandoned. */
enum line_event_kind line_terminal_read(struct line_terminal *terminal, const char *prompt,
                                        char **text, size_t *length);
/* Forgets what was typed ahead. */
void line_terminal_forget(struct line_terminal *terminal);

#endif
