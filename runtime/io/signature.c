#include "io/signature.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define ES256_HALF 32    /* bytes of r and of s */
#define ES256_DER_MAX 72 /* both as DER */

const char *const signature_algorithm_names[SIGNATURE_ALGORITHMS + 1] = {
    "ed25519", "rsa-sha256", "rsa-pss-sha256", "ecdsa-sha256", "es256", "rsa-sha1", NULL};

struct kept {
  EVP_PKEY *key; /* NULL: free place */
  char *text;    /* own copy of what it was read from */
  size_t length;
  uint64_t hash;
  uint64_t used_at; /* turn of the last use */
  enum signing_key_use use;
  enum signature_algorithm algorithm;
};

struct signatures {
  EVP_MD_CTX *context;
  struct hash_seed seed;
  uint64_t turn;
  struct kept kept[SIGNATURE_KEYS_MAX];
};

static int failed(struct err *err, const char *what) {
  ERR_clear_error();
  return err_set(err, "crypto", "OpenSSL could not %s", what);
}

/* --- kept keys ------------------------------------------------------------------------------ */

static void forget(struct kept *kept) {
  EVP_PKEY_free(kept->key);
  OPENSSL_clear_free(kept->text, kept->length);
  *kept = (struct kept){0};
}

static struct kept *find(struct signatures *signatures, const struct kept *wanted) {
  for (int index = 0; index < SIGNATURE_KEYS_MAX; index++) {
    struct kept *kept = &signatures->kept[index];
    if (kept->key == NULL || kept->hash != wanted->hash || kept->use != wanted->use ||
        kept->algorithm != wanted->algorithm || kept->length != wanted->length)
      continue;
    if (CRYPTO_memcmp(kept->text, wanted->text, wanted->length) == 0) return kept;
  }
  return NULL;
}

static struct kept *oldest_place(struct signatures *signatures) {
  struct kept *oldest = &signatures->kept[0];
  for (int index = 1; index < SIGNATURE_KEYS_MAX && oldest->key != NULL; index++) {
    struct kept *kept = &signatures->kept[index];
    if (kept->key == NULL || kept->used_at < oldest->used_at) oldest = kept;
  }
  return oldest;
}

static struct kept *keep(struct signatures *signatures, const struct kept *wanted,
                         struct err *err) {
  EVP_PKEY *key =
      signing_key_read(wanted->use, wanted->algorithm, wanted->text, wanted->length, err);
  if (key == NULL) return NULL;
  char *text = OPENSSL_memdup(wanted->text, wanted->length);
  if (text == NULL) {
    EVP_PKEY_free(key);
    failed(err, "keep a key");
    return NULL;
  }
  struct kept *kept = oldest_place(signatures);
  forget(kept);
  *kept = *wanted;
  kept->key = key;
  kept->text = text;
  return kept;
}

/* The key, borrowed until the next call; NULL with code "invalid_key" or "crypto". */
static EVP_PKEY *key_of(struct signatures *signatures, enum signing_key_use use,
                        enum signature_algorithm algorithm, struct signature_bytes bytes,
                        struct err *err) {
  struct kept wanted = {.text = (char *)bytes.data,
                        .length = bytes.length,
                        .hash = hash_bytes(&signatures->seed, bytes.data, bytes.length),
                        .use = use,
                        .algorithm = algorithm};
  struct kept *kept = find(signatures, &wanted);
  if (kept == NULL) kept = keep(signatures, &wanted, err);
  if (kept == NULL) return NULL;
  kept->used_at = ++signatures->turn;
  return kept->key;
}

struct signatures *signatures_new(struct err *err) {
  struct signatures *signatures = calloc(1, sizeof *signatures);
  if (signatures != NULL) signatures->context = EVP_MD_CTX_new();
  if (signatures != NULL && signatures->context != NULL) {
    signatures->seed = hash_seed_random();
    return signatures;
  }
  free(signatures);
  failed(err, "be set up: out of memory");
  return NULL;
}

void signatures_free(struct signatures *signatures) {
  if (signatures == NULL) return;
  for (int index = 0; index < SIGNATURE_KEYS_MAX; index++) forget(&signatures->kept[index]);
  EVP_MD_CTX_free(signatures->context);
  free(signatures);
}

/* --- ES256 ---------------------------------------------------------------------------------- */

/* DER -> r and s. */
static bool to_halves(const unsigned char *der, size_t length, unsigned char out[2 * ES256_HALF]) {
  ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
  if (pair == NULL) return false;
  bool done = BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, ES256_HALF) == ES256_HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + ES256_HALF, ES256_HALF) == ES256_HALF;
  ECDSA_SIG_free(pair);
  return done;
}

