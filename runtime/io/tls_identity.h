/* Who a server is over TLS: a certificate chain with its key, read from two PEM files, and what
 * all its connections share. Files that change are read again while connections go on.
 *
 * Loaded and refreshed by one thread, used by all. Its sessions must be gone before it
 * is freed. The bytes of the key are in no message. */
#ifndef TIDEGATE_IO_TLS_IDENTITY_H
#define TIDEGATE_IO_TLS_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define TLS_FILE_MAX (1u << 20) /* bytes of a PEM file */

struct ssl_st; /* OpenSSL's SSL */
struct tls_identity;
struct tls_wire;

/* Without a certificate yet; NULL without memory. */
struct tls_identity *tls_identity_new(void);
void tls_identity_free(struct tls_identity *identity);

/* Reads both files; connections from now on show what they hold. -1 with code "io_error" (a file
 * cannot be read), "invalid_input" (it holds something else, or the key is another one's) or
 * "out_of_memory": then the certificate of before stays. Blocks while it reads. */
int tls_identity_load(struct tls_identity *identity, const char *certificate, const char *key,
                      struct err *err);
/* Loads again if a file of the last tls_identity_load is another than when it was last tried.
 * 1: it was, and is in use; 0: nothing is new, or nothing was ever loaded; -1 as above, once for
 * each change. */
int tls_identity_refresh(struct tls_identity *identity, struct err *err);
bool tls_identity_is_loaded(struct tls_identity *identity);
/* Seconds since 1970 when the certificate in use ends; 0 without one. */
int64_t tls_identity_expiry(struct tls_identity *identity);

/* For tls_session: an OpenSSL connection over `wire` with the certificate in use, which it keeps.
 * NULL without one or without memory. */
struct ssl_st *tls_identity_connect(struct tls_identity *identity, struct tls_wire *wire);

#endif
