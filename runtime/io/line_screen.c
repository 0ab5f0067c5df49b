#include "io/line_screen.h"

#include <histedit.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#define WIDTH_DEFAULT 80
#define MOVE_UP "\033[%dA"
#define CLEAR_BELOW "\r\033[J"

void line_screen_set_prompt(struct line_screen *screen, const wchar_t *prompt) {
  size_t count = wcsnlen(prompt, LINE_PROMPT_MAX - 1);
  wmemcpy(screen->prompt, prompt, count);
  screen->prompt[count] = L'\0';
}

size_t line_screen_width(const struct line_screen *screen) {
  struct winsize size;
  bool is_known = ioctl(fileno(screen->output), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : WIDTH_DEFAULT;
}

static size_t width_of(const wchar_t *text, size_t count) {
  size_t width = 0;
  for (size_t i = 0; i < count; i++) {
    int columns = wcwidth(text[i]);
    if (columns > 0) width += (size_t)columns;
  }
  return width;
}

/* Terminals lay long lines out anew when their size changes: the cursor is then so far below the
 * line's beginning. */
void line_screen_go_up(struct line_screen *screen) {
  const LineInfoW *line = el_wline(screen->editor);
  size_t width = width_of(screen->prompt, wcslen(screen->prompt)) +
                 width_of(line->buffer, (size_t)(line->cursor - line->buffer));
  size_t rows = width / line_screen_width(screen);
  if (rows > 0) fprintf(screen->output, MOVE_UP, (int)rows);
}

void line_screen_draw(struct line_screen *screen) {
  fputs(CLEAR_BELOW, screen->output);
  el_wset(screen->editor, EL_REFRESH);
  fflush(screen->output);
}
