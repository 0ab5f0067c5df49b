#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificates.h"
#include "server_reply.h"
#include "tls_client.h"

#define MEGABYTE (1024u * 1024u)
#define CLOSING "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

struct fixture {
  struct server_rig *rig;
  struct certificates certificates;
  struct tls_identity *identity;
};

static void listen_with(struct fixture *fixture, struct http_limits limits) {
  struct http_listen_options options = {.limits = limits, .tls = fixture->identity};
  server_rig_listen(fixture->rig, "127.0.0.1:0", options);
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct err err;
  assert_non_null(fixture);
  server_rig_set_up((void **)&fixture->rig);
  certificates_make(&fixture->certificates);
  fixture->identity = tls_identity_new();
  assert_non_null(fixture->identity);
  const char *file = fixture->certificates.valid;
  assert_int_equal(tls_identity_load(fixture->identity, file, file, &err), 0);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  server_rig_tear_down((void **)&fixture->rig);
  tls_identity_free(fixture->identity);
  certificates_remove(&fixture->certificates);
  free(fixture);
  return 0;
}

static struct http_listener_stats stats_of(const struct fixture *fixture) {
  return http_listener_stats(fixture->rig->listener);
}

/* Reads answers until `text`, which ends the last of them, has come. */
static void assert_answered(struct tls_client *client, const char *text) {
  static char bytes[65536];
  size_t length = 0;
  while (length < strlen(text) || memcmp(bytes + length - strlen(text), text, strlen(text)) != 0) {
    assert_true(length < sizeof bytes);
    assert_int_equal(tls_client_read(client, bytes + length, 1), 1);
    length++;
  }
  assert_memory_equal(bytes, "HTTP/1.1 200 OK\r\n", 17);
}

static void open_client(struct fixture *fixture, struct tls_client *client, int version) {
  tls_client_open(client, fixture->rig,
                  &(struct tls_client_options){.authority = fixture->certificates.authority,
                                               .version = version});
  assert_true(tls_client_shake_hands(client));
}

/* --- the handshake ---------------------------------------------------------------------- */

