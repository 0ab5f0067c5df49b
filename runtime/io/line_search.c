#include "io/line_search.h"

#include <histedit.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX 256
#define KEY_GIVE_UP 0x07
#define KEY_ERASE 0x08
#define KEY_AGAIN 0x12
#define KEY_DELETE 0x7f

struct search {
  struct line_screen *screen;
  struct line_history *history;
  wchar_t prompt[LINE_PROMPT_MAX]; /* as it was */
  wchar_t *line;                   /* as it was */
  wchar_t pattern[PATTERN_MAX];
  size_t length;
  size_t found; /* the n-th newest entry; 0: the line as it was */
  bool has_failed;
};

static const wchar_t *line_of(const struct search *search, size_t entry) {
  const wchar_t *text = entry == 0 ? search->line : line_history_entry(search->history, entry);
  return text == NULL ? search->line : text;
}

/* From an entry on to older ones. */
static void find(struct search *search, size_t entry) {
  const wchar_t *text;
  while ((text = line_history_entry(search->history, entry)) != NULL &&
         wcsstr(text, search->pattern) == NULL)
    entry++;
  search->has_failed = text == NULL;
  if (text != NULL) search->found = entry;
}

static void replace_line(EditLine *editor, const wchar_t *text) {
  const LineInfoW *line = el_wline(editor);
  el_cursor(editor, (int)(line->lastchar - line->cursor));
  line = el_wline(editor);
  el_wdeletestr(editor, (int)(line->lastchar - line->buffer));
  el_winsertstr(editor, text);
}

static void show(struct search *search, const wchar_t *prompt, size_t entry) {
  line_screen_go_up(search->screen);
  line_screen_set_prompt(search->screen, prompt);
  replace_line(search->screen->editor, line_of(search, entry));
  line_screen_draw(search->screen);
}

static void show_found(struct search *search) {
  wchar_t prompt[LINE_PROMPT_MAX];
  swprintf(prompt, LINE_PROMPT_MAX, L"(%lssearch) %ls: ", search->has_failed ? L"failed " : L"",
           search->pattern);
  show(search, prompt, search->found);
}

static void set_length(struct search *search, size_t length) {
  search->length = length;
  search->pattern[length] = L'\0';
}

/* False: the key ends the search. */
static bool take(struct search *search, wchar_t key) {
  if (key == KEY_AGAIN) {
    if (search->length > 0) find(search, search->found + 1);
  } else if (key == KEY_ERASE || key == KEY_DELETE) {
    if (search->length > 0) set_length(search, search->length - 1);
    search->found = 0;
    search->has_failed = false;
    if (search->length > 0) find(search, 1);
  } else if (key >= L' ' && search->length < PATTERN_MAX - 1) {
    search->pattern[search->length] = key;
    set_length(search, search->length + 1);
    find(search, search->found == 0 ? 1 : search->found);
  } else {
    return key >= L' ';
  }
  return true;
}

static unsigned char end(struct search *search, wchar_t key) {
  const wchar_t keys[] = {key, L'\0'};
  if (key == KEY_GIVE_UP) search->found = 0;
  show(search, search->prompt, search->found);
  if (key != KEY_GIVE_UP) el_wpush(search->screen->editor, keys);
  return CC_NORM;
}

static unsigned char run(struct search *search) {
  wchar_t key;
  do {
    show_found(search);
    if (el_wgetc(search->screen->editor, &key) != 1) return CC_EOF;
  } while (take(search, key));
  return end(search, key);
}

unsigned char line_search_run(struct line_screen *screen, struct line_history *history) {
  const LineInfoW *line = el_wline(screen->editor);
  size_t count = (size_t)(line->lastchar - line->buffer);
  struct search search = {.screen = screen, .history = history};
  search.line = calloc(count + 1, sizeof *search.line);
  if (search.line == NULL) return CC_ERROR;
  wmemcpy(search.line, line->buffer, count);
  wmemcpy(search.prompt, screen->prompt, LINE_PROMPT_MAX);
  unsigned char result = run(&search);
  wmemcpy(screen->prompt, search.prompt, LINE_PROMPT_MAX);
  free(search.line);
  return result;
}
