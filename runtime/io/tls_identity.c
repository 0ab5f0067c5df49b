#include "io/tls_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/tls_wire.h"

/* TLS 1.2 with forward secrecy and authenticated encryption only; those of 1.3 all have both. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define SESSION_CONTEXT "tidegate"

/* What tells one state of a file from another. */
struct stamp {
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec modified;
};

struct tls_identity {
  BIO_METHOD *wire;
  pthread_mutex_t mutex; /* over the context and its expiry; the rest is the loading thread's */
  SSL_CTX *context;      /* NULL: nothing was loaded */
  int64_t expiry;
  char *certificate; /* paths */
  char *key;
  struct stamp stamps[2]; /* of both, when they were last tried */
};

/* --- one context ---------------------------------------------------------------------------- */

struct credentials {
  X509 *certificate;
  STACK_OF(X509) * chain;
  EVP_PKEY *key;
};

static void discard(struct credentials *credentials) {
  X509_free(credentials->certificate);
  sk_X509_pop_free(credentials->chain, X509_free);
  EVP_PKEY_free(credentials->key);
}

static int out_of_memory(struct err *err) {
  return err_set(err, "out_of_memory", "no memory for a certificate");
}

/* The pages that held a key are wiped. */
static void close_bytes(char *bytes, size_t length) {
  OPENSSL_cleanse(bytes, length);
  free(bytes);
}

static int read_all(int descriptor, char *bytes, size_t length, size_t *count) {
  *count = 0;
  while (*count < length) {
    ssize_t got = read(descriptor, bytes + *count, length - *count);
    if (got < 0 && errno != EINTR) return -1;
    if (got == 0) return 0;
    if (got > 0) *count += (size_t)got;
  }
  return 0;
}

static int fail_to_read(struct err *err, const char *path, const char *reason) {
  return err_set(err, "io_error", "could not read %.300s: %s", path, reason);
}

/* A file that changes under us is seen at the next refresh, its stamp having been taken before. */
static int read_file(const char *path, int descriptor, char **bytes, size_t *length,
                     struct err *err) {
  struct stat file;
  if (fstat(descriptor, &file) != 0) return fail_to_read(err, path, strerror(errno));
  if (!S_ISREG(file.st_mode)) return fail_to_read(err, path, "it is not a file");
  if (file.st_size > (off_t)TLS_FILE_MAX) return fail_to_read(err, path, "it is above 1 MiB");
  size_t size = (size_t)file.st_size;
  *bytes = malloc(size + 1);
  if (*bytes == NULL) return out_of_memory(err);
  if (read_all(descriptor, *bytes, size, length) == 0) return 0;
  close_bytes(*bytes, size);
  return fail_to_read(err, path, strerror(errno));
}

static int read_path(const char *path, char **bytes, size_t *length, struct err *err) {
  /* Of a pipe that nobody writes, the opening would wait. */
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return fail_to_read(err, path, strerror(errno));
  int status = read_file(path, descriptor, bytes, length, err);
  close(descriptor);
  return status;
}

/* OpenSSL would ask on the terminal. */
static int no_password(char *text, int size, int writes, void *argument) {
  (void)text, (void)size, (void)writes, (void)argument;
  return -1;
}

