#include "state/slots.h"

#include <pthread.h>
#include <stdlib.h>

struct slot_waiter {
  struct slots *slots;
  struct slot_waiter *previous, *next;
  void (*notify)(void *);
  void *argument;
  bool is_in;
};

struct slots {
  pthread_mutex_t mutex;
  size_t used, max, waiting, queue_max;
  struct slot_waiter *first, *last;
};

static void open_cell(void *cell, const char *name, void *context) {
  (void)name, (void)context;
  struct slots *slots = cell;
  pthread_mutex_init(&slots->mutex, NULL);
  slots->queue_max = SLOTS_QUEUE_DEFAULT;
}

static void close_cell(void *cell) {
  struct slots *slots = cell;
  pthread_mutex_destroy(&slots->mutex);
}

struct name_table *slots_table_new(void) {
  return name_table_new(&(struct name_table_kind){
      .cell_size = sizeof(struct slots), .open = open_cell, .close = close_cell});
}

struct slots *slots_cell(struct name_table *table, const char *name) {
  return name_table_cell(table, name);
}

/* --- the slots; the mutex is held --- */

static bool has_room(const struct slots *slots) {
  return slots->max == 0 || slots->used < slots->max;
}

static void take_out(struct slots *slots, struct slot_waiter *waiter) {
  if (waiter->previous != NULL)
    waiter->previous->next = waiter->next;
  else
    slots->first = waiter->next;
  if (waiter->next != NULL)
    waiter->next->previous = waiter->previous;
  else
    slots->last = waiter->previous;
  slots->waiting--;
}

/* Lets in who is first in line, as long as there is room. */
static void let_in(struct slots *slots) {
  while (slots->first != NULL && has_room(slots)) {
    struct slot_waiter *waiter = slots->first;
    take_out(slots, waiter);
    slots->used++;
    waiter->is_in = true;
    waiter->notify(waiter->argument);
  }
}

/* --- what callers do --- */

void slots_configure(struct slots *slots, size_t max, size_t queue_max) {
  pthread_mutex_lock(&slots->mutex);
  slots->max = max;
  slots->queue_max = queue_max;
  let_in(slots);
  pthread_mutex_unlock(&slots->mutex);
}

bool slots_try(struct slots *slots) {
  pthread_mutex_lock(&slots->mutex);
  bool granted = slots->first == NULL && has_room(slots);
  if (granted) slots->used++;
  pthread_mutex_unlock(&slots->mutex);
  return granted;
}

struct slot_waiter *slots_wait(struct slots *slots, void (*notify)(void *), void *argument) {
  struct slot_waiter *waiter = calloc(1, sizeof *waiter);
  if (waiter == NULL) return NULL;
  *waiter = (struct slot_waiter){.slots = slots, .notify = notify, .argument = argument};
  pthread_mutex_lock(&slots->mutex);
  bool fits = slots->waiting < slots->queue_max;
  if (fits) {
    waiter->previous = slots->last;
    if (slots->last != NULL)
      slots->last->next = waiter;
    else
      slots->first = waiter;
    slots->last = waiter;
    slots->waiting++;
    let_in(slots);
  }
  pthread_mutex_unlock(&slots->mutex);
  if (fits) return waiter;
  free(waiter);
  return NULL;
}

bool slot_waiter_is_in(struct slot_waiter *waiter) {
  pthread_mutex_lock(&waiter->slots->mutex);
  bool is_in = waiter->is_in;
  pthread_mutex_unlock(&waiter->slots->mutex);
  return is_in;
}

void slot_waiter_leave(struct slot_waiter *waiter, bool keep) {
  struct slots *slots = waiter->slots;
  pthread_mutex_lock(&slots->mutex);
  if (!waiter->is_in) {
    take_out(slots, waiter);
  } else if (!keep) {
    slots->used--;
    let_in(slots);
  }
  pthread_mutex_unlock(&slots->mutex);
  free(waiter);
}

void slots_leave(struct slots *slots) {
  pthread_mutex_lock(&slots->mutex);
  slots->used--;
  let_in(slots);
  pthread_mutex_unlock(&slots->mutex);
}

struct slots_state slots_read(struct slots *slots) {
  pthread_mutex_lock(&slots->mutex);
  struct slots_state state = {.used = slots->used, .max = slots->max, .waiting = slots->waiting};
  pthread_mutex_unlock(&slots->mutex);
  return state;
}
