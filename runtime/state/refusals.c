#include "state/refusals.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

#define WAYS 8
#define SETS (REFUSALS_KEYS_MAX / WAYS)
#define SECOND UINT64_C(1000000000)

struct entry {
  uint64_t hash;
  uint64_t seen_ns; /* 0: free */
  uint64_t times[REFUSALS_PER_SECOND];
  uint32_t oldest; /* of the times */
};

struct refusals {
  pthread_mutex_t mutex;
  struct hash_seed seed;
  struct entry entries[SETS][WAYS];
};

struct refusals *refusals_new(void) {
  struct refusals *refusals = calloc(1, sizeof *refusals);
  if (refusals == NULL) return NULL;
  pthread_mutex_init(&refusals->mutex, NULL);
  refusals->seed = hash_seed_random();
  return refusals;
}

void refusals_free(struct refusals *refusals) {
  if (refusals == NULL) return;
  pthread_mutex_destroy(&refusals->mutex);
  free(refusals);
}

/* The entry of the hash, or one that is made for it. */
static struct entry *entry_of(struct refusals *refusals, uint64_t hash) {
  struct entry *ways = refusals->entries[hash % SETS];
  struct entry *victim = &ways[0];
  for (size_t i = 0; i < WAYS; i++) {
    if (ways[i].seen_ns != 0 && ways[i].hash == hash) return &ways[i];
    if (ways[i].seen_ns < victim->seen_ns) victim = &ways[i];
  }
  *victim = (struct entry){.hash = hash};
  return victim;
}

/* Clocks of threads differ by a little: the entry's own time never goes back. */
static bool note(struct entry *entry, uint64_t now_ns) {
  uint64_t *oldest = &entry->times[entry->oldest];
  if (now_ns > entry->seen_ns) entry->seen_ns = now_ns;
  if (*oldest != 0 && entry->seen_ns - *oldest < SECOND) return false;
  *oldest = entry->seen_ns;
  entry->oldest = (entry->oldest + 1) % REFUSALS_PER_SECOND;
  return true;
}

bool refusals_note(struct refusals *refusals, const void *key, size_t length, uint64_t now_ns) {
  uint64_t hash = hash_bytes(&refusals->seed, key, length);
  pthread_mutex_lock(&refusals->mutex);
  bool in_limit = note(entry_of(refusals, hash), now_ns);
  pthread_mutex_unlock(&refusals->mutex);
  return in_limit;
}
