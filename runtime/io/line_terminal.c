#include "io/line_terminal.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/line_history.h"
#include "io/line_keys.h"
#include "io/line_screen.h"
#include "io/line_search.h"
#include "io/line_text.h"
#include "io/terminal_guard.h"

/* The rest of a key's sequence comes at once; what has not come by then is a key of its own. */
#define SEQUENCE_MILLISECONDS 50
#define MARK_PASTES "\033[?2004h"
#define MARK_NO_PASTES "\033[?2004l"

struct line_terminal {
  struct line_screen screen; /* with the editor */
  struct line_history *history;
  struct line_host host;
  int input;
  locale_t locale, locale_before;
  struct line_keys keys;
  bool is_late; /* the rest of a sequence */
  bool was_cut, was_interrupted, was_abandoned;
  wchar_t *listed; /* the text at which TAB found several candidates */
};

/* --- keys --------------------------------------------------------------------------------- */

static struct line_terminal *terminal_of(EditLine *editor) {
  struct line_terminal *terminal = NULL;
  el_wget(editor, EL_CLIENTDATA, &terminal);
  return terminal;
}

static bool is_full(const struct line_terminal *terminal) {
  const LineInfoW *line = el_wline(terminal->screen.editor);
  return (size_t)(line->lastchar - line->buffer) >= LINE_BYTES_MAX;
}

/* A full line takes no more; the end of such a one is told. */
static bool is_refused(struct line_terminal *terminal, const struct line_key *key) {
  bool grows = key->is_text || key->character == LINE_KEY_QUOTE || key->character == LINE_KEY_YANK;
  if (!grows || !is_full(terminal)) return false;
  terminal->was_cut = true;
  return true;
}

static void on_resized(struct line_terminal *terminal) {
  line_screen_go_up(&terminal->screen);
  el_resize(terminal->screen.editor);
  line_screen_draw(&terminal->screen);
}

/* The process was stopped; whoever had the terminal meanwhile left other modes. */
static void on_continued(struct line_terminal *terminal) {
  el_wset(terminal->screen.editor, EL_PREP_TERM, 0);
  el_wset(terminal->screen.editor, EL_PREP_TERM, 1);
  fputs(MARK_PASTES, terminal->screen.output);
  el_resize(terminal->screen.editor);
  line_screen_draw(&terminal->screen);
}

