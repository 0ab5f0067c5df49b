/* Who is to be told when something ends: a list of wake functions.
 *
 * A waiter is embedded in its owner, who removes it before its memory goes. One thread. */
#ifndef TIDEGATE_BASE_WAITER_H
#define TIDEGATE_BASE_WAITER_H

#include "base/wake.h"

struct waiter_list;

/* All zero: waits for nothing. */
struct waiter {
  wake_fn wake;
  void *argument;
  struct waiter_list *list; /* NULL: in none */
  struct waiter *previous, *next;
};

/* All zero: empty. */
struct waiter_list {
  struct waiter *first, *last;
};

/* Appends it; a waiter that waits elsewhere (or here) leaves there first. Cannot fail. */
void waiter_add(struct waiter_list *list, struct waiter *waiter, wake_fn wake, void *argument);
/* No effect on one that waits for nothing. */
void waiter_remove(struct waiter *waiter);
/* Takes each out, in order, and wakes it. */
void waiter_list_wake(struct waiter_list *list);

#endif
