#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"

#define FREE_WAIT_MS 5000
#define SECOND_NS 1000000000u

/* A file without a name, read back as a whole. */
static int new_file(void) {
  char name[] = "/tmp/tidegate-log-XXXXXX";
  int descriptor = mkstemp(name);
  assert_true(descriptor >= 0);
  unlink(name);
  return descriptor;
}

static char *read_file(int descriptor) {
  struct stat status;
  assert_int_equal(fstat(descriptor, &status), 0);
  char *text = calloc(1, (size_t)status.st_size + 1);
  assert_int_equal(pread(descriptor, text, (size_t)status.st_size, 0), status.st_size);
  return text;
}

static void lines_come_out_in_order_when_it_is_freed(void **state) {
  (void)state;
  int descriptor = new_file();
  struct log *log = log_new(descriptor);
  assert_true(log_write(log, "one", 3));
  assert_true(log_write(log, "two", 3));
  assert_true(log_write(log, "", 0));
  log_free(log, FREE_WAIT_MS);
  char *text = read_file(descriptor);
  assert_string_equal(text, "one\ntwo\n\n");
  free(text);
  close(descriptor);
}

static void levels_below_the_set_one_are_off(void **state) {
  (void)state;
  int descriptor = new_file();
  struct log *log = log_new(descriptor);
  assert_false(log_is_enabled(log, LOG_LEVEL_DEBUG));
  assert_true(log_is_enabled(log, LOG_LEVEL_INFO));
  log_set_level(log, LOG_LEVEL_ERROR);
  assert_false(log_is_enabled(log, LOG_LEVEL_WARN));
  assert_true(log_is_enabled(log, LOG_LEVEL_ERROR));
  log_free(log, FREE_WAIT_MS);
  close(descriptor);
}

/* Fills the queue behind a pipe that nobody reads; returns how many lines were taken. */
static size_t fill(struct log *log) {
  static char line[10000];
  size_t taken = 0;
  memset(line, 'x', sizeof line);
  for (int index = 0; index < 2000; index++)
    if (log_write(log, line, sizeof line)) taken++;
  return taken;
}

static void a_reader_that_stands_still_blocks_no_writer_and_no_end(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  struct log *log = log_new(ends[1]);
  uint64_t started = clock_real_monotonic_ns();
  size_t taken = fill(log);
  assert_true(clock_real_monotonic_ns() - started < 2 * (uint64_t)SECOND_NS);
  assert_true(taken < 1000);
  assert_true(log_dropped(log) == 2000 - taken);
  started = clock_real_monotonic_ns();
  log_free(log, 100);
  assert_true(clock_real_monotonic_ns() - started < 2 * (uint64_t)SECOND_NS);
  close(ends[0]);
  close(ends[1]);
}

static void *read_all(void *argument) {
  int descriptor = *(int *)argument;
  struct buf *text = malloc(sizeof *text);
  char part[65536];
  ssize_t count;
  buf_init(text, (size_t)64 << 20);
  while ((count = read(descriptor, part, sizeof part)) > 0)
    if (buf_append(text, part, (size_t)count) != 0) break;
  if (buf_append(text, "", 1) != 0) buf_clear(text);
  return text;
}

static void drops_are_told_once_there_is_room_again(void **state) {
  (void)state;
  int ends[2];
  pthread_t reader;
  void *result;
  assert_int_equal(pipe(ends), 0);
  struct log *log = log_new(ends[1]);
  size_t taken = fill(log);
  pthread_create(&reader, NULL, read_all, &ends[0]);
  log_free(log, FREE_WAIT_MS);
  close(ends[1]);
  pthread_join(reader, &result);
  struct buf *text = result;
  char expected[64];
  snprintf(expected, sizeof expected, "\"log lines were dropped\",\"count\":%zu}", 2000 - taken);
  assert_non_null(strstr(text->data, expected));
  assert_non_null(strstr(text->data, "{\"time\":\"2"));
  buf_deinit(text);
  free(text);
  close(ends[0]);
}

