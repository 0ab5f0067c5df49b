/* The names that a resolver knows or is asking for: a table with a bound, oldest out first.
 *
 * Each entry is in one of two lists: those that are being asked, in the order of their start,
 * and those that are known, in the order of their end. One thread at a time. */
#ifndef TIDEGATE_IO_NAME_CACHE_H
#define TIDEGATE_IO_NAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/resolver.h"

#define NAME_CACHE_BUCKETS 1024

enum resolver_lookup_state { LOOKUP_ASKED, LOOKUP_FOUND, LOOKUP_FAILED };

struct resolver_lookup {
  struct resolver *resolver;
  enum resolver_lookup_state state;
  /* In the table. One that was given up is not, and lives until c-ares has called back. */
  bool is_listed;
  bool is_answered;                  /* c-ares has called back */
  bool is_queued;                    /* its waiters are to be told: it must not be freed */
  uint64_t started_ns;               /* real monotonic */
  uint64_t expires_ms;               /* on the loop's clock; known ones only */
  struct resolver_query *waiters;    /* doubly linked */
  struct resolver_lookup *chain;     /* next in the bucket */
  struct resolver_lookup *previous;  /* in its list */
  struct resolver_lookup *next;      /* in its list */
  struct resolver_lookup *next_done; /* of those whose waiters are to be told */
  struct resolver_addresses addresses;
  const char *reason; /* of a failure; static */
  size_t name_length;
  char name[]; /* NUL-terminated */
};

struct name_list {
  struct resolver_lookup *first;
  struct resolver_lookup *last;
  size_t count;
};

struct name_cache {
  struct resolver_lookup *buckets[NAME_CACHE_BUCKETS];
  struct name_list asked;
  struct name_list known;
};

/* NULL when there is none. */
struct resolver_lookup *name_cache_find(struct name_cache *cache, const char *name);
/* A new entry in the list of the asked ones; NULL without memory. */
struct resolver_lookup *name_cache_add(struct name_cache *cache, const char *name);
/* Moves an asked entry, whose state was just changed, to the known ones and drops the oldest
 * beyond RESOLVER_NAMES_MAX. */
void name_cache_settle(struct name_cache *cache, struct resolver_lookup *lookup);
/* Takes an entry out of the table and its list; it is then the caller's to free. */
void name_cache_remove(struct name_cache *cache, struct resolver_lookup *lookup);
/* Frees the known entries. */
void name_cache_clear(struct name_cache *cache);

#endif
