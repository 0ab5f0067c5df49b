/* The prompt and the line as a terminal shows them: drawn by libedit, and drawn anew by us where it
 * cannot know that something else was written, or that the size has changed.
 *
 * On the editor's thread. */
#ifndef TIDEGATE_IO_LINE_SCREEN_H
#define TIDEGATE_IO_LINE_SCREEN_H

#include <stddef.h>
#include <stdio.h>
#include <wchar.h>

#define LINE_PROMPT_MAX 320

struct line_screen {
  struct editline *editor;         /* of histedit.h */
  FILE *output;                    /* the editor's */
  wchar_t prompt[LINE_PROMPT_MAX]; /* for the editor to show */
};

/* Longer ones are cut. */
void line_screen_set_prompt(struct line_screen *screen, const wchar_t *prompt);
/* The columns of the terminal. */
size_t line_screen_width(const struct line_screen *screen);
/* Goes to the line's first row; before the line, the prompt or the width that is known changes. */
void line_screen_go_up(struct line_screen *screen);
/* Clears what is below the row, and draws the line from there. */
void line_screen_draw(struct line_screen *screen);

#endif
