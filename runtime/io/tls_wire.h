/* What OpenSSL reads and writes instead of a socket: bytes that lie ready, and a buffer. (Its own
 * memory BIO would copy the bytes once more and keep memory for every idle connection.) */
#ifndef TIDEGATE_IO_TLS_WIRE_H
#define TIDEGATE_IO_TLS_WIRE_H

#include <openssl/bio.h>
#include <stddef.h>

#include "base/buf.h"

/* Embedded in a session; both sides are set only for the time of one call of OpenSSL. */
struct tls_wire {
  const char *input; /* what has come and is not read yet */
  size_t input_length;
  struct buf *records; /* takes what is to be sent; NULL: nothing may be */
};

/* The kind of BIO, which must outlive every BIO of it; BIO_meth_free frees it. NULL: no memory. */
BIO_METHOD *tls_wire_method_new(void);
/* A BIO on `wire`, which must stay where it is; NULL without memory. */
BIO *tls_wire_open(const BIO_METHOD *method, struct tls_wire *wire);

#endif
