#include "io/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16

const char *const crypto_algorithm_names[CRYPTO_ALGORITHMS + 1] = {"sha256", "sha1", "sha384",
                                                                   "sha512", "md5",  NULL};

struct keyed {
  EVP_MAC_CTX *context; /* NULL: free place */
  unsigned char *key;   /* own copy */
  size_t key_length;
  uint64_t hash;
  uint64_t used_at; /* turn of the last use */
  enum crypto_algorithm algorithm;
};

struct crypto {
  EVP_MD *digests[CRYPTO_ALGORITHMS];
  EVP_MD_CTX *digest_context;
  EVP_MAC *hmac;
  EVP_CIPHER *cipher;
  EVP_CIPHER_CTX *cipher_context;
  struct hash_seed seed;
  uint64_t turn;
  struct keyed keyed[CRYPTO_KEYS_MAX];
};

static int failed(struct err *err, const char *what) {
  return err_set(err, "crypto", "OpenSSL could not %s", what);
}

static bool fetch(struct crypto *crypto) {
  for (int index = 0; index < CRYPTO_ALGORITHMS; index++) {
    crypto->digests[index] = EVP_MD_fetch(NULL, crypto_algorithm_names[index], NULL);
    if (crypto->digests[index] == NULL) return false;
  }
  crypto->digest_context = EVP_MD_CTX_new();
  crypto->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
  crypto->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  crypto->cipher_context = EVP_CIPHER_CTX_new();
  return crypto->digest_context != NULL && crypto->hmac != NULL && crypto->cipher != NULL &&
         crypto->cipher_context != NULL;
}

struct crypto *crypto_new(struct err *err) {
  struct crypto *crypto = calloc(1, sizeof *crypto);
  if (crypto == NULL) {
    failed(err, "be set up: out of memory");
    return NULL;
  }
  crypto->seed = hash_seed_random();
  if (fetch(crypto)) return crypto;
  failed(err, "provide an algorithm of tide.crypto");
  crypto_free(crypto);
  return NULL;
}

static void forget(struct keyed *keyed) {
  EVP_MAC_CTX_free(keyed->context);
  OPENSSL_clear_free(keyed->key, keyed->key_length);
  *keyed = (struct keyed){0};
}

void crypto_free(struct crypto *crypto) {
  if (crypto == NULL) return;
  for (int index = 0; index < CRYPTO_KEYS_MAX; index++) forget(&crypto->keyed[index]);
  for (int index = 0; index < CRYPTO_ALGORITHMS; index++) EVP_MD_free(crypto->digests[index]);
  EVP_MD_CTX_free(crypto->digest_context);
  EVP_MAC_free(crypto->hmac);
  EVP_CIPHER_free(crypto->cipher);
  EVP_CIPHER_CTX_free(crypto->cipher_context);
  free(crypto);
}

int crypto_digest(struct crypto *crypto, enum crypto_algorithm algorithm, const void *bytes,
                  size_t length, unsigned char out[CRYPTO_DIGEST_MAX], size_t *out_length,
                  struct err *err) {
  unsigned written = 0;
  EVP_MD_CTX *context = crypto->digest_context;
  bool done = EVP_DigestInit_ex2(context, crypto->digests[algorithm], NULL) == 1 &&
              EVP_DigestUpdate(context, bytes, length) == 1 &&
              EVP_DigestFinal_ex(context, out, &written) == 1;
  if (!done) return failed(err, "compute a digest");
  *out_length = written;
  return 0;
}

