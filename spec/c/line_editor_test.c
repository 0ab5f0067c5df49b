/* Lines typed at a pseudo-terminal, while the loop goes on. */
#include "io/line_editor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
/* After what it needs. */
#include <cmocka.h>

#define WAIT_MS 5000
#define SCREEN_MAX ((size_t)64 * 1024)

struct rig {
  uv_loop_t loop;
  uv_timer_t timer;
  bool is_late;
  int master, slave;
  struct termios modes; /* before */
  struct line_editor *editor;
  char screen[SCREEN_MAX + 1]; /* what the editor wrote */
  size_t screen_length;
};

static void on_late(uv_timer_t *timer) {
  ((struct rig *)timer->data)->is_late = true;
}

static void open_editor(struct rig *rig) {
  struct err err;
  struct line_editor_options options = {rig->slave, rig->slave, NULL};
  rig->editor = line_editor_new(&rig->loop, &options, &err);
  assert_non_null(rig->editor);
}

static int open_rig(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  const struct winsize size = {.ws_row = 24, .ws_col = 80};
  if (rig == NULL || openpty(&rig->master, &rig->slave, NULL, NULL, &size) != 0) return -1;
  fcntl(rig->master, F_SETFL, O_NONBLOCK);
  tcgetattr(rig->slave, &rig->modes);
  setenv("TERM", "xterm", 1);
  uv_loop_init(&rig->loop);
  uv_timer_init(&rig->loop, &rig->timer);
  rig->timer.data = rig;
  open_editor(rig);
  *state = rig;
  return 0;
}

/* Keeps the terminal's output going, as nothing may wait for it. */
static void drain(struct rig *rig) {
  char bytes[4096];
  for (ssize_t count; (count = read(rig->master, bytes, sizeof bytes)) > 0;) {
    size_t room = SCREEN_MAX - rig->screen_length;
    size_t kept = (size_t)count < room ? (size_t)count : room;
    memcpy(rig->screen + rig->screen_length, bytes, kept);
    rig->screen_length += kept;
    rig->screen[rig->screen_length] = '\0';
  }
}

static void turn(struct rig *rig) {
  uv_run(&rig->loop, UV_RUN_NOWAIT);
  drain(rig);
  poll(NULL, 0, 1);
}

static void begin_wait(struct rig *rig) {
  rig->is_late = false;
  uv_update_time(&rig->loop);
  uv_timer_start(&rig->timer, on_late, WAIT_MS, 0);
}

static bool same_modes(const struct rig *rig) {
  struct termios modes;
  tcgetattr(rig->slave, &modes);
  return modes.c_lflag == rig->modes.c_lflag && modes.c_iflag == rig->modes.c_iflag &&
         modes.c_oflag == rig->modes.c_oflag;
}

static void close_editor(struct rig *rig) {
  line_editor_close(rig->editor);
  rig->editor = NULL;
  begin_wait(rig);
  while (!rig->is_late && !same_modes(rig)) turn(rig);
  assert_true(same_modes(rig));
  uv_timer_stop(&rig->timer);
}

static int close_rig(void **state) {
  struct rig *rig = *state;
  if (rig->editor != NULL) close_editor(rig);
  uv_close((uv_handle_t *)&rig->timer, NULL);
  int status = UV_EBUSY;
  for (int i = 0; i < WAIT_MS && status == UV_EBUSY; i++) {
    turn(rig);
    status = uv_loop_close(&rig->loop);
  }
  close(rig->master);
  close(rig->slave);
  free(rig);
  return status;
}

static void type_bytes(struct rig *rig, const char *bytes, size_t length) {
  begin_wait(rig);
  while (length > 0 && !rig->is_late) {
    ssize_t count = write(rig->master, bytes, length < 1024 ? length : 1024);
    if (count > 0) {
      bytes += count;
      length -= (size_t)count;
    }
    turn(rig);
  }
  assert_int_equal(length, 0);
}

static void type_text(struct rig *rig, const char *text) {
  type_bytes(rig, text, strlen(text));
}

/* The next event; its text is the caller's to free. */
static struct line_event next_event(struct rig *rig) {
  struct line_event event = {0};
  begin_wait(rig);
  while (!line_editor_take(rig->editor, &event) && !rig->is_late) turn(rig);
  assert_false(rig->is_late);
  return event;
}

