/* A keyed hash of bytes for tables in memory (SipHash-1-3): who does not know the seed cannot
 * make keys that collide. Not for signatures. Pure functions; any thread. */
#ifndef TIDEGATE_BASE_HASH_H
#define TIDEGATE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_seed {
  uint64_t words[2];
};

/* Random; falls back on addresses and the clock when the kernel gives no random bytes. */
struct hash_seed hash_seed_random(void);

uint64_t hash_bytes(const struct hash_seed *seed, const void *bytes, size_t length);

#endif
