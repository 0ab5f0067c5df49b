#include "state/cache_shard.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_PER_BUCKET 512 /* of the limit: a table that never has to grow */
#define BUCKETS_MIN 16
#define BUCKETS_SWEPT 4    /* for each entry that is put */
#define ALLOCATION_COST 16 /* what malloc adds */

size_t cache_shard_number(uint64_t hash) {
  return hash / (UINT64_MAX / CACHE_SHARDS + 1);
}

/* --- entries --- */

struct cache_entry *cache_entry_new(struct cache_space *space, uint64_t hash,
                                    const struct cache_item *item) {
  struct cache_entry *entry = malloc(sizeof *entry + item->key_length + item->value_length);
  if (entry == NULL) return NULL;
  *entry = (struct cache_entry){.space = space,
                                .hash = hash,
                                .key_length = item->key_length,
                                .value_length = item->value_length,
                                .is_negative = item->is_negative};
  atomic_init(&entry->references, 1);
  memcpy(entry->bytes, item->key, item->key_length);
  memcpy(entry->bytes + item->key_length, item->value, item->value_length);
  return entry;
}

void cache_entry_release(struct cache_entry *entry) {
  if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1) free(entry);
}

void cache_entries_release(struct cache_entries *removed) {
  while (removed->first != NULL) {
    struct cache_entry *entry = removed->first;
    removed->first = entry->next;
    cache_entry_release(entry);
  }
}

size_t cache_entry_cost(const struct cache_entry *entry) {
  return sizeof *entry + entry->key_length + entry->value_length + ALLOCATION_COST;
}

/* --- the table --- */

static struct cache_entry **bucket_of(struct cache_shard *shard, uint64_t hash) {
  return &shard->buckets[hash & (shard->bucket_count - 1)];
}

static void link_bucket(struct cache_shard *shard, struct cache_entry *entry) {
  struct cache_entry **bucket = bucket_of(shard, entry->hash);
  entry->next = *bucket;
  *bucket = entry;
}

static size_t buckets_for(size_t max_bytes) {
  size_t count = BUCKETS_MIN;
  while (count < max_bytes / BYTES_PER_BUCKET) count *= 2;
  return count;
}

/* The table is taken off the limit. */
static void set_max(struct cache_shard *shard, size_t max_bytes) {
  size_t table = shard->bucket_count * sizeof *shard->buckets;
  shard->max_bytes = max_bytes > table ? max_bytes - table : 0;
}

int cache_shard_init(struct cache_shard *shard, size_t max_bytes) {
  *shard = (struct cache_shard){.bucket_count = buckets_for(max_bytes)};
  shard->buckets = calloc(shard->bucket_count, sizeof *shard->buckets);
  if (shard->buckets == NULL) return -1;
  pthread_mutex_init(&shard->mutex, NULL);
  set_max(shard, max_bytes);
  return 0;
}

void cache_shard_deinit(struct cache_shard *shard) {
  if (shard->buckets == NULL) return;
  while (shard->newest != NULL) {
    struct cache_entry *entry = shard->newest;
    shard->newest = entry->older;
    cache_entry_release(entry);
  }
  free(shard->buckets);
  pthread_mutex_destroy(&shard->mutex);
}

static void rebuild(struct cache_shard *shard, size_t bucket_count) {
  struct cache_entry **buckets = calloc(bucket_count, sizeof *buckets);
  if (buckets == NULL) return;
  free(shard->buckets);
  shard->buckets = buckets;
  shard->bucket_count = bucket_count;
  shard->swept = 0;
  for (struct cache_entry *entry = shard->newest; entry != NULL; entry = entry->older)
    link_bucket(shard, entry);
}

static bool has_key(const struct cache_entry *entry, const struct cache_space *space, uint64_t hash,
                    const char *key, size_t length) {
  return entry->hash == hash && entry->space == space && entry->key_length == length &&
         memcmp(entry->bytes, key, length) == 0;
}

struct cache_entry *cache_shard_find(struct cache_shard *shard, const struct cache_space *space,
                                     uint64_t hash, const char *key, size_t key_length) {
  struct cache_entry *entry = *bucket_of(shard, hash);
  while (entry != NULL && !has_key(entry, space, hash, key, key_length)) entry = entry->next;
  return entry;
}

static void unlink_bucket(struct cache_shard *shard, struct cache_entry *entry) {
  struct cache_entry **link = bucket_of(shard, entry->hash);
  while (*link != entry) link = &(*link)->next;
  *link = entry->next;
}

/* --- the order of use --- */

static void link_newest(struct cache_shard *shard, struct cache_entry *entry) {
  entry->newer = NULL;
  entry->older = shard->newest;
  if (shard->newest != NULL)
    shard->newest->newer = entry;
  else
    shard->oldest = entry;
  shard->newest = entry;
}

static void unlink_use(struct cache_shard *shard, struct cache_entry *entry) {
  if (entry->newer != NULL)
    entry->newer->older = entry->older;
  else
    shard->newest = entry->older;
  if (entry->older != NULL)
    entry->older->newer = entry->newer;
  else
    shard->oldest = entry->newer;
}

void cache_shard_touch(struct cache_shard *shard, struct cache_entry *entry) {
  if (shard->newest == entry) return;
  unlink_use(shard, entry);
  link_newest(shard, entry);
}

