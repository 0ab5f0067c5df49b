/* The memory of one lua_State: free lists of 16-byte classes up to 512 bytes, malloc above,
 * and a ceiling.
 *
 * Lua frees in bursts; glibc then consolidates for 60 to 200 ms at a time, these lists do
 * not. Their memory goes back to the system only when the state is closed, which is why it
 * is bounded. One thread. Under AddressSanitizer every block is malloc's, so that it sees
 * them. */
#ifndef TIDEGATE_ENGINE_ALLOCATOR_H
#define TIDEGATE_ENGINE_ALLOCATOR_H

#include <stddef.h>

#define ALLOCATOR_CLASS_BYTES 16
#define ALLOCATOR_CLASSES 32 /* the largest class is 512 bytes */

struct allocator_chunk;

struct allocator {
  size_t used;  /* bytes that Lua holds */
  size_t limit; /* growth past it is refused; 0: none */
  void *free_lists[ALLOCATOR_CLASSES];
  struct allocator_chunk *chunks;
  char *chunk_next; /* what is left of the newest chunk */
  size_t chunk_left;
};

/* Cannot fail; allocates nothing. */
void allocator_init(struct allocator *allocator);
/* After lua_close. */
void allocator_deinit(struct allocator *allocator);
/* A lua_Alloc; `allocator` is its user data. */
void *allocator_reallocate(void *allocator, void *block, size_t old_size, size_t new_size);

#endif
