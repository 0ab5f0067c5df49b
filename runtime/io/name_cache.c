#include "io/name_cache.h"

#include <stdlib.h>
#include <string.h>

static struct resolver_lookup **bucket_of(struct name_cache *cache, const char *name) {
  uint32_t hash = 2166136261u; /* FNV-1a */
  for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
  return &cache->buckets[hash % NAME_CACHE_BUCKETS];
}

static void append(struct name_list *list, struct resolver_lookup *lookup) {
  lookup->previous = list->last;
  lookup->next = NULL;
  if (list->last != NULL)
    list->last->next = lookup;
  else
    list->first = lookup;
  list->last = lookup;
  list->count++;
}

static void unlink_from(struct name_list *list, struct resolver_lookup *lookup) {
  if (lookup->previous != NULL)
    lookup->previous->next = lookup->next;
  else
    list->first = lookup->next;
  if (lookup->next != NULL)
    lookup->next->previous = lookup->previous;
  else
    list->last = lookup->previous;
  list->count--;
}

struct resolver_lookup *name_cache_find(struct name_cache *cache, const char *name) {
  struct resolver_lookup *lookup = *bucket_of(cache, name);
  while (lookup != NULL && strcmp(lookup->name, name) != 0) lookup = lookup->chain;
  return lookup;
}

struct resolver_lookup *name_cache_add(struct name_cache *cache, const char *name) {
  size_t length = strlen(name);
  struct resolver_lookup *lookup = calloc(1, sizeof *lookup + length + 1);
  if (lookup == NULL) return NULL;
  memcpy(lookup->name, name, length);
  lookup->name_length = length;
  struct resolver_lookup **bucket = bucket_of(cache, name);
  lookup->chain = *bucket;
  *bucket = lookup;
  lookup->is_listed = true;
  append(&cache->asked, lookup);
  return lookup;
}

static void unchain(struct name_cache *cache, struct resolver_lookup *lookup) {
  struct resolver_lookup **link = bucket_of(cache, lookup->name);
  while (*link != lookup) link = &(*link)->chain;
  *link = lookup->chain;
  lookup->is_listed = false;
}

void name_cache_remove(struct name_cache *cache, struct resolver_lookup *lookup) {
  unchain(cache, lookup);
  unlink_from(lookup->state == LOOKUP_ASKED ? &cache->asked : &cache->known, lookup);
}

void name_cache_settle(struct name_cache *cache, struct resolver_lookup *lookup) {
  unlink_from(&cache->asked, lookup);
  append(&cache->known, lookup);
  if (cache->known.count <= RESOLVER_NAMES_MAX) return;
  struct resolver_lookup *oldest = cache->known.first;
  if (oldest->is_queued) return;
  name_cache_remove(cache, oldest);
  free(oldest);
}

void name_cache_clear(struct name_cache *cache) {
  struct resolver_lookup *lookup = cache->known.first;
  while (lookup != NULL) {
    struct resolver_lookup *next = lookup->next;
    unchain(cache, lookup);
    free(lookup);
    lookup = next;
  }
  cache->known = (struct name_list){0};
}
