/* So many at a time: the slots of an integration, and one line of those who wait for one.
 *
 * Thread-safe; knows no time: who waits too long leaves. Waiters are callbacks. */
#ifndef TIDEGATE_STATE_SLOTS_H
#define TIDEGATE_STATE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "state/name_table.h"

#define SLOTS_QUEUE_DEFAULT 1000

struct slots;
struct slot_waiter;

struct slots_state {
  size_t used, max, waiting; /* max 0: no limit */
};

/* A table of slots, to be freed with name_table_free; NULL without memory. */
struct name_table *slots_table_new(void);
/* The cell of a name of 1 to NAME_TABLE_NAME_MAX bytes, without a limit at the first call. Owned by
 * the table. NULL when there are NAME_TABLE_CELLS_MAX or memory ran out. */
struct slots *slots_cell(struct name_table *table, const char *name);

/* 0: no limit. More let waiters in; fewer let nobody in until enough have left. `queue_max`: how
 * many may wait at a time; those who do already stay. */
void slots_configure(struct slots *slots, size_t max, size_t queue_max);
/* Takes a slot if one is free and nobody waits. */
bool slots_try(struct slots *slots);
/* A place in the line; NULL when as many as may wait do, or memory ran out. `notify(argument)` is
 * called from any thread, once, with the lock held, when the slot is the waiter's: it must only
 * post. */
struct slot_waiter *slots_wait(struct slots *slots, void (*notify)(void *), void *argument);
bool slot_waiter_is_in(struct slot_waiter *waiter);
/* Frees the place. `keep`: a slot that it was given stays taken; else it goes on to the next.
 * After it returns `notify` is not called any more. */
void slot_waiter_leave(struct slot_waiter *waiter, bool keep);
/* A slot that was taken is free. */
void slots_leave(struct slots *slots);
struct slots_state slots_read(struct slots *slots);

#endif