static void a_request_is_answered_over_each_version(void **state) {
  struct fixture *fixture = *state;
  static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  listen_with(fixture, (struct http_limits){0});
  for (size_t i = 0; i < 2; i++) {
    struct tls_client client;
    open_client(fixture, &client, versions[i]);
    tls_client_send_text(&client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_answered(&client, "\r\n\r\n/hello");
    tls_client_close(&client);
  }
  server_rig_await_connections(fixture->rig, 0);
  assert_int_equal(stats_of(fixture).handshakes, 2);
  assert_int_equal(stats_of(fixture).failed_handshakes, 0);
}

static void assert_refused(struct fixture *fixture, const struct tls_client_options *options) {
  struct tls_client client;
  uint64_t before = stats_of(fixture).failed_handshakes;
  tls_client_open(&client, fixture->rig, options);
  assert_false(tls_client_shake_hands(&client));
  tls_client_close(&client);
  server_rig_await_connections(fixture->rig, 0);
  assert_int_equal(stats_of(fixture).failed_handshakes, before + 1);
}

static void what_is_too_old_or_not_http_1_is_refused(void **state) {
  struct fixture *fixture = *state;
  listen_with(fixture, (struct http_limits){0});
  assert_refused(fixture, &(struct tls_client_options){.version = TLS1_VERSION});
  assert_refused(fixture, &(struct tls_client_options){.version = TLS1_1_VERSION});
  assert_refused(fixture, &(struct tls_client_options){.protocol = "h2"});
  assert_int_equal(fixture->rig->requests, 0);
}

static void http_1_1_is_agreed_upon_when_the_client_asks(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  const unsigned char *protocol;
  unsigned length;
  listen_with(fixture, (struct http_limits){0});
  tls_client_open(&client, fixture->rig, &(struct tls_client_options){.protocol = "http/1.1"});
  assert_true(tls_client_shake_hands(&client));
  SSL_get0_alpn_selected(client.ssl, &protocol, &length);
  assert_int_equal(length, 8);
  assert_memory_equal(protocol, "http/1.1", 8);
  tls_client_close(&client);
}

static void bytes_may_come_one_at_a_time(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  listen_with(fixture, (struct http_limits){0});
  tls_client_open(&client, fixture->rig, NULL);
  client.step = 1;
  assert_true(tls_client_shake_hands(&client));
  tls_client_send_text(&client, "GET /drop HTTP/1.1\r\nHost: a\r\n\r\n");
  assert_answered(&client, "/drop");
  tls_client_close(&client);
}

static void a_handshake_that_is_slow_ends_at_the_time_out_of_heads(void **state) {
  struct fixture *fixture = *state;
  struct tls_client silent, slow;
  listen_with(fixture, (struct http_limits){.head_ns = 4 * SECOND_NS});
  tls_client_open(&silent, fixture->rig, NULL);
  tls_client_open(&slow, fixture->rig, NULL);
  slow.step = 1;
  SSL_do_handshake(slow.ssl);
  server_rig_await_connections(fixture->rig, 2);
  for (int second = 0; second < 3; second++) {
    tls_client_pump(&slow);
    server_rig_advance(fixture->rig, 1);
  }
  assert_int_equal(stats_of(fixture).connections, 2);
  server_rig_advance(fixture->rig, 2);
  server_rig_await_connections(fixture->rig, 0);
  assert_int_equal(stats_of(fixture).failed_handshakes, 2);
  tls_client_close(&silent);
  tls_client_close(&slow);
}

static void a_session_is_resumed(void **state) {
  struct fixture *fixture = *state;
  static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  listen_with(fixture, (struct http_limits){0});
  for (size_t i = 0; i < 2; i++) {
    struct tls_client first, second;
    open_client(fixture, &first, versions[i]);
    tls_client_send_text(&first, GET);
    assert_answered(&first, "\r\n\r\n/");
    assert_non_null(first.session);
    tls_client_open(&second, fixture->rig,
                    &(struct tls_client_options){.version = versions[i], .session = first.session});
    assert_true(tls_client_shake_hands(&second));
    assert_int_equal(SSL_session_reused(second.ssl), 1);
    tls_client_send_text(&second, GET);
    assert_answered(&second, "\r\n\r\n/");
    tls_client_close(&first);
    tls_client_close(&second);
  }
}

static void a_client_cannot_begin_the_handshake_anew(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, TLS1_2_VERSION);
  SSL_renegotiate(client.ssl);
  SSL_do_handshake(client.ssl);
  char byte;
  assert_int_equal(tls_client_read(&client, &byte, 1), 0);
  assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
  tls_client_close(&client);
  server_rig_await_connections(fixture->rig, 0);
  assert_int_equal(stats_of(fixture).handshakes, 1);
  assert_int_equal(stats_of(fixture).failed_handshakes, 0);
}

/* --- messages --------------------------------------------------------------------------- */

static char *make_body(size_t length) {
  char *body = malloc(length);
  assert_non_null(body);
  for (size_t i = 0; i < length; i++) body[i] = (char)('a' + i * 7 % 23 + i / 1000 % 3);
  return body;
}

/* The head is read byte by byte, the body after it. */
static void assert_body(struct tls_client *client, const char *body, size_t length) {
  char head[1024];
  size_t at = 0;
  while (at < 4 || memcmp(head + at - 4, "\r\n\r\n", 4) != 0) {
    assert_int_equal(tls_client_read(client, head + at, 1), 1);
    assert_true(++at < sizeof head);
  }
  assert_memory_equal(head, "HTTP/1.1 200 OK\r\n", 17);
  char *answer = malloc(length);
  assert_non_null(answer);
  assert_int_equal(tls_client_read(client, answer, length), length);
  assert_memory_equal(answer, body, length);
  free(answer);
}

static void a_large_body_comes_back_whole(void **state) {
  struct fixture *fixture = *state;
  static const size_t lengths[] = {3000, 16384, 70000, 9 * MEGABYTE + 1};
  listen_with(fixture, (struct http_limits){.body_bytes = 10 * MEGABYTE});
  struct tls_client client;
  open_client(fixture, &client, 0);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    char *body = make_body(lengths[i]);
    char head[128];
    snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
             lengths[i]);
    tls_client_send_text(&client, head);
    tls_client_send(&client, body, lengths[i]);
    assert_body(&client, body, lengths[i]);
    free(body);
  }
  tls_client_close(&client);
}

