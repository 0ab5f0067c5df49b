/* The entries under one of the cache's locks: a table by key, a list by use, a list for each
 * space. Private to state/cache*.c.
 *
 * The functions that are named after a shard, a marker or the space's time want the lock held. What
 * is removed is put on a list, for the caller to release when the lock is free again. */
#ifndef TIDEGATE_STATE_CACHE_SHARD_H
#define TIDEGATE_STATE_CACHE_SHARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "state/cache.h"

struct cache_entry {
  struct cache_entry *next;                 /* in its bucket; when removed, in that list */
  struct cache_entry *newer, *older;        /* by use */
  struct cache_entry *previous, *following; /* of its space, in this shard */
  struct cache_space *space;
  uint64_t hash;
  uint64_t stored_at_ns, expires_at_ns, keep_until_ns;
  size_t key_length, value_length;
  atomic_uint references; /* the shard's, and each hit's */
  bool is_negative;
  bool is_marker; /* the place of a scan in its space's list, and in no other */
  char bytes[];   /* the key, then the value */
};

struct cache_shard {
  pthread_mutex_t mutex;
  struct cache_entry **buckets;
  size_t bucket_count; /* a power of two */
  size_t swept;        /* the bucket that is swept next */
  struct cache_entry *newest, *oldest;
  size_t bytes, max_bytes; /* of entries */
  size_t entries;
  uint64_t evictions;
};

struct cache_space {
  struct cache *cache;
  struct cache_shard *shards; /* CACHE_SHARDS of them */
  uint64_t salt;              /* of its keys' hashes */
  _Atomic uint64_t epoch;
  _Atomic uint64_t latest_ns; /* of all times that were given */
  _Atomic uint64_t counts[CACHE_COUNTS];
  struct cache_entry *first[CACHE_SHARDS]; /* each under its shard's lock */
  size_t name_length;
  char name[CACHE_SPACE_NAME_MAX];
};

/* A list of removed entries. */
struct cache_entries {
  struct cache_entry *first;
};

/* -1 without memory. */
int cache_shard_init(struct cache_shard *shard, size_t max_bytes);
void cache_shard_deinit(struct cache_shard *shard);
/* Evicts what is over it. Without memory for a new table the old one stays. */
void cache_shard_set_limit(struct cache_shard *shard, size_t max_bytes,
                           struct cache_entries *removed);

/* An entry in no shard, with one reference; NULL without memory. */
struct cache_entry *cache_entry_new(struct cache_space *space, uint64_t hash,
                                    const struct cache_item *item);
void cache_entry_release(struct cache_entry *entry);
void cache_entries_release(struct cache_entries *removed);
/* What it counts against the limit. */
size_t cache_entry_cost(const struct cache_entry *entry);

struct cache_entry *cache_shard_find(struct cache_shard *shard, const struct cache_space *space,
                                     uint64_t hash, const char *key, size_t key_length);
/* It becomes the one that was used last. */
void cache_shard_touch(struct cache_shard *shard, struct cache_entry *entry);
/* Takes over the reference; others are evicted to make room, which there must be. */
void cache_shard_insert(struct cache_shard *shard, struct cache_entry *entry,
                        struct cache_entries *removed);
void cache_shard_remove(struct cache_shard *shard, struct cache_entry *entry,
                        struct cache_entries *removed);
/* Removes the entry if its time is over; whether it was. */
bool cache_shard_expire(struct cache_shard *shard, struct cache_entry *entry, uint64_t now_ns,
                        struct cache_entries *removed);
/* Removes it for good; whether its time was not over. Then it counts as deleted. */
bool cache_shard_delete(struct cache_shard *shard, struct cache_entry *entry, uint64_t now_ns,
                        struct cache_entries *removed);
/* Removes what is gone by now from the next few buckets. */
void cache_shard_sweep(struct cache_shard *shard, uint64_t now_ns, struct cache_entries *removed);

/* Frees the lock, then what was removed under it. */
void cache_shard_unlock(struct cache_shard *shard, struct cache_entries *removed);

/* The number of the shard that a hash belongs to. */
size_t cache_shard_number(uint64_t hash);

/* Puts the marker into its space's list before an entry of its shard, and takes it out. */
void cache_marker_link(struct cache_entry *marker, struct cache_entry *before);
void cache_marker_unlink(struct cache_entry *marker);

/* What the caller's time is to the space. Under a shard's lock, so that none of its entries is from
 * later than that. */
uint64_t cache_space_advance(struct cache_space *space, uint64_t now_ns);
/* Before entries to delete are looked for: whoever stores afterwards, with an older epoch, is
 * refused, and what was stored before is found. Needs no lock. */
void cache_space_raise_epoch(struct cache_space *space);

#endif
