#include "io/file_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/hash.h"

#define NOT_WATCHED (-1)
#define READ_BYTES 16384
#define READS_MAX 8 /* a turn of the loop */
#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)
#define MASK_SELF (IN_DELETE_SELF | IN_MOVE_SELF)
#define MASK_INSIDE                                                                          \
  (MASK_SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | \
   IN_CLOSE_WRITE | IN_EXCL_UNLINK)

/* A point, and the kernel's number for it. */
struct watched {
  struct file_point point;
  int number; /* of several points in one folder the same; NOT_WATCHED */
  int error;  /* why not; 0: it is remote */
};

struct watched_list {
  struct watched *items;
  size_t count;
};

struct file_watch {
  uv_poll_t poll;
  uv_loop_t *loop;
  const struct clock *clock;
  const struct file_watch_system *system;
  int descriptor; /* -1: not open */
  struct watched_list list;
  wake_fn wake;
  void *argument;
  bool is_noted;
  uint64_t first_ns;
  uint64_t complete_ns;  /* 0: nothing yet */
  uint64_t writing_ns;   /* 0: nothing that is not complete since */
  uint64_t writing_file; /* which: a hash */
};

static int open_inotify(void) {
  return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

static const struct file_watch_system real_system = {open_inotify, inotify_add_watch};

struct file_watch *file_watch_new(uv_loop_t *loop, const struct clock *clock,
                                  const struct file_watch_system *system) {
  struct file_watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return NULL;
  watch->loop = loop;
  watch->clock = clock;
  watch->system = system == NULL ? &real_system : system;
  watch->descriptor = -1;
  return watch;
}

/* --- what was noted ----------------------------------------------------------------------- */

static uint64_t begin_note(struct file_watch *watch) {
  uint64_t now = clock_monotonic_ns(watch->clock);
  if (!watch->is_noted) watch->first_ns = now;
  watch->is_noted = true;
  return now;
}

/* Another file than the one that is being written may be complete; that one is not by that. */
static void note_complete(struct file_watch *watch, uint64_t file) {
  watch->complete_ns = begin_note(watch);
  if (file == watch->writing_file) watch->writing_ns = 0;
}

static void note_writing(struct file_watch *watch, uint64_t file) {
  watch->writing_ns = begin_note(watch);
  watch->writing_file = file;
}

void file_watch_note(struct file_watch *watch) {
  note_writing(watch, 0);
}

bool file_watch_is_noted(const struct file_watch *watch) {
  return watch->is_noted;
}

uint64_t file_watch_settles_at(const struct file_watch *watch) {
  if (!watch->is_noted) return UINT64_MAX;
  uint64_t settled = watch->complete_ns == 0 ? 0 : watch->complete_ns + FILE_WATCH_SETTLE_NS;
  uint64_t quiet = watch->writing_ns == 0 ? 0 : watch->writing_ns + FILE_WATCH_QUIET_NS;
  uint64_t last = watch->first_ns + FILE_WATCH_LONGEST_NS;
  uint64_t due = settled > quiet ? settled : quiet;
  return due < last ? due : last;
}

void file_watch_forget(struct file_watch *watch) {
  watch->is_noted = false;
  watch->complete_ns = watch->writing_ns = 0;
}

void file_watch_listen(struct file_watch *watch, wake_fn wake, void *argument) {
  watch->wake = wake;
  watch->argument = argument;
}

/* --- events ------------------------------------------------------------------------------- */

static bool concerns(const struct watched *item, const struct inotify_event *event) {
  if (item->number != event->wd) return false;
  if (event->mask & GONE) return true;
  if (item->point.kind == FILE_POINT_SELF) return false;
  if (event->len == 0) return true; /* the folder's own mode */
  if (item->point.kind == FILE_POINT_NAME) return strcmp(item->point.name, event->name) == 0;
  return !file_survey_is_hidden(event->name);
}

static bool is_of_interest(const struct file_watch *watch, const struct inotify_event *event) {
  for (size_t i = 0; i < watch->list.count; i++)
    if (concerns(&watch->list.items[i], event)) return true;
  return false;
}

static uint64_t file_of(const struct inotify_event *event) {
  struct hash_seed seed = {{(uint64_t)event->wd, 1}};
  return event->len == 0 ? 1 : hash_bytes(&seed, event->name, strlen(event->name));
}

/* The kernel watches it no more, whatever it was. */
static void drop(struct file_watch *watch, int number) {
  for (size_t i = 0; i < watch->list.count; i++)
    if (watch->list.items[i].number == number) {
      watch->list.items[i].number = NOT_WATCHED;
      watch->list.items[i].error = ENOENT;
    }
}

/* A file that was created is still empty; a link is complete, but cannot be told from it. */
static bool is_being_written(uint32_t mask) {
  return (mask & IN_MODIFY) || ((mask & IN_CREATE) && !(mask & IN_ISDIR));
}

static void take_event(struct file_watch *watch, const struct inotify_event *event) {
  if (event->mask & IN_Q_OVERFLOW) {
    note_complete(watch, watch->writing_file);
    return;
  }
  if (!is_of_interest(watch, event)) return;
  if (is_being_written(event->mask))
    note_writing(watch, file_of(event));
  else
    note_complete(watch, file_of(event));
  if (event->mask & IN_IGNORED) drop(watch, event->wd);
}

/* False: there is nothing more. */
static bool read_some(struct file_watch *watch) {
  _Alignas(struct inotify_event) char bytes[READ_BYTES];
  ssize_t length = read(watch->descriptor, bytes, sizeof bytes);
  if (length <= 0) return length < 0 && errno == EINTR;
  for (ssize_t at = 0; at < length;) {
    const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
    take_event(watch, event);
    at += (ssize_t)(sizeof *event + event->len);
  }
  return true;
}

void file_watch_read(struct file_watch *watch) {
  if (watch->descriptor < 0) return;
  for (int i = 0; i < READS_MAX; i++)
    if (!read_some(watch)) return;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct file_watch *watch = poll->data;
  (void)status;
  (void)events;
  file_watch_read(watch);
  if (watch->is_noted && watch->wake != NULL) watch->wake(watch->argument);
}

/* --- points ------------------------------------------------------------------------------- */

/* 0, or the error number. A limit that was reached may be raised: each further set tries again. */
static int open_descriptor(struct file_watch *watch) {
  if (watch->descriptor >= 0) return 0;
  int descriptor = watch->system->open();
  if (descriptor < 0) return errno;
  int status = uv_poll_init(watch->loop, &watch->poll, descriptor);
  if (status != 0) {
    close(descriptor);
    return -status;
  }
  watch->poll.data = watch;
  watch->descriptor = descriptor;
  uv_poll_start(&watch->poll, UV_READABLE, on_readable);
  return 0;
}

static void list_free(struct watched_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    free(list->items[i].point.folder);
    free(list->items[i].point.name);
  }
  free(list->items);
}