static void gives_line(struct rig *rig, const char *text) {
  struct line_event event = next_event(rig);
  assert_int_equal(event.kind, LINE_TEXT);
  assert_string_equal(event.text, text);
  free(event.text);
}

static void wait_for_screen(struct rig *rig, const char *text) {
  begin_wait(rig);
  while (strstr(rig->screen, text) == NULL && !rig->is_late) turn(rig);
  assert_non_null(strstr(rig->screen, text));
}

static void reads_one_line_after_the_other(void **state) {
  struct rig *rig = *state;
  assert_true(line_editor_is_editing(rig->editor));
  line_editor_read(rig->editor, "tide> ");
  wait_for_screen(rig, "tide> ");
  type_text(rig, "one\rtwo\r");
  gives_line(rig, "one");
  line_editor_read(rig->editor, "tide> ");
  gives_line(rig, "two");
}

static void keeps_what_is_typed_between_two_reads(void **state) {
  struct rig *rig = *state;
  type_text(rig, "early\r");
  line_editor_read(rig->editor, "");
  gives_line(rig, "early");
}

static void forgets_what_is_typed_ahead_when_told(void **state) {
  struct rig *rig = *state;
  line_editor_read(rig->editor, "");
  type_text(rig, "one\rtwo\r");
  gives_line(rig, "one");
  line_editor_forget(rig->editor);
  line_editor_read(rig->editor, "");
  wait_for_screen(rig, "one");
  type_text(rig, "three\r");
  gives_line(rig, "three");
}

static void drops_a_line_that_is_cancelled(void **state) {
  struct rig *rig = *state;
  struct line_event event;
  line_editor_read(rig->editor, "a> ");
  wait_for_screen(rig, "a> ");
  type_text(rig, "half");
  wait_for_screen(rig, "half");
  line_editor_cancel(rig->editor);
  line_editor_read(rig->editor, "b> ");
  wait_for_screen(rig, "b> ");
  assert_false(line_editor_take(rig->editor, &event));
  type_text(rig, "whole\r");
  gives_line(rig, "whole");
}

static void tells_of_interrupts_and_of_the_end(void **state) {
  struct rig *rig = *state;
  line_editor_read(rig->editor, "tide> ");
  wait_for_screen(rig, "tide> ");
  type_text(rig, "dropped\003");
  assert_int_equal(next_event(rig).kind, LINE_INTERRUPT);
  line_editor_read(rig->editor, "");
  type_text(rig, "\004");
  assert_int_equal(next_event(rig).kind, LINE_END);
}

static void offer_words(struct rig *rig, size_t from, const char *const words[]) {
  struct line_offer offer = {.from = from};
  for (size_t i = 0; words[i] != NULL; i++)
    assert_int_equal(line_offer_add(&offer, words[i], strlen(words[i])), 0);
  line_editor_offer(rig->editor, &offer);
  assert_int_equal(offer.count, 0);
}

static void completes_with_what_is_offered(void **state) {
  struct rig *rig = *state;
  line_editor_read(rig->editor, "");
  type_text(rig, "\xed\x95\x9c al\t");
  struct line_event event = next_event(rig);
  assert_int_equal(event.kind, LINE_COMPLETE);
  assert_string_equal(event.text, "\xed\x95\x9c al");
  assert_int_equal(event.at, 6);
  free(event.text);
  offer_words(rig, 4, (const char *const[]){"alpha", "alphabet", NULL});
  type_text(rig, "!\r");
  gives_line(rig, "\xed\x95\x9c alpha!");
}

static void goes_on_when_nothing_is_offered(void **state) {
  struct rig *rig = *state;
  line_editor_read(rig->editor, "");
  type_text(rig, "al\t");
  struct line_event event = next_event(rig);
  assert_int_equal(event.kind, LINE_COMPLETE);
  free(event.text);
  type_text(rig, "so\r");
  gives_line(rig, "also");
  offer_words(rig, 0, (const char *const[]){"late", NULL});
  line_editor_read(rig->editor, "");
  type_text(rig, "x\t");
  event = next_event(rig);
  free(event.text);
  offer_words(rig, 0, (const char *const[]){"xylophone", NULL});
  type_text(rig, "\r");
  gives_line(rig, "xylophone");
}