/* Longer than any kernel holds for us. */
static void a_client_that_does_not_read_is_not_read_from(void **state) {
  struct fixture *fixture = *state;
  struct server_rig *rig = fixture->rig;
  struct tls_client client;
  rig->mode = SERVER_RIG_BIG;
  rig->big_length = 20 * MEGABYTE;
  rig->big = make_body(rig->big_length);
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  server_rig_await_requests(rig, 1);
  const struct http_output *output = &rig->listener->connections->output;
  assert_true(output->is_writing);
  assert_true(output->writing.length <= 2 * HTTP_SEAL_BYTES);
  tls_client_send_text(&client, GET);
  server_rig_quiesce(rig);
  assert_int_equal(rig->requests, 1);
  assert_body(&client, rig->big, rig->big_length);
  assert_body(&client, rig->big, rig->big_length);
  assert_int_equal(rig->requests, 2);
  tls_client_close(&client);
}

static void a_client_that_takes_nothing_is_given_up(void **state) {
  struct fixture *fixture = *state;
  struct server_rig *rig = fixture->rig;
  struct tls_client client;
  rig->mode = SERVER_RIG_BIG;
  rig->big_length = 20 * MEGABYTE;
  rig->big = make_body(rig->big_length);
  listen_with(fixture, (struct http_limits){.write_ns = 3 * SECOND_NS});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  server_rig_await_requests(rig, 1);
  server_rig_advance(rig, 5);
  server_rig_await_connections(rig, 0);
  tls_client_close(&client);
}

static void requests_ahead_are_answered_in_order(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  char text[65536];
  size_t length = 0;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  for (int i = 0; i < 1000; i++)
    length += (size_t)snprintf(text + length, sizeof text - length,
                               "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
  tls_client_send(&client, text, length);
  for (int i = 0; i < 1000; i++) {
    char path[16];
    snprintf(path, sizeof path, "\r\n\r\n/%d", i);
    assert_answered(&client, path);
  }
  tls_client_close(&client);
}

static void answers_in_another_order_leave_in_the_right_one(void **state) {
  struct fixture *fixture = *state;
  struct server_rig *rig = fixture->rig;
  struct tls_client client;
  rig->mode = SERVER_RIG_HOLD;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET GET GET);
  server_rig_await_requests(rig, 3);
  server_rig_answer(rig->held[2], 200, "three", 5);
  server_rig_answer(rig->held[1], 200, "two", 3);
  server_rig_answer(rig->held[0], 200, "one", 3);
  assert_answered(&client, "\r\n\r\none");
  assert_answered(&client, "\r\n\r\ntwo");
  assert_answered(&client, "\r\n\r\nthree");
  tls_client_close(&client);
}

static void an_idle_connection_holds_no_buffer(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  assert_answered(&client, "\r\n\r\n/");
  const struct http_connection *connection = fixture->rig->listener->connections;
  assert_int_equal(connection->stash.capacity + connection->output.writing.capacity +
                       connection->output.records.capacity + connection->output.waiting.capacity,
                   0);
  tls_client_close(&client);
}

/* --- the end ---------------------------------------------------------------------------- */

static void the_last_answer_is_followed_by_a_word_of_its_end(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  char byte;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, CLOSING);
  assert_answered(&client, "/last");
  assert_int_equal(tls_client_read(&client, &byte, 1), 0);
  assert_true(SSL_get_shutdown(client.ssl) & SSL_RECEIVED_SHUTDOWN);
  tls_client_await_end(&client);
  /* Our side of the socket is open until the client closes its own, or is late. */
  assert_int_equal(stats_of(fixture).connections, 1);
  server_rig_advance(fixture->rig, 6);
  server_rig_await_connections(fixture->rig, 0);
  tls_client_close(&client);
}

static void a_client_that_sends_no_more_still_gets_its_answers(void **state) {
  struct fixture *fixture = *state;
  struct server_rig *rig = fixture->rig;
  struct tls_client client;
  char byte;
  rig->mode = SERVER_RIG_HOLD;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  tls_client_end(&client);
  server_rig_await_requests(rig, 1);
  server_rig_answer(rig->held[0], 200, "late", 4);
  assert_answered(&client, "late");
  assert_int_equal(tls_client_read(&client, &byte, 1), 0);
  assert_true(SSL_get_shutdown(client.ssl) & SSL_RECEIVED_SHUTDOWN);
  server_rig_await_connections(rig, 0);
  tls_client_close(&client);
}

