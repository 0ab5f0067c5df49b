#include "io/tls_session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "io/tls_wire.h"

struct tls_session {
  SSL *ssl;
  struct tls_wire wire;
  bool is_established; /* once so, always: OpenSSL takes a later message for a handshake anew */
  bool has_failed;
};

struct tls_session *tls_session_new(struct tls_identity *identity) {
  struct tls_session *session = calloc(1, sizeof *session);
  if (session == NULL) return NULL;
  session->ssl = tls_identity_connect(identity, &session->wire);
  if (session->ssl != NULL) {
    SSL_set_accept_state(session->ssl);
    return session;
  }
  free(session);
  return NULL;
}

void tls_session_free(struct tls_session *session) {
  if (session == NULL) return;
  SSL_free(session->ssl);
  free(session);
}

/* Before each call into OpenSSL: the reasons of failures are kept by thread, and those of an
 * earlier one would be taken for this one's. */
static void begin(struct tls_session *session, struct buf *records) {
  ERR_clear_error();
  session->wire.records = records;
}

static int end(struct tls_session *session, bool is_well) {
  session->wire.records = NULL;
  if (is_well) return 0;
  session->has_failed = true;
  ERR_clear_error();
  return -1;
}

static enum tls_event event_of(struct tls_session *session, int status) {
  switch (SSL_get_error(session->ssl, status)) {
    case SSL_ERROR_WANT_READ:
      return TLS_GOES_ON;
    case SSL_ERROR_ZERO_RETURN:
      return TLS_ENDED;
    default:
      return TLS_FAULT;
  }
}

enum tls_event tls_session_open(struct tls_session *session, const char *sealed,
                                size_t sealed_length, char *plain, size_t size,
                                size_t *plain_length, struct buf *records) {
  size_t count = 0;
  int status;
  *plain_length = 0;
  if (session->has_failed) return TLS_FAULT;
  begin(session, records);
  session->wire.input = sealed;
  session->wire.input_length = sealed_length;
  do {
    status = SSL_read_ex(session->ssl, plain + *plain_length, size - *plain_length, &count);
    if (status == 1) *plain_length += count;
  } while (status == 1 && *plain_length < size);
  enum tls_event event = event_of(session, status);
  if (SSL_is_init_finished(session->ssl) == 1) session->is_established = true;
  session->wire.input_length = 0;
  end(session, event != TLS_FAULT);
  return event;
}

int tls_session_seal(struct tls_session *session, const char *bytes, size_t length,
                     struct buf *records) {
  size_t count = 0;
  if (session->has_failed) return -1;
  size_t overhead = (length / TLS_RECORD_MAX + 1) * TLS_RECORD_OVERHEAD;
  if (buf_reserve(records, length + overhead) != 0) return -1;
  begin(session, records);
  return end(session, SSL_write_ex(session->ssl, bytes, length, &count) == 1);
}

int tls_session_end(struct tls_session *session, struct buf *records) {
  if (session->has_failed || !session->is_established) return 0;
  begin(session, records);
  return end(session, SSL_shutdown(session->ssl) >= 0);
}

bool tls_session_is_established(const struct tls_session *session) {
  return session->is_established;
}

bool tls_session_has_part(const struct tls_session *session) {
  return SSL_has_pending(session->ssl) == 1;
}
