/* The lines typed before, in memory and in a file that several processes use. */
#include "io/line_history.h"

#include <fcntl.h>
#include <histedit.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* After what it needs. */
#include <cmocka.h>

#define PATH_LENGTH 256

struct place {
  char folder[64];
  char path[PATH_LENGTH];
};

static int open_place(void **state) {
  struct place *place = calloc(1, sizeof *place);
  if (place == NULL) return -1;
  snprintf(place->folder, sizeof place->folder, "/tmp/line_history.XXXXXX");
  if (mkdtemp(place->folder) == NULL) return -1;
  snprintf(place->path, sizeof place->path, "%s/history", place->folder);
  *state = place;
  return 0;
}

static int close_place(void **state) {
  struct place *place = *state;
  unlink(place->path);
  int status = rmdir(place->folder); /* fails when a temporary file was left */
  free(place);
  return status;
}

static void add(struct line_history *history, const wchar_t *line) {
  line_history_add(history, line, wcslen(line));
}

/* The newest first. */
static size_t list(struct line_history *history, const wchar_t **first) {
  HistEventW event;
  size_t count = 0;
  HistoryW *entries = line_history_list(history);
  for (int status = history_w(entries, &event, H_FIRST); status == 0;
       status = history_w(entries, &event, H_NEXT)) {
    if (count++ == 0 && first != NULL) *first = event.str;
  }
  return count;
}

static size_t read_text(const char *path, char *text, size_t size) {
  int descriptor = open(path, O_RDONLY);
  assert_true(descriptor >= 0);
  ssize_t count = read(descriptor, text, size - 1);
  close(descriptor);
  assert_true(count >= 0);
  text[count] = '\0';
  return (size_t)count;
}

static size_t count_lines(const char *path) {
  FILE *file = fopen(path, "r");
  size_t lines = 0;
  assert_non_null(file);
  for (int byte; (byte = fgetc(file)) != EOF;) lines += byte == '\n';
  fclose(file);
  return lines;
}

static void keeps_lines_over_a_restart(void **state) {
  const struct place *place = *state;
  const wchar_t *newest = NULL;
  struct stat status;
  struct line_history *history = line_history_new(place->path);
  add(history, L"one");
  add(history, L"\xd55c\xae00");
  line_history_free(history);
  history = line_history_new(place->path);
  assert_int_equal(list(history, &newest), 2);
  assert_true(wcscmp(newest, L"\xd55c\xae00") == 0);
  assert_null(line_history_complaint(history));
  line_history_free(history);
  assert_int_equal(stat(place->path, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0600);
}

static void keeps_no_repetition_and_nothing_behind_a_space(void **state) {
  const struct place *place = *state;
  char text[256];
  struct line_history *history = line_history_new(place->path);
  add(history, L"a");
  add(history, L"a");
  add(history, L" secret");
  add(history, L"");
  add(history, L"two\nlines");
  add(history, L"b");
  add(history, L"a");
  assert_int_equal(list(history, NULL), 3);
  line_history_free(history);
  read_text(place->path, text, sizeof text);
  assert_string_equal(text, "a\nb\na\n");
}

static void *add_many(void *argument) {
  struct line_history *history = line_history_new(argument);
  wchar_t line[32];
  for (int i = 0; i < 200; i++) {
    swprintf(line, sizeof line / sizeof *line, L"%p %d", (void *)history, i);
    add(history, line);
  }
  line_history_free(history);
  return NULL;
}

static void is_appended_to_by_several_at_once(void **state) {
  struct place *place = *state;
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, add_many, place->path), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(count_lines(place->path), 800);
}

static void is_shortened_to_the_newest_thousand(void **state) {
  const struct place *place = *state;
  const wchar_t *newest = NULL;
  FILE *file = fopen(place->path, "w");
  for (int i = 0; i < 5000; i++) fprintf(file, "line %d\n", i);
  fclose(file);
  struct line_history *history = line_history_new(place->path);
  assert_int_equal(list(history, &newest), LINE_HISTORY_ENTRIES);
  assert_true(wcscmp(newest, L"line 4999") == 0);
  assert_int_equal(count_lines(place->path), LINE_HISTORY_ENTRIES);
  add(history, L"after");
  assert_int_equal(list(history, NULL), LINE_HISTORY_ENTRIES);
  assert_int_equal(count_lines(place->path), LINE_HISTORY_ENTRIES + 1);
  line_history_free(history);
}

static void reads_a_damaged_file(void **state) {
  const struct place *place = *state;
  FILE *file = fopen(place->path, "w");
  fwrite("a\n\n\xff\xfe\n\0x\nlast without end", 1, 26, file);
  fclose(file);
  struct line_history *history = line_history_new(place->path);
  assert_true(list(history, NULL) >= 3);
  line_history_free(history);
}

static void says_once_that_it_cannot_write(void **state) {
  (void)state;
  struct line_history *history = line_history_new("/nowhere/at/all");
  const char *complaint = line_history_complaint(history);
  assert_non_null(strstr(complaint, "/nowhere/at/all"));
  assert_null(line_history_complaint(history));
  add(history, L"kept in memory");
  assert_int_equal(list(history, NULL), 1);
  assert_null(line_history_complaint(history));
  line_history_free(history);
}

static void does_not_touch_what_is_no_file(void **state) {
  (void)state;
  struct line_history *history = line_history_new("/dev/null");
  assert_non_null(line_history_complaint(history));
  line_history_free(history);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, open_place, close_place)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_PLACE(keeps_lines_over_a_restart),
      IN_PLACE(keeps_no_repetition_and_nothing_behind_a_space),
      IN_PLACE(is_appended_to_by_several_at_once),
      IN_PLACE(is_shortened_to_the_newest_thousand),
      IN_PLACE(reads_a_damaged_file),
      cmocka_unit_test(says_once_that_it_cannot_write),
      cmocka_unit_test(does_not_touch_what_is_no_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