static int list_copy(struct watched_list *list, const struct file_survey *survey) {
  *list = (struct watched_list){.items = calloc(survey->count + 1, sizeof *list->items)};
  if (list->items == NULL) return -1;
  for (size_t i = 0; i < survey->count; i++) {
    const struct file_point *point = &survey->points[i];
    struct watched *item = &list->items[list->count++];
    item->point = *point;
    item->point.folder = strdup(point->folder);
    item->point.name = point->name == NULL ? NULL : strdup(point->name);
    if (item->point.folder != NULL && (point->name == NULL || item->point.name != NULL)) continue;
    list_free(list);
    return -1;
  }
  return 0;
}

/* IN_MASK_ADD: a folder that is watched already, under this path or another, is not for a moment
 * watched less. */
static void start_watching(struct file_watch *watch, struct watched *item, int open_error) {
  item->number = NOT_WATCHED;
  item->error = item->point.is_remote ? 0 : open_error;
  if (item->point.is_remote || open_error != 0) return;
  uint32_t mask = item->point.kind == FILE_POINT_SELF ? MASK_SELF : MASK_INSIDE;
  int number =
      watch->system->add(watch->descriptor, item->point.folder, mask | IN_MASK_ADD | IN_ONLYDIR);
  if (number < 0)
    item->error = errno;
  else
    item->number = number;
}

static bool is_self(const struct watched *item) {
  return item->point.kind == FILE_POINT_SELF;
}

/* Whether the kernel told of this before, too. */
static bool was_watched(const struct watched_list *before, const struct watched *item) {
  for (size_t i = 0; i < before->count; i++)
    if (before->items[i].number == item->number && (is_self(item) || !is_self(&before->items[i])))
      return true;
  return false;
}

static bool has_number(const struct watched_list *list, int number) {
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].number == number) return true;
  return false;
}

static void stop_watching(struct file_watch *watch, const struct watched_list *before) {
  for (size_t i = 0; i < before->count; i++) {
    int number = before->items[i].number;
    if (number != NOT_WATCHED && !has_number(&watch->list, number))
      inotify_rm_watch(watch->descriptor, number);
  }
}

/* It went after the survey, or became another. */
static bool is_gone(const struct watched *item) {
  return item->number == NOT_WATCHED && (item->error == ENOENT || item->error == ENOTDIR);
}

/* Whether a change of any of this kind may have been missed. */
static bool start_kind(struct file_watch *watch, const struct watched_list *list, bool selves,
                       int open_error) {
  bool is_new = false;
  for (size_t i = 0; i < list->count; i++) {
    struct watched *item = &list->items[i];
    if (is_self(item) != selves) continue;
    start_watching(watch, item, open_error);
    bool is_first = item->number != NOT_WATCHED && !was_watched(&watch->list, item);
    is_new = is_new || is_first || is_gone(item);
  }
  return is_new;
}

int file_watch_set(struct file_watch *watch, const struct file_survey *survey) {
  struct watched_list before = watch->list, list;
  if (list_copy(&list, survey) != 0) return -1;
  int open_error = open_descriptor(watch);
  bool is_new = start_kind(watch, &list, false, open_error); /* first, as room may end */
  is_new = start_kind(watch, &list, true, open_error) || is_new;
  watch->list = list;
  stop_watching(watch, &before);
  list_free(&before);
  return is_new ? 1 : 0;
}

const struct file_point *file_watch_point(const struct file_watch *watch, size_t index) {
  return index < watch->list.count ? &watch->list.items[index].point : NULL;
}

const char *file_watch_refusal(const struct file_watch *watch, size_t index) {
  const struct watched *item = &watch->list.items[index];
  if (item->number != NOT_WATCHED) return NULL;
  switch (item->error) {
    case 0:
      return "changes made on other machines are not told here";
    case ENOSPC:
      return "the limit fs.inotify.max_user_watches is reached; raise it";
    case EMFILE:
      return "the limit fs.inotify.max_user_instances, or that of open files, is reached; raise it";
    default:
      return strerror(item->error);
  }
}

/* --- the end ------------------------------------------------------------------------------ */

static void watch_free(struct file_watch *watch) {
  list_free(&watch->list);
  free(watch);
}

static void on_closed(uv_handle_t *handle) {
  watch_free(handle->data);
}

void file_watch_close(struct file_watch *watch) {
  if (watch->wake != NULL) watch->wake(watch->argument);
  if (watch->descriptor < 0) {
    watch_free(watch);
    return;
  }
  uv_poll_stop(&watch->poll);
  close(watch->descriptor);
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}
