/* One key of a signature algorithm, read from the forms in which keys are handed out.
 *
 * Pure functions of any thread. Messages of errors hold nothing of the key. */
#ifndef TIDEGATE_IO_SIGNING_KEY_H
#define TIDEGATE_IO_SIGNING_KEY_H

#include <stddef.h>

#include "base/err.h"

#define SIGNING_KEY_TEXT_MAX 16384 /* bytes that a key may be written in */
#define SIGNING_KEY_RSA_MIN 2048   /* bits of an RSA key that signs */
#define SIGNING_KEY_RSA_MAX 4096   /* what is above would hold up the loop */
#define SIGNING_KEY_RSA_OLD 1024   /* bits of an RSA key that may still verify */
#define SIGNING_KEY_RSA_LARGE 8192 /* bits of the largest that verifies */
#define SIGNING_KEY_ED25519 32     /* bytes of a raw key, public or private */

enum signature_algorithm {
  SIGNATURE_ED25519,
  SIGNATURE_RSA_SHA256,     /* PKCS #1 v1.5 */
  SIGNATURE_RSA_PSS_SHA256, /* the salt as long as the digest */
  SIGNATURE_ECDSA_SHA256,   /* the signature is DER */
  SIGNATURE_ES256,          /* the same over P-256, the signature r and s, 32 bytes each (JWS) */
  SIGNATURE_RSA_SHA1,       /* PKCS #1 v1.5; verifies only */
  SIGNATURE_ALGORITHMS,     /* how many there are */
};

enum signing_key_use { SIGNING_KEY_VERIFIES, SIGNING_KEY_SIGNS };

struct evp_pkey_st;

/* The key, the caller's to free (EVP_PKEY_free); NULL with code "invalid_key" when it cannot be
 * read or is none for the algorithm.
 *
 * One that verifies: PEM of a public key or of an X.509 certificate (whose dates and issuer are
 * the caller's to check), DER of a public key, raw or in base64; for ed25519 also the 32 bytes,
 * raw or in base64. One that signs: PEM without password; for ed25519 also the 32 bytes. */
struct evp_pkey_st *signing_key_read(enum signing_key_use use, enum signature_algorithm algorithm,
                                     const char *bytes, size_t length, struct err *err);

#endif
