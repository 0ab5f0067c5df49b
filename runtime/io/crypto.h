/* Digests, MACs, random bytes and authenticated encryption (OpenSSL).
 *
 * A `struct crypto` belongs to one worker's thread: it keeps fetched algorithms and keyed MAC
 * contexts, since fetching and keying cost more than a short MAC. Keys that it keeps are
 * wiped when they make room for others and when it is freed. */
#ifndef TIDEGATE_IO_CRYPTO_H
#define TIDEGATE_IO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CRYPTO_DIGEST_MAX 64     /* bytes of the longest digest */
#define CRYPTO_KEYS_MAX 64       /* keyed contexts kept */
#define CRYPTO_KEY_KEPT_MAX 4096 /* longer keys are used, but not kept */
#define CRYPTO_SEAL_KEY_BYTES 32
#define CRYPTO_SEAL_EXTRA 28       /* nonce (12) before and tag (16) after the ciphertext */
#define CRYPTO_SEAL_MAX 0x7fff0000 /* bytes of one sealed text */

enum crypto_algorithm {
  CRYPTO_SHA256,
  CRYPTO_SHA1,
  CRYPTO_SHA384,
  CRYPTO_SHA512,
  CRYPTO_MD5,
  CRYPTO_ALGORITHMS, /* how many there are */
};

struct crypto;

/* The names in the order of the enum, NULL at the end: "sha256", … */
extern const char *const crypto_algorithm_names[CRYPTO_ALGORITHMS + 1];

/* NULL (code "crypto") without memory or without one of the algorithms. */
struct crypto *crypto_new(struct err *err);
void crypto_free(struct crypto *crypto);

/* Writes the digest and its length. -1 with code "crypto". */
int crypto_digest(struct crypto *crypto, enum crypto_algorithm algorithm, const void *bytes,
                  size_t length, unsigned char out[CRYPTO_DIGEST_MAX], size_t *out_length,
                  struct err *err);
int crypto_hmac(struct crypto *crypto, enum crypto_algorithm algorithm, const void *key,
                size_t key_length, const void *bytes, size_t length,
                unsigned char out[CRYPTO_DIGEST_MAX], size_t *out_length, struct err *err);

/* In a time that depends on the lengths alone. False for different lengths. */
bool crypto_equal(const void *one, size_t one_length, const void *two, size_t two_length);

int crypto_random(void *out, size_t count, struct err *err);

/* AES-256-GCM under a random nonce. `out` has room for length + CRYPTO_SEAL_EXTRA bytes. */
int crypto_seal(struct crypto *crypto, const unsigned char key[CRYPTO_SEAL_KEY_BYTES],
                const void *plain, size_t length, const void *associated, size_t associated_length,
                unsigned char *out, struct err *err);
/* `out` has room for length - CRYPTO_SEAL_EXTRA bytes; it is wiped when the tag is wrong. */
int crypto_open(struct crypto *crypto, const unsigned char key[CRYPTO_SEAL_KEY_BYTES],
                const void *sealed, size_t length, const void *associated, size_t associated_length,
                unsigned char *out, struct err *err);

/* Keyed contexts kept now (for specs). */
size_t crypto_kept_keys(const struct crypto *crypto);

#endif