static void a_reader_that_is_gone_ends_the_writing_and_not_the_process(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  struct log *log = log_new(ends[1]);
  close(ends[0]);
  for (int index = 0; index < 100; index++) log_write(log, "line", 4);
  log_free(log, FREE_WAIT_MS);
  close(ends[1]);
}

static void lines_for_nobody_are_counted(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  struct log *log = log_new(ends[1]);
  close(ends[0]);
  log_write(log, "line", 4);
  uint64_t until = clock_real_monotonic_ns() + 10 * (uint64_t)SECOND_NS;
  while (log_dropped(log) == 0 && clock_real_monotonic_ns() < until) usleep(1000);
  assert_int_equal(log_dropped(log), 1);
  assert_false(log_write(log, "line", 4));
  assert_int_equal(log_dropped(log), 2);
  log_free(log, FREE_WAIT_MS);
  close(ends[1]);
}

static void a_full_disk_loses_lines_and_then_goes_on(void **state) {
  (void)state;
  struct rlimit limit, full;
  int descriptor = new_file();
  getrlimit(RLIMIT_FSIZE, &limit);
  full = (struct rlimit){.rlim_cur = 6, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  struct log *log = log_new(descriptor);
  assert_true(log_write(log, "one", 3));
  assert_true(log_write(log, "two", 3));
  uint64_t until = clock_real_monotonic_ns() + 10 * (uint64_t)SECOND_NS;
  while (log_dropped(log) == 0 && clock_real_monotonic_ns() < until) usleep(1000);
  setrlimit(RLIMIT_FSIZE, &limit);
  assert_true(log_write(log, "three", 5));
  log_free(log, FREE_WAIT_MS);
  char *text = read_file(descriptor);
  assert_non_null(strstr(text, "\nthree\n"));
  assert_memory_equal(text, "one\n", 4);
  assert_non_null(strstr(text, "log lines were dropped"));
  free(text);
  close(descriptor);
}

static void a_line_beyond_the_bound_is_dropped(void **state) {
  (void)state;
  int descriptor = new_file();
  struct log *log = log_new(descriptor);
  char *line = calloc(1, LOG_LINE_MAX + 1);
  assert_true(log_write(log, line, LOG_LINE_MAX));
  assert_false(log_write(log, line, LOG_LINE_MAX + 1));
  assert_int_equal(log_dropped(log), 1);
  free(line);
  log_free(log, FREE_WAIT_MS);
  close(descriptor);
}

#define THREADS 4
#define LINES 2000

static void *write_lines(void *argument) {
  for (int index = 0; index < LINES; index++) log_write(argument, "0123456789", 10);
  return NULL;
}

static void lines_of_many_threads_do_not_mix(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  int descriptor = new_file();
  struct log *log = log_new(descriptor);
  for (int index = 0; index < THREADS; index++)
    pthread_create(&threads[index], NULL, write_lines, log);
  for (int index = 0; index < THREADS; index++) pthread_join(threads[index], NULL);
  assert_int_equal(log_dropped(log), 0);
  log_free(log, FREE_WAIT_MS);
  char *text = read_file(descriptor);
  assert_int_equal(strlen(text), THREADS * LINES * 11);
  for (size_t at = 0; at < strlen(text); at += 11 * 997)
    assert_memory_equal(text + at, "0123456789\n", 11);
  free(text);
  close(descriptor);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_come_out_in_order_when_it_is_freed),
      cmocka_unit_test(levels_below_the_set_one_are_off),
      cmocka_unit_test(a_reader_that_stands_still_blocks_no_writer_and_no_end),
      cmocka_unit_test(drops_are_told_once_there_is_room_again),
      cmocka_unit_test(a_reader_that_is_gone_ends_the_writing_and_not_the_process),
      cmocka_unit_test(lines_for_nobody_are_counted),
      cmocka_unit_test(a_full_disk_loses_lines_and_then_goes_on),
      cmocka_unit_test(a_line_beyond_the_bound_is_dropped),
      cmocka_unit_test(lines_of_many_threads_do_not_mix),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
