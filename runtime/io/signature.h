/* Signatures with key pairs: made and verified (OpenSSL).
 *
 * A `struct signatures` belongs to one worker's thread. It keeps the keys that it read last,
 * since reading one costs more than most verifications; they are wiped when they make room for
 * others and when it is freed. */
#ifndef TIDEGATE_IO_SIGNATURE_H
#define TIDEGATE_IO_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/signing_key.h"

#define SIGNATURE_BYTES_MAX (SIGNING_KEY_RSA_MAX / 8) /* of one that was made here */
#define SIGNATURE_KEYS_MAX 64                         /* keys kept */

struct signatures;

/* The names in the order of the enum, NULL at the end: "ed25519", … The last, "rsa-sha1",
 * verifies only. */
extern const char *const signature_algorithm_names[SIGNATURE_ALGORITHMS + 1];

/* NULL with code "crypto". */
struct signatures *signatures_new(struct err *err);
void signatures_free(struct signatures *signatures);

/* Key and data as they are called below: bytes, and how many. */
struct signature_bytes {
  const char *data;
  size_t length;
};

/* Signs; the key in a form of signing_key.h. -1 with code "invalid_key" or "crypto". */
int signature_sign(struct signatures *signatures, enum signature_algorithm algorithm,
                   struct signature_bytes key, struct signature_bytes data,
                   unsigned char out[SIGNATURE_BYTES_MAX], size_t *out_length, struct err *err);

/* Sets `*valid`: whether the signature is that of the data. One that is malformed is not. -1 with
 * code "invalid_key" or "crypto". */
int signature_verify(struct signatures *signatures, enum signature_algorithm algorithm,
                     struct signature_bytes key, struct signature_bytes data,
                     struct signature_bytes signature, bool *valid, struct err *err);

/* Keys kept now (for specs). */
size_t signature_kept_keys(const struct signatures *signatures);

#endif
