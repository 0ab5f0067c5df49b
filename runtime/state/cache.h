/* Values that are kept for some time, within a number of bytes: what third parties have answered.
 *
 * A space is one integration's part of the cache: a name, keys of its own, an epoch and counts.
 * An entry is fresh until it expires, is kept for some time after that, and is gone then; until
 * then it may be evicted at any time, the least recently used first. Keys, values and what it takes
 * to keep them count against the limit, which is divided over CACHE_SHARDS locks by the keys' hash.
 *
 * Thread-safe. Time is the caller's, in nanoseconds; a space takes no step back: a caller whose
 * clock is behind is taken to be where the space already was. */
#ifndef TIDEGATE_STATE_CACHE_H
#define TIDEGATE_STATE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_SHARDS 16
#define CACHE_SPACES_MAX 4096
#define CACHE_SPACE_NAME_MAX 127
#define CACHE_KEY_MAX 65536
#define CACHE_VALUE_MAX 1048576

struct cache;
struct cache_space;
struct cache_entry;

enum cache_outcome {
  CACHE_STORED,
  CACHE_TOO_LARGE, /* the key or the value is over its bound */
  CACHE_OLD_EPOCH, /* something was deleted since the epoch was read */
  CACHE_FULL,      /* larger than a shard, or no memory */
};

enum cache_count {
  CACHE_HITS, /* the first four are for the user to count */
  CACHE_STALE_HITS,
  CACHE_MISSES,
  CACHE_NEGATIVE_HITS,
  CACHE_STORES,
  CACHE_REFUSED, /* outcomes other than CACHE_STORED */
  CACHE_EVICTIONS,
  CACHE_DELETES, /* entries deleted */
  CACHE_ENTRIES, /* now */
  CACHE_BYTES,   /* now */
  CACHE_COUNTS
};

/* An entry that was found, which stays as it is until it is released. */
struct cache_hit {
  struct cache_entry *entry; /* a reference; NULL: none */
  const char *bytes;
  size_t length;
  uint64_t age_ns;
  int64_t expires_in_ns; /* > 0 while it is fresh, < 0 from its expiry on */
  bool is_negative;
};

struct cache_item {
  const char *key;
  size_t key_length;
  const char *value;
  size_t value_length;
  uint64_t ttl_ns;  /* it expires after so long, */
  uint64_t keep_ns; /* and is gone so long after that */
  bool has_epoch;   /* stored only while the space's epoch is still `epoch` */
  uint64_t epoch;
  bool is_negative;
};

struct cache_totals {
  uint64_t bytes, max_bytes, entries, evictions, refused;
};

/* NULL without memory. */
struct cache *cache_new(size_t max_bytes);
/* Nobody uses it or its spaces any more; hits may still be released. */
void cache_free(struct cache *cache);
/* Evicts at once what is over the new limit. */
void cache_set_limit(struct cache *cache, size_t max_bytes);
struct cache_totals cache_totals(struct cache *cache);

/* The space of a name of at most CACHE_SPACE_NAME_MAX bytes, always the same; it lives as long as
 * the cache. NULL when there are CACHE_SPACES_MAX, or no memory. */
struct cache_space *cache_space_of(struct cache *cache, const char *name, size_t length);

/* Fills `hit`, which the caller releases, or returns false. Counts nothing. */
bool cache_get(struct cache_space *space, const char *key, size_t key_length, uint64_t now_ns,
               struct cache_hit *hit);
/* No effect on one that holds nothing. */
void cache_hit_release(struct cache_hit *hit);
/* Copies the key and the value. What was there under the key is replaced, unless it is refused. */
enum cache_outcome cache_put(struct cache_space *space, const struct cache_item *item,
                             uint64_t now_ns);

/* Whether there was an entry. Raises the epoch in any case. For many keys: state/cache_scan.h. */
bool cache_delete(struct cache_space *space, const char *key, size_t key_length, uint64_t now_ns);
/* For cache_item: read before the value is made. */
uint64_t cache_epoch(const struct cache_space *space);

/* One of the four that are the user's. */
void cache_count(struct cache_space *space, enum cache_count kind);
uint64_t cache_counted(const struct cache_space *space, enum cache_count kind);

#endif