static EVP_MAC_CTX *new_keyed_context(struct crypto *crypto, enum crypto_algorithm algorithm,
                                      const void *key, size_t key_length) {
  /* OpenSSL takes a key of no bytes for "keep the key", so the empty key is one zero byte,
   * which HMAC pads to the same block. */
  static const unsigned char zero = 0;
  char name[16];
  size_t name_length = strlen(crypto_algorithm_names[algorithm]);
  memcpy(name, crypto_algorithm_names[algorithm], name_length + 1);
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, name_length),
      OSSL_PARAM_construct_end()};
  EVP_MAC_CTX *context = EVP_MAC_CTX_new(crypto->hmac);
  if (context == NULL) return NULL;
  const void *real_key = key_length == 0 ? &zero : key;
  if (EVP_MAC_init(context, real_key, key_length == 0 ? 1 : key_length, parameters) == 1)
    return context;
  EVP_MAC_CTX_free(context);
  return NULL;
}

static struct keyed *find_keyed(struct crypto *crypto, enum crypto_algorithm algorithm,
                                const void *key, size_t key_length, uint64_t hash) {
  for (int index = 0; index < CRYPTO_KEYS_MAX; index++) {
    struct keyed *keyed = &crypto->keyed[index];
    if (keyed->context == NULL || keyed->hash != hash || keyed->algorithm != algorithm) continue;
    if (crypto_equal(keyed->key, keyed->key_length, key, key_length)) return keyed;
  }
  return NULL;
}

static struct keyed *oldest_place(struct crypto *crypto) {
  struct keyed *oldest = &crypto->keyed[0];
  for (int index = 1; index < CRYPTO_KEYS_MAX && oldest->context != NULL; index++) {
    struct keyed *keyed = &crypto->keyed[index];
    if (keyed->context == NULL || keyed->used_at < oldest->used_at) oldest = keyed;
  }
  return oldest;
}

static struct keyed *keep_key(struct crypto *crypto, enum crypto_algorithm algorithm,
                              const void *key, size_t key_length, uint64_t hash) {
  unsigned char *copy = OPENSSL_malloc(key_length + 1);
  EVP_MAC_CTX *context = new_keyed_context(crypto, algorithm, key, key_length);
  if (copy == NULL || context == NULL) {
    OPENSSL_free(copy);
    EVP_MAC_CTX_free(context);
    return NULL;
  }
  if (key_length > 0) memcpy(copy, key, key_length);
  struct keyed *keyed = oldest_place(crypto);
  forget(keyed);
  *keyed = (struct keyed){.context = context,
                          .key = copy,
                          .key_length = key_length,
                          .hash = hash,
                          .algorithm = algorithm};
  return keyed;
}

static bool run_mac(EVP_MAC_CTX *context, const void *bytes, size_t length,
                    unsigned char out[CRYPTO_DIGEST_MAX], size_t *out_length) {
  size_t written = 0;
  bool done = EVP_MAC_init(context, NULL, 0, NULL) == 1 &&
              EVP_MAC_update(context, bytes, length) == 1 &&
              EVP_MAC_final(context, out, &written, CRYPTO_DIGEST_MAX) == 1;
  if (done) *out_length = written;
  return done;
}

static bool hmac_once(struct crypto *crypto, enum crypto_algorithm algorithm, const void *key,
                      size_t key_length, const void *bytes, size_t length,
                      unsigned char out[CRYPTO_DIGEST_MAX], size_t *out_length) {
  EVP_MAC_CTX *context = new_keyed_context(crypto, algorithm, key, key_length);
  bool done = context != NULL && run_mac(context, bytes, length, out, out_length);
  EVP_MAC_CTX_free(context);
  return done;
}

int crypto_hmac(struct crypto *crypto, enum crypto_algorithm algorithm, const void *key,
                size_t key_length, const void *bytes, size_t length,
                unsigned char out[CRYPTO_DIGEST_MAX], size_t *out_length, struct err *err) {
  if (key_length > CRYPTO_KEY_KEPT_MAX) {
    if (hmac_once(crypto, algorithm, key, key_length, bytes, length, out, out_length)) return 0;
    return failed(err, "compute a MAC");
  }
  uint64_t hash = hash_bytes(&crypto->seed, key, key_length);
  struct keyed *keyed = find_keyed(crypto, algorithm, key, key_length, hash);
  if (keyed == NULL) keyed = keep_key(crypto, algorithm, key, key_length, hash);
  if (keyed == NULL) return failed(err, "key a MAC");
  keyed->used_at = ++crypto->turn;
  if (run_mac(keyed->context, bytes, length, out, out_length)) return 0;
  forget(keyed);
  return failed(err, "compute a MAC");
}

