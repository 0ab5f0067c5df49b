/* What an editor of lines tells its owner. */
#ifndef TIDEGATE_IO_LINE_EVENT_H
#define TIDEGATE_IO_LINE_EVENT_H

#include <stddef.h>

/* A longer line is refused. */
#define LINE_BYTES_MAX ((size_t)64 * 1024)

enum line_event_kind {
  LINE_NONE,
  LINE_TEXT,      /* a line */
  LINE_TOO_LONG,  /* one of more than LINE_BYTES_MAX bytes, which is gone */
  LINE_COMPLETE,  /* candidates are wanted for what stands before `at`; the line goes on */
  LINE_INTERRUPT, /* Ctrl-C; the line is gone */
  LINE_END,       /* the end of the input */
  LINE_RESIZE,    /* the terminal has another size; the line goes on */
};

struct line_event {
  enum line_event_kind kind;
  char *text; /* of LINE_TEXT and LINE_COMPLETE: UTF-8, the taker's to free() */
  size_t length;
  size_t at; /* of LINE_COMPLETE: the bytes before the cursor */
};

#endif
