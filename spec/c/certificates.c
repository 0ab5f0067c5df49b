#include "certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY 86400L

struct identity {
  X509 *certificate;
  EVP_PKEY *key;
};

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "certificates: %s failed\n", what);
  abort();
}

static void extend(X509 *certificate, X509 *issuer, int name, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, name, value);
  check(extension != NULL, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

/* Without an issuer it signs itself. */
static struct identity make(const char *name, const char *alternatives, long from, long until,
                            const struct identity *issuer) {
  static long serial = 1;
  struct identity identity = {X509_new(), EVP_EC_gen("P-256")};
  check(identity.certificate != NULL && identity.key != NULL, "key");
  X509 *certificate = identity.certificate;
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), until);
  X509_set_pubkey(certificate, identity.key);
  X509_NAME *subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
  X509 *signer = issuer != NULL ? issuer->certificate : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  if (alternatives == NULL) extend(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
  if (alternatives != NULL) extend(certificate, signer, NID_subject_alt_name, alternatives);
  check(X509_sign(certificate, issuer != NULL ? issuer->key : identity.key, EVP_sha256()) > 0,
        "signing");
  return identity;
}

static void save(const struct identity *identity, const char *folder, const char *name,
                 char path[96]) {
  snprintf(path, 96, "%s/%s.pem", folder, name);
  FILE *file = fopen(path, "w");
  check(file != NULL, path);
  PEM_write_X509(file, identity->certificate);
  PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
  check(fclose(file) == 0, path);
}

static void discard(struct identity *identity) {
  X509_free(identity->certificate);
  EVP_PKEY_free(identity->key);
}

static void make_leaf(const char *folder, const char *name, const char *alternatives, long from,
                      long until, const struct identity *issuer, char path[96]) {
  struct identity leaf = make(name, alternatives, from, until, issuer);
  save(&leaf, folder, name, path);
  discard(&leaf);
}

void certificates_make(struct certificates *certificates) {
  static const char here[] = "DNS:localhost,IP:127.0.0.1";
  snprintf(certificates->folder, sizeof certificates->folder, "/tmp/tidegate-spec-XXXXXX");
  check(mkdtemp(certificates->folder) != NULL, "mkdtemp");
  const char *folder = certificates->folder;
  struct identity authority = make("authority", NULL, -DAY, 10 * DAY, NULL);
  save(&authority, folder, "authority", certificates->authority);
  make_leaf(folder, "valid", here, -DAY, DAY, &authority, certificates->valid);
  make_leaf(folder, "wrong-host", "DNS:other.test", -DAY, DAY, &authority,
            certificates->wrong_host);
  make_leaf(folder, "expired", here, -3 * DAY, -DAY, &authority, certificates->expired);
  make_leaf(folder, "self-signed", here, -DAY, DAY, NULL, certificates->self_signed);
  make_leaf(folder, "client", "DNS:client.test", -DAY, DAY, &authority, certificates->client);
  discard(&authority);
}

void certificates_remove(struct certificates *certificates) {
  unlink(certificates->authority);
  unlink(certificates->valid);
  unlink(certificates->wrong_host);
  unlink(certificates->expired);
  unlink(certificates->self_signed);
  unlink(certificates->client);
  rmdir(certificates->folder);
}
