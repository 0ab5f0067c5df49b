/* What the kernel tells of changes in folders: inotify on a loop.
 *
 * Not uv_fs_event: its mask has no IN_CLOSE_WRITE, and it is the close that says that a save is
 * complete. Of the events no list is kept: it is enough to know when something was complete and
 * when something was still being written. From that follows when what was noted has settled:
 * FILE_WATCH_SETTLE_NS after the last complete change, so that many files that are saved together
 * are one change, FILE_WATCH_QUIET_NS after the last sign of a file that stays open, and
 * FILE_WATCH_LONGEST_NS after the first sign however much follows.
 *
 * One loop's thread. */
#ifndef TIDEGATE_IO_FILE_WATCH_H
#define TIDEGATE_IO_FILE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/wake.h"
#include "io/file_survey.h"

#define FILE_WATCH_SETTLE_NS UINT64_C(15000000)
#define FILE_WATCH_QUIET_NS UINT64_C(100000000)
#define FILE_WATCH_LONGEST_NS UINT64_C(500000000)

struct file_watch;

/* The calls into the kernel, for specs, which cannot reach its limits otherwise. Both return -1
 * with errno. */
struct file_watch_system {
  int (*open)(void);
  int (*add)(int descriptor, const char *folder, uint32_t mask);
};

/* Watches nothing yet. `clock` and `system` (NULL: the real one) outlive it. NULL without memory.
 */
struct file_watch *file_watch_new(uv_loop_t *loop, const struct clock *clock,
                                  const struct file_watch_system *system);
/* The memory goes once the loop has run the close callbacks. */
void file_watch_close(struct file_watch *watch);

/* Watches the points of a survey, and no others. 1: a change since the survey may have been missed,
 * as some are watched anew, or are gone; 0: none was; -1 without memory (nothing was changed). */
int file_watch_set(struct file_watch *watch, const struct file_survey *survey);

/* The points, in the survey's order; NULL past the last. */
const struct file_point *file_watch_point(const struct file_watch *watch, size_t index);
/* Why a point is not watched, in words; NULL: it is. */
const char *file_watch_refusal(const struct file_watch *watch, size_t index);

/* Calls wake(argument) when something was noted, and when the watch is closed; NULL: nobody. */
void file_watch_listen(struct file_watch *watch, wake_fn wake, void *argument);
/* Notes what the kernel has to tell by now, without waiting for the loop. */
void file_watch_read(struct file_watch *watch);
/* Notes a change that was found by other means, and may go on. */
void file_watch_note(struct file_watch *watch);
bool file_watch_is_noted(const struct file_watch *watch);
/* When what was noted has settled, by the clock; UINT64_MAX when nothing was noted. */
uint64_t file_watch_settles_at(const struct file_watch *watch);
/* Forgets what was noted. */
void file_watch_forget(struct file_watch *watch);

#endif
