/* The lines that were typed before: in memory, and in a file (one line each, UTF-8, 0600).
 *
 * Several processes may use the file at once: each appends its lines, under a lock. What does not
 * work is said once and then left. A line that begins with a space, or is the one before it again,
 * is not kept. One thread, which may block. */
#ifndef TIDEGATE_IO_LINE_HISTORY_H
#define TIDEGATE_IO_LINE_HISTORY_H

#include <stddef.h>
#include <wchar.h>

#define LINE_HISTORY_ENTRIES 1000
#define LINE_HISTORY_COMPLAINT_MAX 256

struct line_history;

/* Reads the file, if there is one. `path` NULL: in memory only. NULL without memory. */
struct line_history *line_history_new(const char *path);
void line_history_free(struct line_history *history);
/* The entries, as libedit (histedit.h) knows them. */
struct historyW *line_history_list(struct line_history *history);
/* The n-th newest, 1 the last one; NULL: there are not so many. */
const wchar_t *line_history_entry(struct line_history *history, size_t number);
void line_history_add(struct line_history *history, const wchar_t *line, size_t count);
/* Why the file is not used, once; NULL: nothing new. */
const char *line_history_complaint(struct line_history *history);

#endif