static void a_client_may_leave_without_a_word(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  assert_answered(&client, "\r\n\r\n/");
  tls_client_close(&client);
  server_rig_await_connections(fixture->rig, 0);
  fixture->rig->mode = SERVER_RIG_HOLD;
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  server_rig_await_requests(fixture->rig, 2);
  struct linger reset = {.l_onoff = 1};
  setsockopt(client.descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  tls_client_close(&client);
  server_rig_await_connections(fixture->rig, 0);
  assert_true(http_exchange_is_gone(fixture->rig->held[0]));
}

static void draining_ends_connections_after_their_last_answer(void **state) {
  struct fixture *fixture = *state;
  struct tls_client idle, busy;
  listen_with(fixture, (struct http_limits){0});
  fixture->rig->mode = SERVER_RIG_HOLD;
  open_client(fixture, &idle, 0);
  open_client(fixture, &busy, 0);
  tls_client_send_text(&busy, GET);
  server_rig_await_requests(fixture->rig, 1);
  http_listener_drain(fixture->rig->listener);
  server_rig_answer(fixture->rig->held[0], 200, "last", 4);
  char text[1024] = "";
  tls_client_read(&busy, text, sizeof text - 1);
  assert_non_null(strstr(text, "Connection: close\r\n"));
  tls_client_close(&busy);
  server_rig_advance(fixture->rig, 1);
  tls_client_await_end(&idle);
  tls_client_close(&idle);
  server_rig_await_connections(fixture->rig, 0);
}

/* --- what is no TLS --------------------------------------------------------------------- */

static void assert_thrown_out(struct fixture *fixture, const char *bytes, size_t length) {
  uint64_t before = stats_of(fixture).failed_handshakes;
  struct server_reply *reply = server_reply_ask(fixture->rig, bytes, length);
  assert_true(reply->closed);
  server_rig_await_connections(fixture->rig, 0);
  assert_int_equal(stats_of(fixture).failed_handshakes, before + 1);
}

static void what_is_no_tls_is_closed_and_counted(void **state) {
  struct fixture *fixture = *state;
  char noise[4096];
  unsigned seed = (unsigned)time(NULL);
  listen_with(fixture, (struct http_limits){0});
  assert_thrown_out(fixture, GET, strlen(GET));
  assert_thrown_out(fixture, "SSH-2.0-client\r\n", 16);
  assert_thrown_out(fixture, "\x16\x03\x01\xff\xff a record too long", 23);
  print_message("seed %u\n", seed);
  for (unsigned round = 0; round < 50; round++) {
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)rand_r(&seed);
    /* What begins like a record, of whatever age, waits for its end. */
    noise[0] &= 0x0f;
    assert_thrown_out(fixture, noise, sizeof noise);
  }
  assert_int_equal(fixture->rig->requests, 0);
}

static void a_record_that_was_tampered_with_ends_the_connection(void **state) {
  struct fixture *fixture = *state;
  struct tls_client client;
  size_t count;
  char *bytes;
  listen_with(fixture, (struct http_limits){0});
  fixture->rig->mode = SERVER_RIG_HOLD;
  open_client(fixture, &client, 0);
  tls_client_send_text(&client, GET);
  server_rig_await_requests(fixture->rig, 1);
  SSL_write_ex(client.ssl, GET, strlen(GET), &count);
  long length = BIO_get_mem_data(client.outgoing, &bytes);
  bytes[length - 1] ^= 1;
  tls_client_await_end(&client);
  server_rig_await_connections(fixture->rig, 0);
  assert_true(http_exchange_is_gone(fixture->rig->held[0]));
  assert_int_equal(fixture->rig->requests, 1);
  assert_int_equal(stats_of(fixture).failed_handshakes, 0);
  tls_client_close(&client);
}

static void connections_that_are_dropped_in_the_handshake_leave_nothing(void **state) {
  struct fixture *fixture = *state;
  listen_with(fixture, (struct http_limits){0});
  for (int i = 0; i < 1000; i++) {
    struct tls_client client;
    tls_client_open(&client, fixture->rig, NULL);
    client.step = (size_t)(i % 400) + 1;
    SSL_do_handshake(client.ssl);
    for (int turns = i % 4; turns > 0; turns--) {
      tls_client_pump(&client);
      SSL_do_handshake(client.ssl);
    }
    tls_client_close(&client);
  }
  server_rig_await_connections(fixture->rig, 0);
  assert_int_equal(stats_of(fixture).accepted, 1000);
}

