#include "state/publication.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct publication {
  atomic_size_t references;
  uint64_t version;
  size_t length;
  char bytes[];
};

struct entry {
  char name[PUBLICATION_NAME_MAX + 1];
  struct publication *current; /* a reference */
};

struct publications {
  pthread_mutex_t mutex;
  struct entry entries[PUBLICATION_NAMES_MAX];
  size_t count;
  atomic_uint_fast64_t changes; /* written under the mutex */
  struct waiter_list waiters;
};

struct publications *publications_new(void) {
  struct publications *publications = calloc(1, sizeof *publications);
  if (publications != NULL) pthread_mutex_init(&publications->mutex, NULL);
  return publications;
}

void publications_free(struct publications *publications) {
  if (publications == NULL) return;
  for (size_t i = 0; i < publications->count; i++)
    publication_release(publications->entries[i].current);
  pthread_mutex_destroy(&publications->mutex);
  free(publications);
}

/* The mutex is held. */
static struct entry *find(struct publications *publications, const char *name) {
  for (size_t i = 0; i < publications->count; i++)
    if (strcmp(publications->entries[i].name, name) == 0) return &publications->entries[i];
  return NULL;
}

static struct entry *find_or_add(struct publications *publications, const char *name) {
  struct entry *entry = find(publications, name);
  if (entry != NULL) return entry;
  if (publications->count == PUBLICATION_NAMES_MAX) return NULL;
  entry = &publications->entries[publications->count++];
  memcpy(entry->name, name, strlen(name) + 1);
  return entry;
}

static struct publication *copy(const void *bytes, size_t length) {
  struct publication *publication = malloc(sizeof *publication + length);
  if (publication == NULL) return NULL;
  atomic_init(&publication->references, 1);
  publication->length = length;
  memcpy(publication->bytes, bytes, length);
  return publication;
}

/* Puts it under its version, or under the next one when that is 0; whose reference is then due. The
 * mutex is held. */
static enum publication_outcome put(struct publications *publications, const char *name,
                                    struct publication *publication,
                                    struct publication **superseded) {
  *superseded = publication;
  struct entry *entry = find_or_add(publications, name);
  if (entry == NULL) return PUBLICATION_FAILED;
  uint64_t current = entry->current != NULL ? entry->current->version : 0;
  if (publication->version == 0) publication->version = current + 1;
  if (publication->version <= current) return PUBLICATION_NOT_NEWER;
  *superseded = entry->current;
  entry->current = publication;
  atomic_fetch_add(&publications->changes, 1);
  waiter_list_wake(&publications->waiters);
  return PUBLICATION_PUT;
}

enum publication_outcome publication_put_version(struct publications *publications,
                                                 const char *name, const void *bytes, size_t length,
                                                 uint64_t version) {
  struct publication *publication =
      strlen(name) <= PUBLICATION_NAME_MAX ? copy(bytes, length) : NULL;
  if (publication == NULL) return PUBLICATION_FAILED;
  struct publication *superseded;
  publication->version = version;
  pthread_mutex_lock(&publications->mutex);
  enum publication_outcome outcome = put(publications, name, publication, &superseded);
  pthread_mutex_unlock(&publications->mutex);
  publication_release(superseded);
  return outcome;
}

uint64_t publication_put(struct publications *publications, const char *name, const void *bytes,
                         size_t length) {
  struct publication *publication =
      strlen(name) <= PUBLICATION_NAME_MAX ? copy(bytes, length) : NULL;
  if (publication == NULL) return 0;
  struct publication *superseded;
  publication->version = 0;
  pthread_mutex_lock(&publications->mutex);
  bool is_put = put(publications, name, publication, &superseded) == PUBLICATION_PUT;
  uint64_t version = publication->version;
  pthread_mutex_unlock(&publications->mutex);
  publication_release(superseded);
  return is_put ? version : 0;
}

uint64_t publications_changes(const struct publications *publications) {
  return atomic_load(&publications->changes);
}

bool publications_wait(struct publications *publications, uint64_t seen, struct waiter *waiter,
                       wake_fn wake, void *argument) {
  pthread_mutex_lock(&publications->mutex);
  bool is_unchanged = atomic_load(&publications->changes) == seen;
  if (is_unchanged) waiter_add(&publications->waiters, waiter, wake, argument);
  pthread_mutex_unlock(&publications->mutex);
  return is_unchanged;
}

void publications_leave(struct publications *publications, struct waiter *waiter) {
  pthread_mutex_lock(&publications->mutex);
  waiter_remove(waiter);
  pthread_mutex_unlock(&publications->mutex);
}

struct publication *publication_get(struct publications *publications, const char *name) {
  pthread_mutex_lock(&publications->mutex);
  struct entry *entry = find(publications, name);
  struct publication *publication = entry != NULL ? entry->current : NULL;
  if (publication != NULL) atomic_fetch_add(&publication->references, 1);
  pthread_mutex_unlock(&publications->mutex);
  return publication;
}

uint64_t publication_version(struct publications *publications, const char *name) {
  pthread_mutex_lock(&publications->mutex);
  struct entry *entry = find(publications, name);
  uint64_t version = entry != NULL && entry->current != NULL ? entry->current->version : 0;
  pthread_mutex_unlock(&publications->mutex);
  return version;
}

const char *publication_bytes(const struct publication *publication) {
  return publication->bytes;
}

size_t publication_length(const struct publication *publication) {
  return publication->length;
}

uint64_t publication_version_of(const struct publication *publication) {
  return publication->version;
}

void publication_release(struct publication *publication) {
  if (publication == NULL) return;
  if (atomic_fetch_sub(&publication->references, 1) == 1) free(publication);
}

void publication_release_pointer(void *publication) {
  publication_release(publication);
}
