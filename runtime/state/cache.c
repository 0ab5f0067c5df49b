#include "state/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "state/cache_shard.h"

#define SPACE_SLOTS 8192 /* a power of two, twice CACHE_SPACES_MAX */

struct cache {
  struct hash_seed seed;
  struct cache_shard shards[CACHE_SHARDS];
  _Atomic uint64_t max_bytes, refused;
  pthread_mutex_t spaces_mutex; /* for what follows */
  size_t space_count;
  struct cache_space *spaces[SPACE_SLOTS]; /* by the hash of the name, or the next that is free */
};

static uint64_t load(const _Atomic uint64_t *count) {
  return atomic_load_explicit(count, memory_order_relaxed);
}

static void add_one(_Atomic uint64_t *count) {
  atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

/* --- the cache --- */

struct cache *cache_new(size_t max_bytes) {
  struct cache *cache = calloc(1, sizeof *cache);
  if (cache == NULL) return NULL;
  cache->seed = hash_seed_random();
  cache->max_bytes = max_bytes;
  pthread_mutex_init(&cache->spaces_mutex, NULL);
  for (size_t i = 0; i < CACHE_SHARDS; i++) {
    if (cache_shard_init(&cache->shards[i], max_bytes / CACHE_SHARDS) == 0) continue;
    cache_free(cache);
    return NULL;
  }
  return cache;
}

void cache_free(struct cache *cache) {
  if (cache == NULL) return;
  for (size_t i = 0; i < CACHE_SHARDS; i++) cache_shard_deinit(&cache->shards[i]);
  for (size_t i = 0; i < SPACE_SLOTS; i++) free(cache->spaces[i]);
  pthread_mutex_destroy(&cache->spaces_mutex);
  free(cache);
}

void cache_set_limit(struct cache *cache, size_t max_bytes) {
  cache->max_bytes = max_bytes;
  for (size_t i = 0; i < CACHE_SHARDS; i++) {
    struct cache_shard *shard = &cache->shards[i];
    struct cache_entries removed = {NULL};
    pthread_mutex_lock(&shard->mutex);
    cache_shard_set_limit(shard, max_bytes / CACHE_SHARDS, &removed);
    cache_shard_unlock(shard, &removed);
  }
}

struct cache_totals cache_totals(struct cache *cache) {
  struct cache_totals totals = {.max_bytes = load(&cache->max_bytes),
                                .refused = load(&cache->refused)};
  for (size_t i = 0; i < CACHE_SHARDS; i++) {
    struct cache_shard *shard = &cache->shards[i];
    pthread_mutex_lock(&shard->mutex);
    totals.bytes += shard->bytes;
    totals.entries += shard->entries;
    totals.evictions += shard->evictions;
    pthread_mutex_unlock(&shard->mutex);
  }
  return totals;
}

/* --- spaces --- */

static struct cache_space *space_new(struct cache *cache, const char *name, size_t length,
                                     uint64_t hash) {
  struct cache_space *space = calloc(1, sizeof *space);
  if (space == NULL) return NULL;
  space->cache = cache;
  space->shards = cache->shards;
  space->salt = hash;
  space->name_length = length;
  memcpy(space->name, name, length);
  return space;
}

static bool has_name(const struct cache_space *space, const char *name, size_t length) {
  return space->name_length == length && memcmp(space->name, name, length) == 0;
}

/* The mutex is held. */
static struct cache_space *find_or_make(struct cache *cache, const char *name, size_t length) {
  uint64_t hash = hash_bytes(&cache->seed, name, length);
  size_t slot = hash & (SPACE_SLOTS - 1);
  while (cache->spaces[slot] != NULL && !has_name(cache->spaces[slot], name, length))
    slot = (slot + 1) & (SPACE_SLOTS - 1);
  if (cache->spaces[slot] != NULL) return cache->spaces[slot];
  if (cache->space_count == CACHE_SPACES_MAX) return NULL;
  struct cache_space *space = space_new(cache, name, length, hash);
  if (space != NULL) cache->space_count++;
  cache->spaces[slot] = space;
  return space;
}

struct cache_space *cache_space_of(struct cache *cache, const char *name, size_t length) {
  if (length > CACHE_SPACE_NAME_MAX) return NULL;
  pthread_mutex_lock(&cache->spaces_mutex);
  struct cache_space *space = find_or_make(cache, name, length);
  pthread_mutex_unlock(&cache->spaces_mutex);
  return space;
}

uint64_t cache_epoch(const struct cache_space *space) {
  return atomic_load(&space->epoch);
}

void cache_count(struct cache_space *space, enum cache_count kind) {
  add_one(&space->counts[kind]);
}

uint64_t cache_counted(const struct cache_space *space, enum cache_count kind) {
  return load(&space->counts[kind]);
}

static uint64_t hash_key(const struct cache_space *space, const char *key, size_t length) {
  return hash_bytes(&space->cache->seed, key, length) ^ space->salt;
}

static struct cache_shard *shard_of(const struct cache_space *space, uint64_t hash) {
  return &space->shards[cache_shard_number(hash)];
}

/* --- one key --- */

/* At the very instant of its expiry an entry is not fresh any more. */
static int64_t expires_in(const struct cache_entry *entry, uint64_t now_ns) {
  int64_t left = (int64_t)(entry->expires_at_ns - now_ns);
  return left == 0 ? -1 : left;
}

static void fill_hit(struct cache_hit *hit, struct cache_entry *entry, uint64_t now_ns) {
  atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
  *hit = (struct cache_hit){.entry = entry,
                            .bytes = entry->bytes + entry->key_length,
                            .length = entry->value_length,
                            .age_ns = now_ns - entry->stored_at_ns,
                            .expires_in_ns = expires_in(entry, now_ns),
                            .is_negative = entry->is_negative};
}

bool cache_get(struct cache_space *space, const char *key, size_t key_length, uint64_t now_ns,
               struct cache_hit *hit) {
  uint64_t hash = hash_key(space, key, key_length);
  struct cache_shard *shard = shard_of(space, hash);
  struct cache_entries removed = {NULL};
  *hit = (struct cache_hit){.entry = NULL};
  pthread_mutex_lock(&shard->mutex);
  uint64_t now = cache_space_advance(space, now_ns);
  struct cache_entry *entry = cache_shard_find(shard, space, hash, key, key_length);
  if (entry != NULL && !cache_shard_expire(shard, entry, now, &removed)) {
    cache_shard_touch(shard, entry);
    fill_hit(hit, entry, now);
  }
  cache_shard_unlock(shard, &removed);
  return hit->entry != NULL;
}

void cache_hit_release(struct cache_hit *hit) {
  if (hit->entry != NULL) cache_entry_release(hit->entry);
  hit->entry = NULL;
}

static uint64_t later(uint64_t instant, uint64_t duration) {
  return duration > INT64_MAX - instant ? INT64_MAX : instant + duration;
}

static void set_times(struct cache_entry *entry, const struct cache_item *item, uint64_t now_ns) {
  entry->stored_at_ns = now_ns;
  entry->expires_at_ns = later(now_ns, item->ttl_ns);
  entry->keep_until_ns = later(entry->expires_at_ns, item->keep_ns);
}

/* The lock is held. When it is refused the entry remains the caller's. */
static enum cache_outcome place(struct cache_shard *shard, struct cache_entry *entry,
                                const struct cache_item *item, uint64_t now_ns,
                                struct cache_entries *removed) {
  struct cache_space *space = entry->space;
  if (cache_entry_cost(entry) > shard->max_bytes) return CACHE_FULL;
  if (item->has_epoch && item->epoch != cache_epoch(space)) return CACHE_OLD_EPOCH;
  uint64_t now = cache_space_advance(space, now_ns);
  set_times(entry, item, now);
  struct cache_entry *old =
      cache_shard_find(shard, space, entry->hash, item->key, item->key_length);
  if (old != NULL) cache_shard_remove(shard, old, removed);
  cache_shard_sweep(shard, now, removed);
  cache_shard_insert(shard, entry, removed);
  return CACHE_STORED;
}

static enum cache_outcome store(struct cache_space *space, const struct cache_item *item,
                                uint64_t now_ns) {
  if (item->key_length > CACHE_KEY_MAX || item->value_length > CACHE_VALUE_MAX)
    return CACHE_TOO_LARGE;
  uint64_t hash = hash_key(space, item->key, item->key_length);
  struct cache_entry *entry = cache_entry_new(space, hash, item);
  if (entry == NULL) return CACHE_FULL;
  struct cache_shard *shard = shard_of(space, hash);
  struct cache_entries removed = {NULL};
  pthread_mutex_lock(&shard->mutex);
  enum cache_outcome outcome = place(shard, entry, item, now_ns, &removed);
  cache_shard_unlock(shard, &removed);
  if (outcome != CACHE_STORED) cache_entry_release(entry);
  return outcome;
}

enum cache_outcome cache_put(struct cache_space *space, const struct cache_item *item,
                             uint64_t now_ns) {
  enum cache_outcome outcome = store(space, item, now_ns);
  if (outcome == CACHE_STORED) {
    add_one(&space->counts[CACHE_STORES]);
  } else {
    add_one(&space->counts[CACHE_REFUSED]);
    add_one(&space->cache->refused);
  }
  return outcome;
}

bool cache_delete(struct cache_space *space, const char *key, size_t key_length, uint64_t now_ns) {
  uint64_t hash = hash_key(space, key, key_length);
  struct cache_shard *shard = shard_of(space, hash);
  struct cache_entries removed = {NULL};
  cache_space_raise_epoch(space);
  pthread_mutex_lock(&shard->mutex);
  uint64_t now = cache_space_advance(space, now_ns);
  struct cache_entry *entry = cache_shard_find(shard, space, hash, key, key_length);
  bool taken = entry != NULL && cache_shard_delete(shard, entry, now, &removed);
  cache_shard_unlock(shard, &removed);
  return taken;
}
