#include "base/waiter.h"

#include <stddef.h>

void waiter_add(struct waiter_list *list, struct waiter *waiter, wake_fn wake, void *argument) {
  waiter_remove(waiter);
  *waiter = (struct waiter){wake, argument, list, list->last, NULL};
  if (list->last != NULL) list->last->next = waiter;
  if (list->first == NULL) list->first = waiter;
  list->last = waiter;
}

void waiter_remove(struct waiter *waiter) {
  struct waiter_list *list = waiter->list;
  if (list == NULL) return;
  if (waiter->previous != NULL) waiter->previous->next = waiter->next;
  if (waiter->next != NULL) waiter->next->previous = waiter->previous;
  if (list->first == waiter) list->first = waiter->next;
  if (list->last == waiter) list->last = waiter->previous;
  waiter->list = NULL;
  waiter->previous = waiter->next = NULL;
}

void waiter_list_wake(struct waiter_list *list) {
  while (list->first != NULL) {
    struct waiter *waiter = list->first;
    waiter_remove(waiter);
    waiter->wake(waiter->argument);
  }
}
