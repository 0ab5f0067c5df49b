#include "io/line_history.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/line_text.h"

/* Of a longer file the end is read. */
#define FILE_BYTES_MAX ((off_t)4 * 1024 * 1024)
/* With so many lines it is written anew, with LINE_HISTORY_ENTRIES. */
#define FILE_LINES_MAX (2 * LINE_HISTORY_ENTRIES)
#define OPEN_TRIES 100
#define OPEN_PAUSE_US 10000

struct line_history {
  HistoryW *list;
  char *path; /* NULL: not, or no longer */
  char complaint[LINE_HISTORY_COMPLAINT_MAX];
  bool has_complaint;
};

static void give_up(struct line_history *history, const char *what, int error) {
  snprintf(history->complaint, sizeof history->complaint, "the history is not kept: %s %s: %s",
           what, history->path, strerror(error));
  history->has_complaint = true;
  free(history->path);
  history->path = NULL;
}

const char *line_history_complaint(struct line_history *history) {
  if (!history->has_complaint) return NULL;
  history->has_complaint = false;
  return history->complaint;
}

struct historyW *line_history_list(struct line_history *history) {
  return history->list;
}

/* --- the file ----------------------------------------------------------------------------- */

static bool is_still_at(const char *path, int descriptor) {
  struct stat there, open_one;
  return stat(path, &there) == 0 && fstat(descriptor, &open_one) == 0 &&
         there.st_dev == open_one.st_dev && there.st_ino == open_one.st_ino;
}

/* Opens and locks the file that is at the path now: another may have put a shorter one there
 * between the two. -1 with errno. */
static int open_locked(const char *path) {
  for (int i = 0; i < OPEN_TRIES; i++) {
    struct stat status;
    int descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (descriptor < 0) return -1;
    bool is_file = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    if (is_file && flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_still_at(path, descriptor))
      return descriptor;
    close(descriptor);
    errno = is_file ? EAGAIN : EINVAL;
    if (!is_file) return -1;
    usleep(OPEN_PAUSE_US);
  }
  return -1;
}

static int write_all(int descriptor, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = write(descriptor, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    bytes += count;
    length -= (size_t)count;
  }
  return 0;
}

/* The file's last bytes, from the beginning of a line on; NULL with errno. */
static char *read_end(int descriptor, size_t *length) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return NULL;
  off_t from = status.st_size > FILE_BYTES_MAX ? status.st_size - FILE_BYTES_MAX : 0;
  size_t size = (size_t)(status.st_size - from);
  char *bytes = malloc(size + 1);
  if (bytes == NULL) return NULL;
  ssize_t count = pread(descriptor, bytes, size, from);
  if (count < 0) {
    free(bytes);
    return NULL;
  }
  const char *first = from > 0 ? memchr(bytes, '\n', (size_t)count) : NULL;
  size_t skipped = first == NULL ? 0 : (size_t)(first + 1 - bytes);
  *length = (size_t)count - skipped;
  memmove(bytes, bytes + skipped, *length);
  return bytes;
}

/* Where the last LINE_HISTORY_ENTRIES lines begin, and how many lines there are. */
static size_t find_last(const char *bytes, size_t length, size_t *lines) {
  size_t start = 0;
  *lines = 0;
  for (size_t at = length; at > 0; at--) {
    if (bytes[at - 1] != '\n') continue;
    if (*lines == LINE_HISTORY_ENTRIES) start = at;
    ++*lines;
  }
  return start;
}

/* Puts a file of the last lines in the place of the one that is locked. */
static int replace(const char *path, const char *bytes, size_t length) {
  size_t size = strlen(path) + sizeof ".XXXXXX";
  char *temporary = malloc(size);
  if (temporary == NULL) return -1;
  snprintf(temporary, size, "%s.XXXXXX", path);
  int descriptor = mkostemp(temporary, O_CLOEXEC), status = -1;
  if (descriptor >= 0) {
    status = write_all(descriptor, bytes, length);
    if (close(descriptor) != 0) status = -1;
    if (status == 0) status = rename(temporary, path);
    if (status != 0) unlink(temporary);
  }
  free(temporary);
  return status;
}

/* --- entries ------------------------------------------------------------------------------ */

static void enter(struct line_history *history, const char *text, size_t length) {
  HistEventW event;
  wchar_t *wide = line_text_widen(text, length, NULL);
  if (wide != NULL && wide[0] != L'\0') history_w(history->list, &event, H_ENTER, wide);
  free(wide);
}

static void enter_lines(struct line_history *history, const char *bytes, size_t length) {
  const char *end = bytes + length;
  while (bytes < end) {
    const char *line_end = memchr(bytes, '\n', (size_t)(end - bytes));
    if (line_end == NULL) line_end = end;
    enter(history, bytes, (size_t)(line_end - bytes));
    bytes = line_end + 1;
  }
}

static void load(struct line_history *history) {
  size_t length, lines;
  int descriptor = open_locked(history->path);
  char *bytes = descriptor < 0 ? NULL : read_end(descriptor, &length);
  if (bytes == NULL) {
    give_up(history, "cannot read", errno);
  } else {
    size_t start = find_last(bytes, length, &lines);
    enter_lines(history, bytes + start, length - start);
    if (lines > FILE_LINES_MAX && replace(history->path, bytes + start, length - start) != 0)
      give_up(history, "cannot shorten", errno);
  }
  free(bytes);
  if (descriptor >= 0) close(descriptor);
}

/* In one write, so that another's line is not torn. */
static int append(const char *path, char *line, size_t length) {
  int descriptor = open_locked(path);
  if (descriptor < 0) return -1;
  line[length] = '\n'; /* in the place of its NUL */
  int status = write_all(descriptor, line, length + 1);
  close(descriptor);
  return status;
}

static bool is_newest(struct line_history *history, const wchar_t *line, size_t count) {
  HistEventW event;
  return history_w(history->list, &event, H_FIRST) == 0 && wcslen(event.str) == count &&
         wmemcmp(event.str, line, count) == 0;
}

const wchar_t *line_history_entry(struct line_history *history, size_t number) {
  HistEventW event;
  int status = history_w(history->list, &event, H_FIRST);
  for (size_t i = 1; i < number && status == 0; i++)
    status = history_w(history->list, &event, H_NEXT);
  return status == 0 ? event.str : NULL;
}

void line_history_add(struct line_history *history, const wchar_t *line, size_t count) {
  size_t length;
  if (count == 0 || line[0] == L' ' || is_newest(history, line, count)) return;
  if (wmemchr(line, L'\n', count) != NULL) return; /* quoted: no line of the file */
  char *narrow = line_text_narrow(line, count, &length);
  if (narrow == NULL) return;
  enter(history, narrow, length);
  if (history->path != NULL && append(history->path, narrow, length) != 0)
    give_up(history, "cannot write", errno);
  free(narrow);
}

struct line_history *line_history_new(const char *path) {
  HistEventW event;
  struct line_history *history = calloc(1, sizeof *history);
  if (history == NULL) return NULL;
  history->list = history_winit();
  history->path = path == NULL ? NULL : strdup(path);
  if (history->list == NULL || (path != NULL && history->path == NULL)) {
    line_history_free(history);
    return NULL;
  }
  history_w(history->list, &event, H_SETSIZE, LINE_HISTORY_ENTRIES);
  history_w(history->list, &event, H_SETUNIQUE, 1);
  if (history->path != NULL) load(history);
  return history;
}

void line_history_free(struct line_history *history) {
  if (history == NULL) return;
  if (history->list != NULL) history_wend(history->list);
  free(history->path);
  free(history);
}
