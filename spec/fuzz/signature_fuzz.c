/* Keys and signatures come from outside: whatever they hold, they are refused, do not match, or
 * match; a bit of a signature that matched, changed, matches no more. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of RFC 7515, A.3. */
static const char GOOD_KEY[] =
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs"
    "3+257rn0s2ldbqkLJK2KRiMohYjlrQ==";

static const struct signature_bytes MESSAGE = {"message", 7};

static void try_key(struct signatures *signatures, enum signature_algorithm algorithm,
                    struct signature_bytes key) {
  unsigned char out[SIGNATURE_BYTES_MAX];
  size_t length;
  bool valid;
  signature_verify(signatures, algorithm, key, MESSAGE, key, &valid, NULL);
  if (algorithm != SIGNATURE_RSA_SHA1)
    signature_sign(signatures, algorithm, key, MESSAGE, out, &length, NULL);
}

static void try_signature(struct signatures *signatures, enum signature_algorithm algorithm,
                          struct signature_bytes signature) {
  struct signature_bytes key = {GOOD_KEY, sizeof GOOD_KEY - 1};
  bool valid = false;
  if (signature_verify(signatures, algorithm, key, MESSAGE, signature, &valid, NULL) != 0) abort();
  if (!valid) return;
  char *other = malloc(signature.length);
  if (other == NULL) return;
  memcpy(other, signature.data, signature.length);
  other[signature.length - 1] ^= 1;
  signature.data = other;
  signature_verify(signatures, algorithm, key, MESSAGE, signature, &valid, NULL);
  free(other);
  if (valid) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  struct signatures *signatures = signatures_new(NULL);
  if (signatures == NULL) return 0;
  struct signature_bytes rest = {(const char *)data + 1, size - 1};
  try_key(signatures, (enum signature_algorithm)(data[0] % SIGNATURE_ALGORITHMS), rest);
  try_signature(signatures, data[0] % 2 == 0 ? SIGNATURE_ES256 : SIGNATURE_ECDSA_SHA256, rest);
  signatures_free(signatures);
  return 0;
}
