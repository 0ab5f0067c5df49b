/* A walk over the entries of a space whose keys match a pattern, to count or to delete them: in
 * steps of a few thousand, so that no lock is held for long, and no thread that has others to
 * serve in between.
 *
 * One thread at a time. It is freed before the cache is. */
#ifndef TIDEGATE_STATE_CACHE_SCAN_H
#define TIDEGATE_STATE_CACHE_SCAN_H

#include "base/buf.h"
#include "state/cache.h"

#define CACHE_PATTERN_MAX 4096
#define CACHE_NAME_MAX 1024 /* of a key, as far as it is listed */

struct cache_scan;

/* The pattern (base/glob.h), which is copied, is held against the part of a key before its first
 * NUL. One that deletes raises the epoch here, also when nothing is there: what was made before is
 * met, or refused. NULL when the pattern is too long, or without memory; no epoch is raised then.
 */
struct cache_scan *cache_scan_new(struct cache_space *space, const char *pattern, size_t length,
                                  bool deletes);
void cache_scan_free(struct cache_scan *scan);
/* Goes on for a step; false when it has come to the end. */
bool cache_scan_step(struct cache_scan *scan, uint64_t now_ns);
/* Before the first step of one that counts: the first `most` that match are listed too. */
void cache_scan_list(struct cache_scan *scan, size_t most);
/* Those, each as far as its first NUL, at most CACHE_NAME_MAX bytes of it, with a NUL after it.
 * Without memory there are fewer. */
const struct buf *cache_scan_names(const struct cache_scan *scan);
/* How many have matched so far. */
size_t cache_scan_count(const struct cache_scan *scan);

#endif