static void is_closed_in_the_middle_of_anything(void **state) {
  struct rig *rig = *state;
  static const char *const typed[] = {"", "half", "x\t", "\022fir", "\026", "\033", "\033[200~a"};
  for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
    line_editor_read(rig->editor, "tide> ");
    type_text(rig, typed[i]);
    close_editor(rig);
    while (uv_loop_alive(&rig->loop)) turn(rig);
    open_editor(rig);
  }
  close_editor(rig);
}

static void is_one_of_a_kind(void **state) {
  struct rig *rig = *state;
  struct line_editor *first = rig->editor;
  line_editor_read(rig->editor, "tide> ");
  wait_for_screen(rig, "tide> ");
  open_editor(rig);
  wait_for_screen(rig, "another editor is open");
  line_editor_close(rig->editor);
  rig->editor = first;
}

static void ends_with_the_terminal(void **state) {
  struct rig *rig = *state;
  line_editor_read(rig->editor, "tide> ");
  wait_for_screen(rig, "tide> ");
  close(rig->master);
  rig->master = open("/dev/null", O_RDONLY);
  assert_int_equal(next_event(rig).kind, LINE_END);
  line_editor_close(rig->editor);
  rig->editor = NULL;
}

static void refuses_what_is_too_long(void **state) {
  struct rig *rig = *state;
  char *long_text = malloc(LINE_BYTES_MAX + 2);
  memset(long_text, 'x', LINE_BYTES_MAX + 1);
  line_editor_read(rig->editor, "");
  type_bytes(rig, long_text, LINE_BYTES_MAX + 1);
  type_text(rig, "\r");
  assert_int_equal(next_event(rig).kind, LINE_TOO_LONG);
  line_editor_read(rig->editor, "");
  type_bytes(rig, long_text, LINE_BYTES_MAX);
  type_text(rig, "\r");
  struct line_event event = next_event(rig);
  assert_int_equal(event.kind, LINE_TEXT);
  assert_int_equal(event.length, LINE_BYTES_MAX);
  free(event.text);
  free(long_text);
}

/* Whatever is typed, lines go on. */
static void lives_through_any_bytes(void **state) {
  struct rig *rig = *state;
  static const char likely[] =
      "abc 12\r\r\t\003\022\026\033[A\033[D\033\x7f\001\005\013\031\027\xed\x95\x9c";
  uint64_t random = 88172645463325252u;
  struct line_event event;
  for (int round = 0; round < 300; round++) {
    char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      bytes[i] =
          random % 4 == 0 ? (char)(random >> 8) : likely[(random >> 8) % (sizeof likely - 1)];
    }
    line_editor_read(rig->editor, "tide> ");
    type_bytes(rig, bytes, sizeof bytes);
    while (line_editor_take(rig->editor, &event)) {
      if (event.kind == LINE_COMPLETE) offer_words(rig, event.at, (const char *const[]){"x", NULL});
      free(event.text);
      line_editor_read(rig->editor, "tide> ");
      turn(rig);
    }
  }
  line_editor_cancel(rig->editor);
  line_editor_forget(rig->editor);
  line_editor_read(rig->editor, "still> ");
  wait_for_screen(rig, "tide> ");
}

#define AT_TERMINAL(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void) {
  const struct CMUnitTest tests[] = {
      AT_TERMINAL(reads_one_line_after_the_other),
      AT_TERMINAL(keeps_what_is_typed_between_two_reads),
      AT_TERMINAL(forgets_what_is_typed_ahead_when_told),
      AT_TERMINAL(drops_a_line_that_is_cancelled),
      AT_TERMINAL(tells_of_interrupts_and_of_the_end),
      AT_TERMINAL(completes_with_what_is_offered),
      AT_TERMINAL(goes_on_when_nothing_is_offered),
      AT_TERMINAL(is_closed_in_the_middle_of_anything),
      AT_TERMINAL(is_one_of_a_kind),
      AT_TERMINAL(ends_with_the_terminal),
      AT_TERMINAL(refuses_what_is_too_long),
      AT_TERMINAL(lives_through_any_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
