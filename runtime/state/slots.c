#include "state/slots.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
  char name[SLOTS_NAME_MAX + 1];
};

struct slots_registry {
  pthread_mutex_t mutex;
  struct slots *cells[SLOTS_NAMES_MAX]; /* sorted by name */
  size_t count;
};

/* --- the registry --- */

struct slots_registry *slots_registry_new(void) {
  struct slots_registry *registry = calloc(1, sizeof *registry);
  if (registry != NULL) pthread_mutex_init(&registry->mutex, NULL);
  return registry;
}

void slots_registry_free(struct slots_registry *registry) {
  if (registry == NULL) return;
  for (size_t i = 0; i < registry->count; i++) {
    pthread_mutex_destroy(&registry->cells[i]->mutex);
    free(registry->cells[i]);
  }
  pthread_mutex_destroy(&registry->mutex);
  free(registry);
}

static size_t place_of(const struct slots_registry *registry, const char *name) {
  size_t low = 0, high = registry->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(registry->cells[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct slots *add(struct slots_registry *registry, const char *name, size_t at) {
  size_t length = strlen(name);
  if (registry->count == SLOTS_NAMES_MAX || length == 0 || length > SLOTS_NAME_MAX) return NULL;
  struct slots *slots = calloc(1, sizeof *slots);
  if (slots == NULL) return NULL;
  pthread_mutex_init(&slots->mutex, NULL);
  slots->queue_max = SLOTS_QUEUE_DEFAULT;
  memcpy(slots->name, name, length);
  memmove(&registry->cells[at + 1], &registry->cells[at],
          (registry->count - at) * sizeof registry->cells[0]);
  registry->cells[at] = slots;
  registry->count++;
  return slots;
}

struct slots *slots_cell(struct slots_registry *registry, const char *name) {
  pthread_mutex_lock(&registry->mutex);
  size_t at = place_of(registry, name);
  bool found = at < registry->count && strcmp(registry->cells[at]->name, name) == 0;
  struct slots *slots = found ? registry->cells[at] : add(registry, name, at);
  pthread_mutex_unlock(&registry->mutex);
  return slots;
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