/* --- the certificate -------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to) {
  char bytes[8192];
  FILE *source = fopen(from, "r"), *target = fopen(to, "w");
  assert_true(source != NULL && target != NULL);
  size_t length = fread(bytes, 1, sizeof bytes, source);
  assert_int_equal(fwrite(bytes, 1, length, target), length);
  fclose(source);
  assert_int_equal(fclose(target), 0);
}

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

static void assert_named(struct tls_client *client, const char *name) {
  char found[64];
  X509 *certificate = SSL_get1_peer_certificate(client->ssl);
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, found,
                            sizeof found);
  X509_free(certificate);
  assert_string_equal(found, name);
}

static void assert_new_client_sees(struct fixture *fixture, const char *name) {
  struct tls_client client;
  tls_client_open(&client, fixture->rig, NULL);
  assert_true(tls_client_shake_hands(&client));
  assert_named(&client, name);
  tls_client_send_text(&client, GET);
  assert_answered(&client, "\r\n\r\n/");
  tls_client_close(&client);
}

static void a_file_that_changes_is_read_again_and_connections_go_on(void **state) {
  struct fixture *fixture = *state;
  struct tls_client old;
  struct err err;
  char file[128];
  snprintf(file, sizeof file, "%s/served.pem", fixture->certificates.folder);
  copy_file(fixture->certificates.valid, file);
  assert_int_equal(tls_identity_load(fixture->identity, file, file, &err), 0);
  listen_with(fixture, (struct http_limits){0});
  open_client(fixture, &old, 0);
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), 0);
  unlink(file);
  copy_file(fixture->certificates.client, file);
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), 1);
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), 0);
  assert_new_client_sees(fixture, "client");
  assert_named(&old, "valid");
  tls_client_send_text(&old, GET);
  assert_answered(&old, "\r\n\r\n/");
  tls_client_close(&old);
  unlink(file);
}

static void assert_unusable(struct tls_identity *identity, const char *certificate, const char *key,
                            const char *message) {
  struct err err = {0};
  assert_int_equal(tls_identity_load(identity, certificate, key, &err), -1);
  if (strstr(err.message, message) == NULL) fail_msg("%s", err.message);
  assert_null(strstr(err.message, "BEGIN"));
}

static void write_locked_key(const char *path) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  FILE *file = fopen(path, "w");
  assert_true(key != NULL && file != NULL);
  PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL,
                       NULL);
  assert_int_equal(fclose(file), 0);
  EVP_PKEY_free(key);
}

static void what_cannot_be_used_is_refused_with_its_reason(void **state) {
  struct fixture *fixture = *state;
  struct tls_identity *identity = fixture->identity;
  const char *good = fixture->certificates.valid;
  char file[128];
  snprintf(file, sizeof file, "%s/odd.pem", fixture->certificates.folder);
  assert_unusable(identity, "/nonexistent.pem", good, "/nonexistent.pem: No such file");
  assert_unusable(identity, good, "/nonexistent.pem", "/nonexistent.pem: No such file");
  assert_unusable(identity, "/dev/zero", good, "/dev/zero: it is not a file");
  write_text(file, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  assert_unusable(identity, file, good, "odd.pem holds no certificate in PEM form");
  write_text(file, "");
  assert_unusable(identity, file, good, "odd.pem holds no certificate in PEM form");
  assert_unusable(identity, good, file, "odd.pem holds no private key");
  write_locked_key(file);
  assert_unusable(identity, good, file, "odd.pem holds no private key (without a password)");
  assert_unusable(identity, good, fixture->certificates.client, "is not that of the certificate");
  unlink(file);
  assert_true(tls_identity_is_loaded(identity));
}

static void a_broken_file_keeps_the_certificate_of_before(void **state) {
  struct fixture *fixture = *state;
  struct err err = {0};
  char file[128];
  snprintf(file, sizeof file, "%s/served.pem", fixture->certificates.folder);
  copy_file(fixture->certificates.valid, file);
  assert_int_equal(tls_identity_load(fixture->identity, file, file, &err), 0);
  listen_with(fixture, (struct http_limits){0});
  write_text(file, "broken");
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), -1);
  assert_non_null(strstr(err.message, file));
  /* Said once. */
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), 0);
  assert_new_client_sees(fixture, "valid");
  unlink(file);
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), -1);
  assert_new_client_sees(fixture, "valid");
  copy_file(fixture->certificates.client, file);
  assert_int_equal(tls_identity_refresh(fixture->identity, &err), 1);
  assert_new_client_sees(fixture, "client");
  unlink(file);
}

