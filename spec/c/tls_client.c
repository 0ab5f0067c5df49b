#include "tls_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int on_session(SSL *ssl, SSL_SESSION *session) {
  struct tls_client *client = SSL_get_app_data(ssl);
  SSL_SESSION_free(client->session);
  client->session = session;
  return 1;
}

static void configure(struct tls_client *client, const struct tls_client_options *options) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  assert_non_null(context);
  client->context = context;
  /* Whatever the version: it is the server that has to refuse. */
  assert_int_equal(SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0"), 1);
  SSL_CTX_set_min_proto_version(context, options->version);
  SSL_CTX_set_max_proto_version(context, options->version);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(context, on_session);
  if (options->authority == NULL) return;
  assert_int_equal(SSL_CTX_load_verify_file(context, options->authority), 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
}

static void set_protocol(SSL *ssl, const char *protocol) {
  unsigned char list[64];
  size_t length = strlen(protocol);
  assert_true(length < sizeof list);
  list[0] = (unsigned char)length;
  memcpy(list + 1, protocol, length);
  assert_int_equal(SSL_set_alpn_protos(ssl, list, (unsigned)length + 1), 0);
}

void tls_client_open(struct tls_client *client, struct server_rig *rig,
                     const struct tls_client_options *options) {
  static const struct tls_client_options none = {0};
  if (options == NULL) options = &none;
  *client = (struct tls_client){.rig = rig};
  configure(client, options);
  client->ssl = SSL_new(client->context);
  client->incoming = BIO_new(BIO_s_mem());
  client->outgoing = BIO_new(BIO_s_mem());
  assert_true(client->ssl != NULL && client->incoming != NULL && client->outgoing != NULL);
  SSL_set_bio(client->ssl, client->incoming, client->outgoing);
  SSL_set_app_data(client->ssl, client);
  SSL_set_connect_state(client->ssl);
  SSL_set1_host(client->ssl, "localhost");
  if (options->protocol != NULL) set_protocol(client->ssl, options->protocol);
  if (options->session != NULL) assert_int_equal(SSL_set_session(client->ssl, options->session), 1);
  client->descriptor = server_rig_dial(rig);
}

void tls_client_close(struct tls_client *client) {
  close(client->descriptor);
  SSL_free(client->ssl);
  SSL_SESSION_free(client->session);
  SSL_CTX_free(client->context);
  ERR_clear_error();
}

static void send_some(struct tls_client *client) {
  char *bytes;
  size_t length = (size_t)BIO_get_mem_data(client->outgoing, &bytes);
  if (length == 0) return;
  if (client->step > 0 && length > client->step) length = client->step;
  if (length > 65536) length = 65536;
  ssize_t sent = send(client->descriptor, bytes, length, MSG_NOSIGNAL);
  /* One that has closed is noticed by reading. */
  if (sent < 0 && errno != EAGAIN) sent = (ssize_t)length;
  char discarded[65536];
  if (sent > 0) assert_int_equal(BIO_read(client->outgoing, discarded, (int)sent), sent);
}

static void receive_some(struct tls_client *client) {
  char bytes[65536];
  if (client->ended) return;
  ssize_t count = recv(client->descriptor, bytes, sizeof bytes, 0);
  if (count > 0) assert_int_equal(BIO_write(client->incoming, bytes, (int)count), count);
  if (count == 0 || (count < 0 && errno != EAGAIN)) client->ended = true;
}

void tls_client_pump(struct tls_client *client) {
  send_some(client);
  server_rig_turn(client->rig);
  receive_some(client);
}

bool tls_client_shake_hands(struct tls_client *client) {
  uint64_t start = uv_hrtime();
  while (true) {
    ERR_clear_error();
    int status = SSL_do_handshake(client->ssl);
    if (status != 1 && SSL_get_error(client->ssl, status) != SSL_ERROR_WANT_READ) return false;
    bool over = status == 1 && BIO_pending(client->outgoing) == 0;
    if (over) return true;
    if (status != 1 && client->ended && BIO_pending(client->incoming) == 0) return false;
    tls_client_pump(client);
    assert_false(server_rig_is_late(start));
  }
}

void tls_client_send(struct tls_client *client, const char *bytes, size_t length) {
  uint64_t start = uv_hrtime();
  size_t count;
  assert_int_equal(SSL_write_ex(client->ssl, bytes, length, &count), 1);
  while (BIO_pending(client->outgoing) > 0) {
    tls_client_pump(client);
    assert_false(server_rig_is_late(start));
  }
}

void tls_client_send_text(struct tls_client *client, const char *text) {
  tls_client_send(client, text, strlen(text));
}

size_t tls_client_read(struct tls_client *client, char *bytes, size_t length) {
  uint64_t start = uv_hrtime();
  size_t at = 0;
  while (at < length) {
    size_t count;
    ERR_clear_error();
    int status = SSL_read_ex(client->ssl, bytes + at, length - at, &count);
    if (status == 1) {
      at += count;
      continue;
    }
    if (SSL_get_error(client->ssl, status) != SSL_ERROR_WANT_READ) return at;
    if (client->ended && BIO_pending(client->incoming) == 0) return at;
    tls_client_pump(client);
    assert_false(server_rig_is_late(start));
  }
  return at;
}

void tls_client_end(struct tls_client *client) {
  SSL_shutdown(client->ssl);
  while (BIO_pending(client->outgoing) > 0) tls_client_pump(client);
}

void tls_client_await_end(struct tls_client *client) {
  uint64_t start = uv_hrtime();
  while (!client->ended) {
    tls_client_pump(client);
    assert_false(server_rig_is_late(start));
  }
}
