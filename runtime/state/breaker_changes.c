#include "state/breaker_changes.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

struct breaker_changes {
  pthread_mutex_t mutex; /* taken with a cell's held, never the other way */
  struct breaker_change waiting[BREAKER_CHANGES_MAX];
  size_t first, count;
  uint64_t dropped;
  void (*notify)(void *);
  void *argument;
};

struct breaker_changes *breaker_changes_new(void) {
  struct breaker_changes *changes = calloc(1, sizeof *changes);
  if (changes != NULL) pthread_mutex_init(&changes->mutex, NULL);
  return changes;
}

void breaker_changes_free(struct breaker_changes *changes) {
  if (changes == NULL) return;
  pthread_mutex_destroy(&changes->mutex);
  free(changes);
}

void breaker_changes_add(struct breaker_changes *changes, const struct breaker_change *change) {
  pthread_mutex_lock(&changes->mutex);
  if (changes->count == BREAKER_CHANGES_MAX)
    changes->dropped++;
  else
    changes->waiting[(changes->first + changes->count++) % BREAKER_CHANGES_MAX] = *change;
  if (changes->notify != NULL) changes->notify(changes->argument);
  pthread_mutex_unlock(&changes->mutex);
}

bool breaker_changes_take(struct breaker_changes *changes, struct breaker_change *change) {
  pthread_mutex_lock(&changes->mutex);
  bool found = changes->count > 0;
  if (found) {
    *change = changes->waiting[changes->first];
    changes->first = (changes->first + 1) % BREAKER_CHANGES_MAX;
    changes->count--;
  }
  pthread_mutex_unlock(&changes->mutex);
  return found;
}

bool breaker_changes_listen(struct breaker_changes *changes, void (*notify)(void *),
                            void *argument) {
  pthread_mutex_lock(&changes->mutex);
  bool is_free = changes->notify == NULL;
  if (is_free) {
    changes->notify = notify;
    changes->argument = argument;
  }
  pthread_mutex_unlock(&changes->mutex);
  return is_free;
}

void breaker_changes_leave(struct breaker_changes *changes) {
  pthread_mutex_lock(&changes->mutex);
  changes->notify = NULL;
  changes->argument = NULL;
  pthread_mutex_unlock(&changes->mutex);
}

uint64_t breaker_changes_dropped(struct breaker_changes *changes) {
  pthread_mutex_lock(&changes->mutex);
  uint64_t dropped = changes->dropped;
  pthread_mutex_unlock(&changes->mutex);
  return dropped;
}
