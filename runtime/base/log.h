/* The log: lines handed to a thread that writes them, so that no worker ever waits for a
 * pipe or a disk.
 *
 * At most LOG_QUEUE_BYTES wait; beyond that, lines are dropped and counted, and the count is
 * itself written as a line when there is room again. A pipe whose reader is gone ends the
 * writing, not the process; a disk that is full loses the lines of that time. Thread-safe. */
#ifndef TIDEGATE_BASE_LOG_H
#define TIDEGATE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_QUEUE_BYTES (4 * 1024 * 1024)
#define LOG_LINE_MAX (256 * 1024)

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

struct log;

/* Starts the thread, which writes to `descriptor` (not owned). NULL without memory. */
struct log *log_new(int descriptor);
/* Writes what is queued, for at most `wait_ms`, and ends the thread. When the descriptor
 * blocks for longer, the thread and its memory are left to the end of the process. */
void log_free(struct log *log, unsigned wait_ms);

/* From the next line on it writes to this descriptor, which it owns. */
void log_redirect(struct log *log, int descriptor);

/* Queues a line; the newline is added. False: dropped and counted. */
bool log_write(struct log *log, const char *line, size_t length);
uint64_t log_dropped(struct log *log);

void log_set_level(struct log *log, enum log_level level);
bool log_is_enabled(struct log *log, enum log_level level);

#endif
