#include "engine/allocator.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536
#define CLASS_BYTES_MAX (ALLOCATOR_CLASS_BYTES * ALLOCATOR_CLASSES)

#if defined(__SANITIZE_ADDRESS__)
#define ALLOCATOR_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALLOCATOR_PLAIN 1
#endif
#endif
#ifndef ALLOCATOR_PLAIN
#define ALLOCATOR_PLAIN 0
#endif

struct allocator_chunk {
  struct allocator_chunk *next;
  size_t unused; /* keeps the blocks that follow aligned to 16 bytes */
};

void allocator_init(struct allocator *allocator) {
  memset(allocator, 0, sizeof *allocator);
}

void allocator_deinit(struct allocator *allocator) {
  struct allocator_chunk *chunk = allocator->chunks;
  while (chunk != NULL) {
    struct allocator_chunk *next = chunk->next;
    free(chunk);
    chunk = next;
  }
  allocator_init(allocator);
}

static size_t class_of(size_t size) {
  return (size - 1) / ALLOCATOR_CLASS_BYTES;
}

static int is_small(size_t size) {
  return !ALLOCATOR_PLAIN && size <= CLASS_BYTES_MAX;
}

static void push_free(struct allocator *allocator, size_t index, void *block) {
  *(void **)block = allocator->free_lists[index];
  allocator->free_lists[index] = block;
}

/* What is left of the old chunk goes to the free lists before a new one is taken. */
static int take_chunk(struct allocator *allocator) {
  while (allocator->chunk_left >= ALLOCATOR_CLASS_BYTES) {
    size_t size = allocator->chunk_left;
    if (size > CLASS_BYTES_MAX) size = CLASS_BYTES_MAX;
    size -= size % ALLOCATOR_CLASS_BYTES;
    push_free(allocator, class_of(size), allocator->chunk_next);
    allocator->chunk_next += size;
    allocator->chunk_left -= size;
  }
  struct allocator_chunk *chunk = malloc(CHUNK_BYTES);
  if (chunk == NULL) return -1;
  chunk->next = allocator->chunks;
  allocator->chunks = chunk;
  allocator->chunk_next = (char *)(chunk + 1);
  allocator->chunk_left = CHUNK_BYTES - sizeof *chunk;
  return 0;
}

static void *allocate_small(struct allocator *allocator, size_t size) {
  size_t index = class_of(size);
  void *block = allocator->free_lists[index];
  if (block != NULL) {
    /* Freed long ago, and cold by now: where the next one leads to is fetched meanwhile. */
    void *next = *(void **)block;
    allocator->free_lists[index] = next;
    __builtin_prefetch(next, 1);
    return block;
  }
  size_t bytes = (index + 1) * ALLOCATOR_CLASS_BYTES;
  if (allocator->chunk_left < bytes && take_chunk(allocator) != 0) return NULL;
  block = allocator->chunk_next;
  allocator->chunk_next += bytes;
  allocator->chunk_left -= bytes;
  return block;
}

static void *allocate(struct allocator *allocator, size_t size) {
  return is_small(size) ? allocate_small(allocator, size) : malloc(size);
}

static void release(struct allocator *allocator, void *block, size_t size) {
  if (is_small(size)) {
    push_free(allocator, class_of(size), block);
  } else {
    free(block);
  }
}

static void *resize(struct allocator *allocator, void *block, size_t old_size, size_t new_size) {
  if (!is_small(old_size) && !is_small(new_size)) return realloc(block, new_size);
  if (is_small(old_size) && is_small(new_size) && class_of(old_size) == class_of(new_size))
    return block;
  void *moved = allocate(allocator, new_size);
  if (moved == NULL) return NULL;
  memcpy(moved, block, old_size < new_size ? old_size : new_size);
  release(allocator, block, old_size);
  return moved;
}

static bool is_over(const struct allocator *allocator, size_t growth) {
  if (allocator->limit == 0) return false;
  return allocator->used > allocator->limit || growth > allocator->limit - allocator->used;
}

void *allocator_reallocate(void *argument, void *block, size_t old_size, size_t new_size) {
  struct allocator *allocator = argument;
  if (block == NULL) old_size = 0; /* Lua passes the kind of object there */
  if (new_size == 0) {
    if (block != NULL) release(allocator, block, old_size);
    allocator->used -= old_size;
    return NULL;
  }
  if (new_size > old_size && is_over(allocator, new_size - old_size)) return NULL;
  void *result =
      block == NULL ? allocate(allocator, new_size) : resize(allocator, block, old_size, new_size);
  /* Lua relies on it that shrinking cannot fail; a block may stay larger than it is said. */
  if (result == NULL && block != NULL && new_size <= old_size) result = block;
  if (result == NULL) return NULL;
  allocator->used += new_size - old_size;
  return result;
}