/* --- the space's list --- */

static void link_space(struct cache_entry *entry) {
  struct cache_entry **first = &entry->space->first[cache_shard_number(entry->hash)];
  entry->previous = NULL;
  entry->following = *first;
  if (*first != NULL) (*first)->previous = entry;
  *first = entry;
}

static void unlink_space(struct cache_entry *entry) {
  if (entry->previous != NULL)
    entry->previous->following = entry->following;
  else
    entry->space->first[cache_shard_number(entry->hash)] = entry->following;
  if (entry->following != NULL) entry->following->previous = entry->previous;
}

void cache_marker_link(struct cache_entry *marker, struct cache_entry *before) {
  marker->previous = before->previous;
  marker->following = before;
  if (before->previous != NULL)
    before->previous->following = marker;
  else
    before->space->first[cache_shard_number(before->hash)] = marker;
  before->previous = marker;
}

void cache_marker_unlink(struct cache_entry *marker) {
  unlink_space(marker);
}

uint64_t cache_space_advance(struct cache_space *space, uint64_t now_ns) {
  uint64_t latest = atomic_load_explicit(&space->latest_ns, memory_order_relaxed);
  while (now_ns > latest)
    if (atomic_compare_exchange_weak_explicit(&space->latest_ns, &latest, now_ns,
                                              memory_order_relaxed, memory_order_relaxed))
      return now_ns;
  return latest;
}

void cache_space_raise_epoch(struct cache_space *space) {
  atomic_fetch_add(&space->epoch, 1);
}

/* --- coming and going --- */

static void add_to(_Atomic uint64_t *count, uint64_t amount) {
  atomic_fetch_add_explicit(count, amount, memory_order_relaxed);
}

static void count_in(struct cache_shard *shard, const struct cache_entry *entry) {
  size_t cost = cache_entry_cost(entry);
  shard->bytes += cost;
  shard->entries++;
  add_to(&entry->space->counts[CACHE_BYTES], cost);
  add_to(&entry->space->counts[CACHE_ENTRIES], 1);
}

static void count_out(struct cache_shard *shard, const struct cache_entry *entry) {
  size_t cost = cache_entry_cost(entry);
  shard->bytes -= cost;
  shard->entries--;
  add_to(&entry->space->counts[CACHE_BYTES], -(uint64_t)cost);
  add_to(&entry->space->counts[CACHE_ENTRIES], -(uint64_t)1);
}

void cache_shard_remove(struct cache_shard *shard, struct cache_entry *entry,
                        struct cache_entries *removed) {
  unlink_bucket(shard, entry);
  unlink_use(shard, entry);
  unlink_space(entry);
  count_out(shard, entry);
  entry->next = removed->first;
  removed->first = entry;
}

bool cache_shard_expire(struct cache_shard *shard, struct cache_entry *entry, uint64_t now_ns,
                        struct cache_entries *removed) {
  if (now_ns < entry->keep_until_ns) return false;
  cache_shard_remove(shard, entry, removed);
  return true;
}

bool cache_shard_delete(struct cache_shard *shard, struct cache_entry *entry, uint64_t now_ns,
                        struct cache_entries *removed) {
  if (cache_shard_expire(shard, entry, now_ns, removed)) return false;
  cache_shard_remove(shard, entry, removed);
  add_to(&entry->space->counts[CACHE_DELETES], 1);
  return true;
}

void cache_shard_unlock(struct cache_shard *shard, struct cache_entries *removed) {
  pthread_mutex_unlock(&shard->mutex);
  cache_entries_release(removed);
}

static void evict_to(struct cache_shard *shard, size_t bytes, struct cache_entries *removed) {
  while (shard->bytes > bytes) {
    struct cache_entry *entry = shard->oldest;
    shard->evictions++;
    add_to(&entry->space->counts[CACHE_EVICTIONS], 1);
    cache_shard_remove(shard, entry, removed);
  }
}

void cache_shard_insert(struct cache_shard *shard, struct cache_entry *entry,
                        struct cache_entries *removed) {
  evict_to(shard, shard->max_bytes - cache_entry_cost(entry), removed);
  link_bucket(shard, entry);
  link_newest(shard, entry);
  link_space(entry);
  count_in(shard, entry);
}

void cache_shard_set_limit(struct cache_shard *shard, size_t max_bytes,
                           struct cache_entries *removed) {
  size_t bucket_count = buckets_for(max_bytes);
  if (bucket_count != shard->bucket_count) rebuild(shard, bucket_count);
  set_max(shard, max_bytes);
  evict_to(shard, shard->max_bytes, removed);
}

static void sweep_bucket(struct cache_shard *shard, uint64_t now_ns,
                         struct cache_entries *removed) {
  struct cache_entry *entry = shard->buckets[shard->swept];
  while (entry != NULL) {
    struct cache_entry *next = entry->next;
    cache_shard_expire(shard, entry, now_ns, removed);
    entry = next;
  }
}

void cache_shard_sweep(struct cache_shard *shard, uint64_t now_ns, struct cache_entries *removed) {
  for (int count = 0; count < BUCKETS_SWEPT; count++) {
    sweep_bucket(shard, now_ns, removed);
    shard->swept = (shard->swept + 1) & (shard->bucket_count - 1);
  }
}