static int parse_chain(BIO *bio, struct credentials *credentials) {
  credentials->certificate = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
  credentials->chain = sk_X509_new_null();
  if (credentials->certificate == NULL || credentials->chain == NULL) return -1;
  X509 *issuer;
  while ((issuer = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL)
    if (sk_X509_push(credentials->chain, issuer) == 0) return -1;
  /* The end, unless what follows the last was no certificate at all. */
  return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : -1;
}

static int parse_key(BIO *bio, struct credentials *credentials) {
  credentials->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
  return credentials->key != NULL ? 0 : -1;
}

static int parse_file(const char *path, int (*parse)(BIO *, struct credentials *),
                      struct credentials *credentials, const char *what, struct err *err) {
  char *bytes = NULL;
  size_t length = 0;
  if (read_path(path, &bytes, &length, err) != 0) return -1;
  BIO *bio = BIO_new_mem_buf(bytes, (int)length);
  int status = bio != NULL ? parse(bio, credentials) : -1;
  BIO_free(bio);
  close_bytes(bytes, length);
  if (status == 0) return 0;
  return err_set(err, "invalid_input", "%.300s holds no %s in PEM form", path, what);
}

static int read_credentials(const char *certificate, const char *key,
                            struct credentials *credentials, struct err *err) {
  if (parse_file(certificate, parse_chain, credentials, "certificate", err) != 0) return -1;
  if (parse_file(key, parse_key, credentials, "private key (without a password)", err) != 0)
    return -1;
  if (X509_check_private_key(credentials->certificate, credentials->key) == 1) return 0;
  return err_set(err, "invalid_input", "the key in %.200s is not that of the certificate in %.200s",
                 key, certificate);
}

/* Of what a client offers, HTTP/1.1 or nothing. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
                           const unsigned char *offered, unsigned offered_length, void *argument) {
  static const unsigned char ours[] = "\x08http/1.1";
  (void)ssl, (void)argument;
  unsigned char *protocol;
  if (SSL_select_next_proto(&protocol, chosen_length, ours, sizeof ours - 1, offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = protocol;
  return SSL_TLSEXT_ERR_OK;
}

/* Sessions are resumed by tickets, which any worker can read and none has to keep. */
static int set_up(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
  bool done = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
              SSL_CTX_set_session_id_context(context, (const unsigned char *)SESSION_CONTEXT,
                                             sizeof SESSION_CONTEXT - 1) == 1;
  return done ? 0 : -1;
}

static int use(SSL_CTX *context, const struct credentials *credentials, const char *path,
               struct err *err) {
  if (SSL_CTX_use_cert_and_key(context, credentials->certificate, credentials->key,
                               credentials->chain, 1) == 1)
    return 0;
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  return err_set(err, "invalid_input", "the certificate in %.300s cannot be used: %s", path,
                 reason != NULL ? reason : "unknown reason");
}

static SSL_CTX *make_context(const struct credentials *credentials, const char *path,
                             struct err *err) {
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  if (context != NULL && set_up(context) == 0) {
    if (use(context, credentials, path, err) == 0) return context;
  } else {
    out_of_memory(err);
  }
  SSL_CTX_free(context);
  return NULL;
}

static int64_t expiry_of(const X509 *certificate) {
  struct tm parts;
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return 0;
  return (int64_t)timegm(&parts);
}

static SSL_CTX *read_context(const char *certificate, const char *key, int64_t *expiry,
                             struct err *err) {
  struct credentials credentials = {0};
  SSL_CTX *context = NULL;
  if (read_credentials(certificate, key, &credentials, err) == 0)
    context = make_context(&credentials, certificate, err);
  if (context != NULL) *expiry = expiry_of(credentials.certificate);
  discard(&credentials);
  ERR_clear_error();
  return context;
}

/* --- the identity --------------------------------------------------------------------------- */

struct tls_identity *tls_identity_new(void) {
  struct tls_identity *identity = calloc(1, sizeof *identity);
  if (identity == NULL) return NULL;
  identity->wire = tls_wire_method_new();
  if (identity->wire != NULL && pthread_mutex_init(&identity->mutex, NULL) == 0) return identity;
  BIO_meth_free(identity->wire);
  free(identity);
  return NULL;
}

void tls_identity_free(struct tls_identity *identity) {
  if (identity == NULL) return;
  SSL_CTX_free(identity->context);
  BIO_meth_free(identity->wire);
  pthread_mutex_destroy(&identity->mutex);
  free(identity->certificate);
  free(identity->key);
  free(identity);
}

/* All zero for a file that is not there: its coming is a change. */
static struct stamp stamp_of(const char *path) {
  struct stat file;
  struct stamp stamp = {0};
  if (stat(path, &file) != 0) return stamp;
  stamp.device = file.st_dev;
  stamp.inode = file.st_ino;
  stamp.size = file.st_size;
  stamp.modified = file.st_mtim;
  return stamp;
}

static bool is_same(const struct stamp *left, const struct stamp *right) {
  return left->device == right->device && left->inode == right->inode &&
         left->size == right->size && left->modified.tv_sec == right->modified.tv_sec &&
         left->modified.tv_nsec == right->modified.tv_nsec;
}

static SSL_CTX *swap(struct tls_identity *identity, SSL_CTX *context, int64_t expiry) {
  pthread_mutex_lock(&identity->mutex);
  SSL_CTX *before = identity->context;
  identity->context = context;
  identity->expiry = expiry;
  pthread_mutex_unlock(&identity->mutex);
  return before;
}

/* Connections that show the old one keep it. */
static int reload(struct tls_identity *identity, struct err *err) {
  int64_t expiry = 0;
  SSL_CTX *context = read_context(identity->certificate, identity->key, &expiry, err);
  if (context == NULL) return -1;
  SSL_CTX_free(swap(identity, context, expiry));
  return 0;
}

static void take_stamps(const struct tls_identity *identity, struct stamp stamps[2]) {
  stamps[0] = stamp_of(identity->certificate);
  stamps[1] = stamp_of(identity->key);
}

static int set_paths(struct tls_identity *identity, const char *certificate, const char *key) {
  char *certificate_copy = strdup(certificate), *key_copy = strdup(key);
  if (certificate_copy == NULL || key_copy == NULL) {
    free(certificate_copy);
    free(key_copy);
    return -1;
  }
  free(identity->certificate);
  free(identity->key);
  identity->certificate = certificate_copy;
  identity->key = key_copy;
  return 0;
}

int tls_identity_load(struct tls_identity *identity, const char *certificate, const char *key,
                      struct err *err) {
  if (set_paths(identity, certificate, key) != 0) return out_of_memory(err);
  take_stamps(identity, identity->stamps);
  return reload(identity, err);
}

int tls_identity_refresh(struct tls_identity *identity, struct err *err) {
  struct stamp stamps[2];
  if (identity->certificate == NULL) return 0;
  take_stamps(identity, stamps);
  if (is_same(&stamps[0], &identity->stamps[0]) && is_same(&stamps[1], &identity->stamps[1]))
    return 0;
  memcpy(identity->stamps, stamps, sizeof stamps);
  return reload(identity, err) == 0 ? 1 : -1;
}

int64_t tls_identity_expiry(struct tls_identity *identity) {
  pthread_mutex_lock(&identity->mutex);
  int64_t expiry = identity->expiry;
  pthread_mutex_unlock(&identity->mutex);
  return expiry;
}

bool tls_identity_is_loaded(struct tls_identity *identity) {
  pthread_mutex_lock(&identity->mutex);
  bool is_loaded = identity->context != NULL;
  pthread_mutex_unlock(&identity->mutex);
  return is_loaded;
}

SSL *tls_identity_connect(struct tls_identity *identity, struct tls_wire *wire) {
  pthread_mutex_lock(&identity->mutex);
  SSL *ssl = identity->context != NULL ? SSL_new(identity->context) : NULL;
  pthread_mutex_unlock(&identity->mutex);
  BIO *bio = ssl != NULL ? tls_wire_open(identity->wire, wire) : NULL;
  if (bio != NULL) {
    SSL_set_bio(ssl, bio, bio);
    return ssl;
  }
  SSL_free(ssl);
  return NULL;
}