struct reloading {
  struct fixture *fixture;
  atomic_bool is_over;
  int reloads;
};

static void reload_for_ever(void *argument) {
  struct reloading *reloading = argument;
  const struct certificates *certificates = &reloading->fixture->certificates;
  struct err err;
  while (!atomic_load(&reloading->is_over)) {
    const char *file = reloading->reloads % 2 == 0 ? certificates->client : certificates->valid;
    if (tls_identity_load(reloading->fixture->identity, file, file, &err) == 0)
      reloading->reloads++;
    usleep(1000);
  }
}

static void no_request_fails_while_the_certificate_changes(void **state) {
  struct fixture *fixture = *state;
  struct reloading reloading = {.fixture = fixture};
  struct tls_client lasting;
  uv_thread_t thread;
  listen_with(fixture, (struct http_limits){0});
  tls_client_open(&lasting, fixture->rig, NULL);
  assert_true(tls_client_shake_hands(&lasting));
  assert_int_equal(uv_thread_create(&thread, reload_for_ever, &reloading), 0);
  for (int i = 0; i < 200; i++) {
    struct tls_client client;
    tls_client_open(&client, fixture->rig, NULL);
    assert_true(tls_client_shake_hands(&client));
    tls_client_send_text(&client, GET);
    assert_answered(&client, "\r\n\r\n/");
    tls_client_close(&client);
    tls_client_send_text(&lasting, GET);
    assert_answered(&lasting, "\r\n\r\n/");
  }
  atomic_store(&reloading.is_over, true);
  uv_thread_join(&thread);
  assert_true(reloading.reloads > 1);
  tls_client_close(&lasting);
}

static void a_listener_without_a_certificate_is_refused(void **state) {
  struct fixture *fixture = *state;
  struct tls_identity *identity = tls_identity_new();
  struct address address;
  struct err err = {0};
  struct http_handler handler = {0};
  struct http_listen_options options = {.tls = identity};
  assert_int_equal(address_parse(&address, "127.0.0.1:0", &err), 0);
  assert_null(http_server_listen(fixture->rig->server, &address, &handler, &options, &err));
  assert_string_equal(err.code, "invalid_input");
  tls_identity_free(identity);
}

static void the_end_of_a_certificate_is_known(void **state) {
  struct fixture *fixture = *state;
  struct err err;
  int64_t now = (int64_t)time(NULL);
  int64_t expiry = tls_identity_expiry(fixture->identity);
  assert_in_range(expiry, now + 86400 - 60, now + 86400);
  const char *file = fixture->certificates.expired;
  assert_int_equal(tls_identity_load(fixture->identity, file, file, &err), 0);
  assert_true(tls_identity_expiry(fixture->identity) < now);
}

#define TLS(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TLS(a_request_is_answered_over_each_version),
      TLS(what_is_too_old_or_not_http_1_is_refused),
      TLS(http_1_1_is_agreed_upon_when_the_client_asks),
      TLS(bytes_may_come_one_at_a_time),
      TLS(a_handshake_that_is_slow_ends_at_the_time_out_of_heads),
      TLS(a_session_is_resumed),
      TLS(a_client_cannot_begin_the_handshake_anew),
      TLS(a_large_body_comes_back_whole),
      TLS(a_client_that_does_not_read_is_not_read_from),
      TLS(a_client_that_takes_nothing_is_given_up),
      TLS(requests_ahead_are_answered_in_order),
      TLS(answers_in_another_order_leave_in_the_right_one),
      TLS(an_idle_connection_holds_no_buffer),
      TLS(the_last_answer_is_followed_by_a_word_of_its_end),
      TLS(a_client_that_sends_no_more_still_gets_its_answers),
      TLS(a_client_may_leave_without_a_word),
      TLS(draining_ends_connections_after_their_last_answer),
      TLS(what_is_no_tls_is_closed_and_counted),
      TLS(a_record_that_was_tampered_with_ends_the_connection),
      TLS(connections_that_are_dropped_in_the_handshake_leave_nothing),
      TLS(a_file_that_changes_is_read_again_and_connections_go_on),
      TLS(what_cannot_be_used_is_refused_with_its_reason),
      TLS(a_broken_file_keeps_the_certificate_of_before),
      TLS(no_request_fails_while_the_certificate_changes),
      TLS(a_listener_without_a_certificate_is_refused),
      TLS(the_end_of_a_certificate_is_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
