#include "state/cache_scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "state/cache_shard.h"

#define STEP_ENTRIES 2048

/* Between two steps within a shard the marker stands before the entry that comes next. */
struct cache_scan {
  struct cache_space *space;
  size_t shard; /* CACHE_SHARDS at the end */
  size_t count;
  bool deletes, is_marked;
  struct cache_entry *marker;
  size_t names_left; /* to be listed */
  struct buf names;
  size_t length;
  char pattern[];
};

static struct cache_entry *marker_new(struct cache_space *space) {
  struct cache_entry *marker = calloc(1, sizeof *marker);
  if (marker == NULL) return NULL;
  marker->space = space;
  marker->is_marker = true;
  return marker;
}

struct cache_scan *cache_scan_new(struct cache_space *space, const char *pattern, size_t length,
                                  bool deletes) {
  if (length > CACHE_PATTERN_MAX) return NULL;
  struct cache_scan *scan = malloc(sizeof *scan + length);
  struct cache_entry *marker = marker_new(space);
  if (scan == NULL || marker == NULL) {
    free(scan);
    free(marker);
    return NULL;
  }
  *scan =
      (struct cache_scan){.space = space, .deletes = deletes, .marker = marker, .length = length};
  memcpy(scan->pattern, pattern, length);
  buf_init(&scan->names, 0);
  if (deletes) cache_space_raise_epoch(space);
  return scan;
}

static struct cache_shard *shard_of(const struct cache_scan *scan) {
  return &scan->space->shards[scan->shard];
}

void cache_scan_free(struct cache_scan *scan) {
  if (scan == NULL) return;
  if (scan->is_marked) {
    pthread_mutex_lock(&shard_of(scan)->mutex);
    cache_marker_unlink(scan->marker);
    pthread_mutex_unlock(&shard_of(scan)->mutex);
  }
  buf_deinit(&scan->names);
  free(scan->marker);
  free(scan);
}

void cache_scan_list(struct cache_scan *scan, size_t most) {
  scan->names_left = most;
  buf_init(&scan->names, most * (CACHE_NAME_MAX + 1));
}

const struct buf *cache_scan_names(const struct cache_scan *scan) {
  return &scan->names;
}

size_t cache_scan_count(const struct cache_scan *scan) {
  return scan->count;
}

static size_t name_length(const struct cache_entry *entry) {
  const char *end = memchr(entry->bytes, '\0', entry->key_length);
  return end != NULL ? (size_t)(end - entry->bytes) : entry->key_length;
}

static bool matches(const struct cache_scan *scan, const struct cache_entry *entry) {
  return glob_matches(scan->pattern, scan->length, entry->bytes, name_length(entry));
}

static void list_name(struct cache_scan *scan, const struct cache_entry *entry) {
  size_t length = name_length(entry);
  if (length > CACHE_NAME_MAX) length = CACHE_NAME_MAX;
  if (buf_reserve(&scan->names, length + 1) != 0 ||
      buf_append(&scan->names, entry->bytes, length) != 0 || buf_append(&scan->names, "", 1) != 0)
    return;
  scan->names_left--;
}

static void visit(struct cache_scan *scan, struct cache_entry *entry, uint64_t now_ns,
                  struct cache_entries *removed) {
  if (entry->is_marker || !matches(scan, entry)) return;
  if (scan->deletes) {
    scan->count += cache_shard_delete(shard_of(scan), entry, now_ns, removed);
  } else if (!cache_shard_expire(shard_of(scan), entry, now_ns, removed)) {
    scan->count++;
    if (scan->names_left > 0) list_name(scan, entry);
  }
}

/* The entry to begin or to go on with. */
static struct cache_entry *resume(struct cache_scan *scan) {
  if (!scan->is_marked) return scan->space->first[scan->shard];
  struct cache_entry *entry = scan->marker->following;
  cache_marker_unlink(scan->marker);
  scan->is_marked = false;
  return entry;
}

/* Stays in the shard, before `entry`, or leaves it. The lock is held. */
static void mark(struct cache_scan *scan, struct cache_entry *entry) {
  if (entry == NULL) {
    scan->shard++;
    return;
  }
  scan->marker->hash = entry->hash;
  cache_marker_link(scan->marker, entry);
  scan->is_marked = true;
}

/* At most `entries` of the current shard; how many there were. */
static size_t step_in_shard(struct cache_scan *scan, size_t entries, uint64_t now_ns) {
  struct cache_shard *shard = shard_of(scan);
  struct cache_entries removed = {NULL};
  pthread_mutex_lock(&shard->mutex);
  uint64_t now = cache_space_advance(scan->space, now_ns);
  struct cache_entry *entry = resume(scan);
  size_t count = 0;
  for (; entry != NULL && count < entries; count++) {
    struct cache_entry *following = entry->following;
    visit(scan, entry, now, &removed);
    entry = following;
  }
  mark(scan, entry);
  cache_shard_unlock(shard, &removed);
  return count;
}

bool cache_scan_step(struct cache_scan *scan, uint64_t now_ns) {
  size_t left = STEP_ENTRIES;
  while (left > 0 && scan->shard < CACHE_SHARDS) left -= step_in_shard(scan, left, now_ns);
  return scan->shard < CACHE_SHARDS;
}