bool crypto_equal(const void *one, size_t one_length, const void *two, size_t two_length) {
  if (one_length != two_length) return false;
  return one_length == 0 || CRYPTO_memcmp(one, two, one_length) == 0;
}

int crypto_random(void *out, size_t count, struct err *err) {
  if (count <= INT32_MAX && RAND_bytes(out, (int)count) == 1) return 0;
  return failed(err, "make random bytes");
}

/* The associated data, which has no output. */
static bool feed_associated(EVP_CIPHER_CTX *context, const void *associated, size_t length) {
  int ignored;
  return length == 0 || EVP_CipherUpdate(context, NULL, &ignored, associated, (int)length) == 1;
}

static bool feed(EVP_CIPHER_CTX *context, unsigned char *out, const void *in, size_t length) {
  int written;
  return length == 0 || EVP_CipherUpdate(context, out, &written, in, (int)length) == 1;
}

int crypto_seal(struct crypto *crypto, const unsigned char key[CRYPTO_SEAL_KEY_BYTES],
                const void *plain, size_t length, const void *associated, size_t associated_length,
                unsigned char *out, struct err *err) {
  if (length > CRYPTO_SEAL_MAX - CRYPTO_SEAL_EXTRA || associated_length > CRYPTO_SEAL_MAX)
    return err_set(err, "too_large", "the text is too long to be sealed");
  if (crypto_random(out, NONCE_BYTES, err) != 0) return -1;
  EVP_CIPHER_CTX *context = crypto->cipher_context;
  unsigned char *text = out + NONCE_BYTES;
  int rest = 0;
  bool done = EVP_EncryptInit_ex2(context, crypto->cipher, key, out, NULL) == 1 &&
              feed_associated(context, associated, associated_length) &&
              feed(context, text, plain, length) &&
              EVP_EncryptFinal_ex(context, text + length, &rest) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + length) == 1;
  EVP_CIPHER_CTX_reset(context);
  return done ? 0 : failed(err, "seal a text");
}

int crypto_open(struct crypto *crypto, const unsigned char key[CRYPTO_SEAL_KEY_BYTES],
                const void *sealed, size_t length, const void *associated, size_t associated_length,
                unsigned char *out, struct err *err) {
  if (length < CRYPTO_SEAL_EXTRA || length > CRYPTO_SEAL_MAX || associated_length > CRYPTO_SEAL_MAX)
    return err_set(err, "not_authentic", "the sealed text has an impossible length");
  EVP_CIPHER_CTX *context = crypto->cipher_context;
  const unsigned char *nonce = sealed;
  size_t plain_length = length - CRYPTO_SEAL_EXTRA;
  unsigned char tag[TAG_BYTES];
  memcpy(tag, nonce + length - TAG_BYTES, TAG_BYTES);
  int rest = 0;
  bool done = EVP_DecryptInit_ex2(context, crypto->cipher, key, nonce, NULL) == 1 &&
              feed_associated(context, associated, associated_length) &&
              feed(context, out, nonce + NONCE_BYTES, plain_length) &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
              EVP_DecryptFinal_ex(context, out + plain_length, &rest) == 1;
  EVP_CIPHER_CTX_reset(context);
  if (done) return 0;
  if (plain_length > 0) OPENSSL_cleanse(out, plain_length);
  return err_set(err, "not_authentic",
                 "the sealed text was changed, or made with another key or other associated data");
}

size_t crypto_kept_keys(const struct crypto *crypto) {
  size_t count = 0;
  for (int index = 0; index < CRYPTO_KEYS_MAX; index++)
    if (crypto->keyed[index].context != NULL) count++;
  return count;
}