/* r and s -> DER; its length, or 0. */
static size_t from_halves(const unsigned char *halves, unsigned char der[ES256_DER_MAX]) {
  ECDSA_SIG *pair = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(halves, ES256_HALF, NULL);
  BIGNUM *s = BN_bin2bn(halves + ES256_HALF, ES256_HALF, NULL);
  if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return 0;
  }
  int length = i2d_ECDSA_SIG(pair, &der);
  ECDSA_SIG_free(pair);
  return length > 0 ? (size_t)length : 0;
}

/* --- signing and verifying ------------------------------------------------------------------ */

static const char *digest_of(enum signature_algorithm algorithm) {
  if (algorithm == SIGNATURE_ED25519) return NULL;
  return algorithm == SIGNATURE_RSA_SHA1 ? "SHA1" : "SHA256";
}

/* A salt of another length than ours is no weaker: verification takes any. */
static bool set_padding(EVP_PKEY_CTX *options, enum signature_algorithm algorithm,
                        enum signing_key_use use) {
  if (algorithm != SIGNATURE_RSA_PSS_SHA256) return true;
  int salt = use == SIGNING_KEY_SIGNS ? RSA_PSS_SALTLEN_DIGEST : RSA_PSS_SALTLEN_AUTO;
  return EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt) == 1;
}

static bool begin(struct signatures *signatures, enum signature_algorithm algorithm,
                  enum signing_key_use use, EVP_PKEY *key) {
  EVP_PKEY_CTX *options = NULL;
  const char *digest = digest_of(algorithm);
  EVP_MD_CTX *context = signatures->context;
  EVP_MD_CTX_reset(context);
  int done = use == SIGNING_KEY_SIGNS
                 ? EVP_DigestSignInit_ex(context, &options, digest, NULL, NULL, key, NULL)
                 : EVP_DigestVerifyInit_ex(context, &options, digest, NULL, NULL, key, NULL);
  return done == 1 && set_padding(options, algorithm, use);
}

int signature_sign(struct signatures *signatures, enum signature_algorithm algorithm,
                   struct signature_bytes key, struct signature_bytes data,
                   unsigned char out[SIGNATURE_BYTES_MAX], size_t *out_length, struct err *err) {
  unsigned char made[SIGNATURE_BYTES_MAX];
  size_t length = sizeof made;
  EVP_PKEY *pair = key_of(signatures, SIGNING_KEY_SIGNS, algorithm, key, err);
  if (pair == NULL) return -1;
  bool done = begin(signatures, algorithm, SIGNING_KEY_SIGNS, pair) &&
              EVP_DigestSign(signatures->context, made, &length, (const unsigned char *)data.data,
                             data.length) == 1;
  if (!done) return failed(err, "sign");
  if (algorithm == SIGNATURE_ES256) {
    if (!to_halves(made, length, out)) return failed(err, "write a signature");
    length = (size_t)2 * ES256_HALF;
  } else {
    memcpy(out, made, length);
  }
  *out_length = length;
  return 0;
}

static bool matches(struct signatures *signatures, struct signature_bytes data,
                    const unsigned char *signature, size_t length) {
  int status = EVP_DigestVerify(signatures->context, signature, length,
                                (const unsigned char *)data.data, data.length);
  ERR_clear_error();
  return status == 1;
}

int signature_verify(struct signatures *signatures, enum signature_algorithm algorithm,
                     struct signature_bytes key, struct signature_bytes data,
                     struct signature_bytes signature, bool *valid, struct err *err) {
  unsigned char der[ES256_DER_MAX];
  const unsigned char *bytes = (const unsigned char *)signature.data;
  size_t length = signature.length;
  EVP_PKEY *public_key = key_of(signatures, SIGNING_KEY_VERIFIES, algorithm, key, err);
  if (public_key == NULL) return -1;
  if (!begin(signatures, algorithm, SIGNING_KEY_VERIFIES, public_key))
    return failed(err, "verify a signature");
  if (algorithm == SIGNATURE_ES256) {
    length = length == (size_t)2 * ES256_HALF ? from_halves(bytes, der) : 0;
    bytes = der;
  }
  *valid = length > 0 && matches(signatures, data, bytes, length);
  return 0;
}

size_t signature_kept_keys(const struct signatures *signatures) {
  size_t count = 0;
  for (int index = 0; index < SIGNATURE_KEYS_MAX; index++)
    if (signatures->kept[index].key != NULL) count++;
  return count;
}
