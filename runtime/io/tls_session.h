/* The server's side of one TLS connection: bytes of the wire in, what they hold out, and the
 * other way round. Knows no socket and no loop.
 *
 * One thread at a time. `records` takes what is to be sent to the client, in this order, behind
 * whatever it holds. */
#ifndef TIDEGATE_IO_TLS_SESSION_H
#define TIDEGATE_IO_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "io/tls_identity.h"

#define TLS_RECORD_MAX 16384    /* bytes that a record holds */
#define TLS_RECORD_OVERHEAD 256 /* at most, around them */

struct tls_session;

enum tls_event {
  TLS_GOES_ON,
  TLS_ENDED, /* the client has said that it sends no more */
  TLS_FAULT, /* not TLS, tampered with, or none of what we speak; nothing is opened any more */
};

/* NULL without memory, or while the identity has no certificate. */
struct tls_session *tls_session_new(struct tls_identity *identity);
void tls_session_free(struct tls_session *session);

/* Takes all of `sealed`. What it holds goes to `plain`, of `size` bytes: at least
 * `sealed_length` + TLS_RECORD_MAX, as a record may have begun earlier. */
enum tls_event tls_session_open(struct tls_session *session, const char *sealed,
                                size_t sealed_length, char *plain, size_t size,
                                size_t *plain_length, struct buf *records);
/* Once it is established. -1: the records do not fit, and the session is of no use any more. */
int tls_session_seal(struct tls_session *session, const char *bytes, size_t length,
                     struct buf *records);
/* Says that we send no more, if there is still a session to say it in. -1 as above. */
int tls_session_end(struct tls_session *session, struct buf *records);

/* The handshake is over. */
bool tls_session_is_established(const struct tls_session *session);
/* A record has come in part. */
bool tls_session_has_part(const struct tls_session *session);

#endif
