#include "io/signing_key.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "base/encoding.h"

#define GROUP_NAME_MAX 64

/* --- reading -------------------------------------------------------------------------------- */

/* OpenSSL would ask on the terminal. */
static int no_password(char *text, int size, int writes, void *argument) {
  (void)text, (void)size, (void)writes, (void)argument;
  return -1;
}

static bool is_pem(const char *bytes, size_t length) {
  static const char begin[] = "-----BEGIN ";
  return memmem(bytes, length, begin, sizeof begin - 1) != NULL;
}

static EVP_PKEY *read_pem_public(const char *bytes, size_t length) {
  BIO *bio = BIO_new_mem_buf(bytes, (int)length);
  if (bio == NULL) return NULL;
  EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
  BIO_free(bio);
  return key;
}

static EVP_PKEY *read_pem_certificate(const char *bytes, size_t length) {
  BIO *bio = BIO_new_mem_buf(bytes, (int)length);
  if (bio == NULL) return NULL;
  X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
  EVP_PKEY *key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
  X509_free(certificate);
  BIO_free(bio);
  return key;
}

static EVP_PKEY *read_pem_private(const char *bytes, size_t length) {
  BIO *bio = BIO_new_mem_buf(bytes, (int)length);
  if (bio == NULL) return NULL;
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
  BIO_free(bio);
  return key;
}

/* Without encoding: 32 bytes for ed25519, else DER with nothing after it. */
static EVP_PKEY *read_plain_public(enum signature_algorithm algorithm, const unsigned char *bytes,
                                   size_t length) {
  if (algorithm == SIGNATURE_ED25519 && length == SIGNING_KEY_ED25519)
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, length);
  const unsigned char *end = bytes;
  EVP_PKEY *key = d2i_PUBKEY(NULL, &end, (long)length);
  if (key == NULL || end == bytes + length) return key;
  EVP_PKEY_free(key);
  return NULL;
}

static EVP_PKEY *read_public(enum signature_algorithm algorithm, const char *bytes, size_t length) {
  if (is_pem(bytes, length)) {
    EVP_PKEY *key = read_pem_public(bytes, length);
    return key != NULL ? key : read_pem_certificate(bytes, length);
  }
  EVP_PKEY *key = read_plain_public(algorithm, (const unsigned char *)bytes, length);
  if (key != NULL) return key;
  unsigned char decoded[ENCODING_FROM_BASE64_SIZE(SIGNING_KEY_TEXT_MAX)];
  size_t decoded_length;
  if (encoding_from_base64(ENCODING_BASE64, bytes, length, decoded, &decoded_length, NULL) != 0)
    return NULL;
  return read_plain_public(algorithm, decoded, decoded_length);
}

static EVP_PKEY *read_private(enum signature_algorithm algorithm, const char *bytes,
                              size_t length) {
  if (algorithm == SIGNATURE_ED25519 && length == SIGNING_KEY_ED25519)
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes,
                                        length);
  return is_pem(bytes, length) ? read_pem_private(bytes, length) : NULL;
}

/* --- fitting -------------------------------------------------------------------------------- */

static int unfit(struct err *err, const char *needs) {
  return err_set(err, "invalid_key", "the key does not fit: %s", needs);
}

static int check_rsa(const EVP_PKEY *key, enum signing_key_use use, struct err *err) {
  int bits = EVP_PKEY_is_a(key, "RSA") ? EVP_PKEY_get_bits(key) : 0;
  if (use == SIGNING_KEY_SIGNS && (bits < SIGNING_KEY_RSA_MIN || bits > SIGNING_KEY_RSA_MAX))
    return unfit(err, "an RSA key of 2048 to 4096 bits is needed");
  if (bits < SIGNING_KEY_RSA_OLD || bits > SIGNING_KEY_RSA_LARGE)
    return unfit(err, "an RSA key of 1024 to 8192 bits is needed");
  return 0;
}

/* Curves by name alone: one that the key itself describes could be a weak one. */
static int check_curve(const EVP_PKEY *key, enum signature_algorithm algorithm, struct err *err) {
  char group[GROUP_NAME_MAX] = "";
  size_t length;
  if (EVP_PKEY_is_a(key, "EC")) EVP_PKEY_get_group_name(key, group, sizeof group, &length);
  if (strcmp(group, "prime256v1") == 0) return 0;
  if (algorithm == SIGNATURE_ES256) return unfit(err, "a key of the curve P-256 is needed");
  if (strcmp(group, "secp384r1") == 0 || strcmp(group, "secp521r1") == 0) return 0;
  return unfit(err, "a key of the curve P-256, P-384 or P-521 is needed");
}

static int check_fits(const EVP_PKEY *key, enum signing_key_use use,
                      enum signature_algorithm algorithm, struct err *err) {
  switch (algorithm) {
    case SIGNATURE_ED25519:
      if (EVP_PKEY_is_a(key, "ED25519")) return 0;
      return unfit(err, "an Ed25519 key is needed");
    case SIGNATURE_ECDSA_SHA256:
    case SIGNATURE_ES256:
      return check_curve(key, algorithm, err);
    default:
      return check_rsa(key, use, err);
  }
}

static int unreadable(enum signing_key_use use, struct err *err) {
  if (use == SIGNING_KEY_SIGNS)
    return err_set(err, "invalid_key", "the key is not a private key in PEM, without password");
  return err_set(err, "invalid_key",
                 "the key is not a public key or certificate in PEM, nor a public key in DER or "
                 "its base64");
}

EVP_PKEY *signing_key_read(enum signing_key_use use, enum signature_algorithm algorithm,
                           const char *bytes, size_t length, struct err *err) {
  EVP_PKEY *key = NULL;
  if (length > 0 && length <= SIGNING_KEY_TEXT_MAX)
    key = use == SIGNING_KEY_SIGNS ? read_private(algorithm, bytes, length)
                                   : read_public(algorithm, bytes, length);
  /* What was tried in vain must not be taken for the error of somebody else. */
  ERR_clear_error();
  if (key == NULL) {
    unreadable(use, err);
    return NULL;
  }
  if (check_fits(key, use, algorithm, err) == 0) return key;
  EVP_PKEY_free(key);
  return NULL;
}