/* False: nothing will come any more. */
static bool read_bytes(struct line_terminal *terminal) {
  size_t size;
  unsigned char *room = line_keys_room(&terminal->keys, &size);
  ssize_t count = read(terminal->input, room, size);
  if (count > 0) line_keys_add(&terminal->keys, (size_t)count);
  return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

/* False: the line has ended. */
static bool wait_for_bytes(struct line_terminal *terminal) {
  int milliseconds = line_keys_is_partial(&terminal->keys) ? SEQUENCE_MILLISECONDS : -1;
  switch (terminal->host.wait(terminal->host.argument, milliseconds)) {
    case LINE_WAIT_INPUT:
      return read_bytes(terminal);
    case LINE_WAIT_LATE:
      terminal->is_late = true;
      return true;
    case LINE_WAIT_RESIZED:
      on_resized(terminal);
      return true;
    case LINE_WAIT_CONTINUED:
      on_continued(terminal);
      return true;
    default:
      terminal->was_abandoned = true;
      return false;
  }
}

/* As libedit asks for it: 1, or 0 for the end. */
static int next_key(EditLine *editor, wchar_t *character) {
  struct line_terminal *terminal = terminal_of(editor);
  struct line_key key;
  fflush(terminal->screen.output);
  while (true) {
    if (line_keys_next(&terminal->keys, terminal->is_late, &key)) {
      terminal->is_late = false;
      if (is_refused(terminal, &key)) continue;
      *character = key.character;
      return 1;
    }
    if (!wait_for_bytes(terminal)) return 0;
  }
}

/* --- functions bound to keys -------------------------------------------------------------- */

/* The keys put a move to the end before it. */
static unsigned char on_interrupt(EditLine *editor, wint_t key) {
  (void)key;
  struct line_terminal *terminal = terminal_of(editor);
  fputs("^C\n", terminal->screen.output);
  terminal->was_interrupted = true;
  return CC_EOF;
}

static unsigned char on_search(EditLine *editor, wint_t key) {
  (void)key;
  struct line_terminal *terminal = terminal_of(editor);
  return line_search_run(&terminal->screen, terminal->history);
}

/* Whether the words were ambiguous at the TAB before, with the same text. */
static bool was_listed(struct line_terminal *terminal, const wchar_t *text, size_t count) {
  return terminal->listed != NULL && wcslen(terminal->listed) == count &&
         wmemcmp(terminal->listed, text, count) == 0;
}

static void remember_listed(struct line_terminal *terminal, const wchar_t *text, size_t count) {
  free(terminal->listed);
  terminal->listed = calloc(count + 1, sizeof *text);
  if (terminal->listed != NULL) wmemcpy(terminal->listed, text, count);
}

static unsigned char list_words(struct line_terminal *terminal, const struct line_offer *offer) {
  fputc('\n', terminal->screen.output);
  line_offer_list(offer, line_screen_width(&terminal->screen), terminal->screen.output);
  el_wset(terminal->screen.editor, EL_REFRESH);
  return CC_NORM;
}

/* What all words begin with is put in the place of what stands there already, when it begins so. */
static unsigned char use_offer(struct line_terminal *terminal, const struct line_offer *offer) {
  const LineInfoW *line = el_wline(terminal->screen.editor);
  size_t before = (size_t)(line->cursor - line->buffer);
  size_t from = line_text_characters(line->buffer, before, offer->from);
  size_t typed = before - from, common = line_offer_common(offer);
  wchar_t inserted[LINE_WORD_BYTES_MAX + 1];
  if (offer->count == 0) return CC_ERROR;
  bool is_prefix = typed <= common && wmemcmp(line->buffer + from, offer->words[0], typed) == 0;
  if (offer->count > 1 && (!is_prefix || typed == common)) {
    if (was_listed(terminal, line->buffer, before)) return list_words(terminal, offer);
    remember_listed(terminal, line->buffer, before);
    return CC_ERROR;
  }
  wmemcpy(inserted, offer->words[0], common);
  inserted[common] = L'\0';
  el_wdeletestr(terminal->screen.editor, (int)typed);
  return el_winsertstr(terminal->screen.editor, inserted) == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char on_complete(EditLine *editor, wint_t key) {
  (void)key;
  struct line_terminal *terminal = terminal_of(editor);
  const LineInfoW *line = el_wline(editor);
  size_t count = (size_t)(line->lastchar - line->buffer), length;
  size_t at = line_text_bytes(line->buffer, (size_t)(line->cursor - line->buffer));
  if (is_full(terminal)) return CC_ERROR;
  char *text = line_text_narrow(line->buffer, count, &length);
  if (text == NULL) return CC_ERROR;
  struct line_offer offer = {0};
  terminal->host.complete(terminal->host.argument, text, length, at, &offer);
  unsigned char result = use_offer(terminal, &offer);
  line_offer_clear(&offer);
  return result;
}

static wchar_t *prompt_of(EditLine *editor) {
  return terminal_of(editor)->screen.prompt;
}

/* --- opening and closing ------------------------------------------------------------------ */

int line_terminal_is_usable(int input, int output) {
  const char *name = getenv("TERM");
  bool is_known = name != NULL && *name != '\0' && strcmp(name, "dumb") != 0;
  return is_known && strcmp(name, "emacs") != 0 && isatty(input) && isatty(output);
}

static void bind_keys(EditLine *editor) {
  el_wset(editor, EL_EDITOR, L"emacs");
  el_wset(editor, EL_ADDFN, L"tidegate-complete", L"complete the word", on_complete);
  el_wset(editor, EL_ADDFN, L"tidegate-interrupt", L"drop the line", on_interrupt);
  el_wset(editor, EL_ADDFN, L"tidegate-search", L"search what was typed", on_search);
  el_wset(editor, EL_BIND, L"^I", L"tidegate-complete", NULL);
  el_wset(editor, EL_BIND, L"^C", L"tidegate-interrupt", NULL);
  el_wset(editor, EL_BIND, L"^R", L"tidegate-search", NULL);
  el_wset(editor, EL_BIND, L"^W", L"ed-delete-prev-word", NULL);
  el_wset(editor, EL_BIND, L"^U", L"vi-kill-line-prev", NULL);
  for (size_t i = 0; line_keys_binding(i) != NULL; i++) {
    const struct line_key_binding *binding = line_keys_binding(i);
    el_wset(editor, EL_BIND, binding->sequence, binding->function, NULL);
  }
}

/* While a line is edited every key is a character. In between nothing that is typed is shown or
 * cut to lines, as the next read takes it; a stop by Ctrl-Z would leave that to the shell. */
static void set_modes(EditLine *editor) {
  el_wset(editor, EL_SETTY, L"-d", L"-isig", L"-ixon", L"-iexten", L"-icrnl", L"-inlcr", NULL);
  el_wset(editor, EL_SETTY, L"-x", L"-icanon", L"-echo", L"-ixon", L"-iexten", L"-icrnl", L"susp=",
          L"quit=", NULL);
}

/* Widths of characters are a matter of the locale; no other thread's is touched. */
static void enter_locale(struct line_terminal *terminal) {
  terminal->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (terminal->locale == (locale_t)0) terminal->locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
  if (terminal->locale != (locale_t)0) terminal->locale_before = uselocale(terminal->locale);
}

static int open_editor(struct line_terminal *terminal, int output) {
  int copy = dup(output);
  terminal->screen.output = copy < 0 ? NULL : fdopen(copy, "w");
  if (terminal->screen.output == NULL && copy >= 0) close(copy);
  if (terminal->screen.output == NULL) return -1;
  terminal->screen.editor = el_init_fd("tidegate", stdin, terminal->screen.output,
                                       terminal->screen.output, terminal->input, copy, copy);
  return terminal->screen.editor == NULL ? -1 : 0;
}

static void prepare(struct line_terminal *terminal) {
  EditLine *editor = terminal->screen.editor;
  el_wset(editor, EL_CLIENTDATA, terminal);
  el_wset(editor, EL_SIGNAL, 0);
  el_wset(editor, EL_PROMPT, prompt_of);
  el_wset(editor, EL_GETCFN, next_key);
  bind_keys(editor);
  set_modes(editor);
}

struct line_terminal *line_terminal_open(int input, int output, const char *history,
                                         const struct line_host *host, struct err *err) {
  struct line_terminal *terminal = calloc(1, sizeof *terminal);
  if (terminal == NULL) {
    err_set(err, "out_of_memory", "no memory to edit lines");
    return NULL;
  }
  if (terminal_guard_arm(input) != 0) {
    err_set(err, errno == EBUSY ? "in_use" : "io", "cannot edit lines at the terminal: %s",
            errno == EBUSY ? "another editor is open" : strerror(errno));
    free(terminal);
    return NULL;
  }
  terminal->host = *host;
  terminal->input = input;
  enter_locale(terminal);
  terminal->history = line_history_new(history);
  if (terminal->history == NULL || open_editor(terminal, output) != 0) {
    err_set(err, "io", "cannot edit lines at the terminal: %s", strerror(errno));
    line_terminal_close(terminal);
    return NULL;
  }
  prepare(terminal);
  el_wset(terminal->screen.editor, EL_HIST, history_w, line_history_list(terminal->history));
  return terminal;
}

void line_terminal_close(struct line_terminal *terminal) {
  if (terminal->screen.editor != NULL) el_end(terminal->screen.editor);
  if (terminal->screen.output != NULL) fclose(terminal->screen.output);
  line_history_free(terminal->history);
  terminal_guard_disarm();
  if (terminal->locale != (locale_t)0) {
    uselocale(terminal->locale_before);
    freelocale(terminal->locale);
  }
  free(terminal->listed);
  free(terminal);
}

void line_terminal_forget(struct line_terminal *terminal) {
  line_keys_forget(&terminal->keys);
}

/* --- reading ------------------------------------------------------------------------------ */

static void set_prompt(struct line_terminal *terminal, const char *prompt) {
  wchar_t *wide = line_text_widen(prompt, strlen(prompt), NULL);
  if (wide != NULL) line_screen_set_prompt(&terminal->screen, wide);
  free(wide);
}

static void say_complaint(struct line_terminal *terminal) {
  const char *complaint = line_history_complaint(terminal->history);
  if (complaint != NULL) fprintf(terminal->screen.output, "%s\n", complaint);
}

static enum line_event_kind take_line(struct line_terminal *terminal, const wchar_t *line,
                                      size_t count, char **text, size_t *length) {
  if (count > 0 && line[count - 1] == L'\n') count--;
  if (terminal->was_cut || line_text_bytes(line, count) > LINE_BYTES_MAX) return LINE_TOO_LONG;
  *text = line_text_narrow(line, count, length);
  if (*text == NULL) return LINE_TOO_LONG;
  line_history_add(terminal->history, line, count);
  return LINE_TEXT;
}

enum line_event_kind line_terminal_read(struct line_terminal *terminal, const char *prompt,
                                        char **text, size_t *length) {
  int count = 0;
  terminal->is_late = terminal->was_cut = false;
  terminal->was_interrupted = terminal->was_abandoned = false;
  free(terminal->listed);
  terminal->listed = NULL;
  set_prompt(terminal, prompt);
  say_complaint(terminal);
  fputs(MARK_PASTES, terminal->screen.output);
  const wchar_t *line = el_wgets(terminal->screen.editor, &count);
  enum line_event_kind kind = LINE_END;
  if (terminal->was_interrupted)
    kind = LINE_INTERRUPT;
  else if (terminal->was_abandoned)
    kind = LINE_NONE;
  else if (line != NULL && count > 0)
    kind = take_line(terminal, line, (size_t)count, text, length);
  if (kind == LINE_END || kind == LINE_NONE) fputc('\n', terminal->screen.output);
  fputs(MARK_NO_PASTES, terminal->screen.output);
  fflush(terminal->screen.output);
  return kind;
}
