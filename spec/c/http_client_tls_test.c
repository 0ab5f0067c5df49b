#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_call.h"
#include "http_client_script.h"

static void serve_tls(struct http_client_fixture *fixture, const char *certificate,
                      const char *client_ca) {
  upstream_stop(fixture->upstream);
  fixture->upstream = upstream_start(&(struct upstream_options){
      .answer = http_client_script_answer, .certificate = certificate, .client_ca = client_ca});
}

static void prepare_tls(struct http_client_fixture *fixture, struct http_call *call,
                        const char *host) {
  http_call_prepare(call, "GET", "https", host, upstream_port(fixture->upstream), "/");
}

static void a_certificate_that_is_good_is_taken(void **state) {
  struct http_client_fixture *fixture = *state;
  static const char *const hosts[] = {"localhost", "127.0.0.1"};
  serve_tls(fixture, fixture->certificates.valid, NULL);
  for (size_t i = 0; i < 2; i++) {
    struct http_call call;
    prepare_tls(fixture, &call, hosts[i]);
    http_call_perform(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    assert_true(http_operation_timings(call.operation)->tls > 0);
    http_call_finish(&call);
  }
}

static void assert_not_trusted(struct http_client_fixture *fixture, const char *certificate,
                               const char *because) {
  struct http_call call;
  serve_tls(fixture, certificate, NULL);
  prepare_tls(fixture, &call, "localhost");
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  assert_false(http_operation_sent(call.operation));
  const char *message = http_operation_error(call.operation)->message;
  if (strstr(message, because) == NULL) fail_msg("%s", message);
  http_call_finish(&call);
  assert_int_equal(upstream_requests(fixture->upstream), 0);
}

static void a_certificate_that_is_not_good_is_refused_with_its_reason(void **state) {
  struct http_client_fixture *fixture = *state;
  assert_not_trusted(fixture, fixture->certificates.expired, "expired");
  assert_not_trusted(fixture, fixture->certificates.self_signed, "self");
  assert_not_trusted(fixture, fixture->certificates.wrong_host, "subject name");
}

struct pem {
  char *bytes; /* NUL-terminated */
  struct http_pem text;
};

static struct pem read_pem(const char *path) {
  static const size_t size = 16384;
  struct pem pem = {.bytes = calloc(1, size)};
  FILE *file = fopen(path, "r");
  assert_true(file != NULL && pem.bytes != NULL);
  pem.text = (struct http_pem){pem.bytes, fread(pem.bytes, 1, size - 1, file)};
  fclose(file);
  return pem;
}

static void free_pem(struct pem *pem) {
  free(pem->bytes);
}

static void the_system_does_not_trust_what_the_option_does(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  http_client_free(fixture->client);
  http_client_fixture_open(fixture, &(struct http_client_options){.ca = NULL});
  prepare_tls(fixture, &call, "localhost");
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  http_call_finish(&call);
  struct pem authority = read_pem(fixture->certificates.authority);
  prepare_tls(fixture, &call, "localhost");
  call.request.ca = authority.text;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "ok");
  http_call_finish(&call);
  free_pem(&authority);
  /* The handle is used again, without what this request brought. */
  prepare_tls(fixture, &call, "localhost");
  call.request.fresh_connection = true;
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, "network_error");
  http_call_finish(&call);
}

/* --- client certificates ---------------------------------------------------------------- */

static bool answer_who(struct upstream_connection *connection,
                       const struct upstream_request *request, void *argument) {
  char name[64];
  (void)request, (void)argument;
  upstream_client_name(connection, name);
  upstream_answer(connection, 200, "", name, strlen(name));
  return true;
}

static void serve_those_known(struct http_client_fixture *fixture) {
  upstream_stop(fixture->upstream);
  fixture->upstream =
      upstream_start(&(struct upstream_options){.answer = answer_who,
                                                .certificate = fixture->certificates.valid,
                                                .client_ca = fixture->certificates.authority});
}

/* A request of whoever `pem` is. */
static void prepare_as(struct http_client_fixture *fixture, struct http_call *call,
                       const struct http_pem *pem) {
  prepare_tls(fixture, call, "localhost");
  if (pem != NULL) call->request.certificate = *pem;
}

static void assert_known_as(struct http_client_fixture *fixture, const struct http_pem *pem,
                            bool fresh, const char *name) {
  struct http_call call;
  prepare_as(fixture, &call, pem);
  call.request.fresh_connection = fresh;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, name);
  http_call_finish(&call);
}

static void assert_fails(struct http_client_fixture *fixture, const struct http_call *prepared,
                         const char *code) {
  struct http_call call = *prepared;
  call.request.url = call.url;
  http_call_perform(fixture, &call);
  http_call_assert_error(&call, code);
  http_call_finish(&call);
}

static void a_client_certificate_is_shown_to_those_who_ask(void **state) {
  struct http_client_fixture *fixture = *state;
  struct pem client = read_pem(fixture->certificates.client);
  struct http_call call;
  serve_those_known(fixture);
  assert_known_as(fixture, &client.text, false, "client");
  prepare_as(fixture, &call, NULL);
  assert_fails(fixture, &call, "network_error");
  free_pem(&client);
}

static void each_client_certificate_has_connections_of_its_own(void **state) {
  struct http_client_fixture *fixture = *state;
  struct pem client = read_pem(fixture->certificates.client);
  struct pem other = read_pem(fixture->certificates.valid);
  serve_those_known(fixture);
  for (int i = 0; i < 5; i++) {
    assert_known_as(fixture, &client.text, false, "client");
    assert_known_as(fixture, &other.text, false, "valid");
  }
  assert_int_equal(upstream_connections(fixture->upstream), 2);
  free_pem(&client);
  free_pem(&other);
}

static void each_client_certificate_has_sessions_of_its_own(void **state) {
  struct http_client_fixture *fixture = *state;
  struct pem client = read_pem(fixture->certificates.client);
  struct pem other = read_pem(fixture->certificates.valid);
  serve_those_known(fixture);
  for (int i = 0; i < 5; i++) {
    assert_known_as(fixture, &client.text, true, "client");
    assert_known_as(fixture, &other.text, true, "valid");
  }
  free_pem(&client);
  free_pem(&other);
}

static void who_has_only_the_certificate_is_not_its_owner(void **state) {
  struct http_client_fixture *fixture = *state;
  struct pem client = read_pem(fixture->certificates.client);
  struct pem other = read_pem(fixture->certificates.valid);
  struct http_call call;
  serve_those_known(fixture);
  /* Certificate alone, then key alone: the file has them in this order. */
  char *key = strstr(client.bytes, "-----BEGIN PRIVATE");
  assert_non_null(key);
  struct http_pem certificate = {client.bytes, (size_t)(key - client.bytes)};
  struct http_pem own_key = {key, client.text.length - certificate.length};
  prepare_as(fixture, &call, &certificate);
  call.request.key = own_key;
  http_call_perform(fixture, &call);
  http_call_assert_answer(&call, 200, "client");
  http_call_finish(&call);
  /* There is a connection of the owner's now, which is not for those: */
  prepare_as(fixture, &call, &certificate);
  assert_fails(fixture, &call, "certificate_unusable");
  key = strstr(other.bytes, "-----BEGIN PRIVATE");
  assert_non_null(key);
  call.request.key = (struct http_pem){key, strlen(key)};
  assert_fails(fixture, &call, "certificate_unusable");
  assert_int_equal(upstream_requests(fixture->upstream), 1);
  free_pem(&client);
  free_pem(&other);
}

static void what_is_no_pem_is_not_usable(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_pem noise = {"noise", 5};
  struct http_call call;
  serve_those_known(fixture);
  prepare_as(fixture, &call, &noise);
  assert_fails(fixture, &call, "certificate_unusable");
  prepare_as(fixture, &call, NULL);
  call.request.ca = noise;
  assert_fails(fixture, &call, "certificate_unusable");
  assert_int_equal(upstream_requests(fixture->upstream), 0);
}

static void a_key_without_a_certificate_or_a_long_one_is_misuse(void **state) {
  struct http_client_fixture *fixture = *state;
  static char text[HTTP_REQUEST_PEM_MAX + 1];
  struct http_call call;
  serve_those_known(fixture);
  prepare_as(fixture, &call, NULL);
  call.request.key = (struct http_pem){"key", 3};
  http_call_start(fixture, &call);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "invalid_input");
  prepare_as(fixture, &call, &(struct http_pem){text, sizeof text});
  http_call_start(fixture, &call);
  assert_null(call.operation);
  assert_string_equal(call.err.code, "invalid_input");
}

/* --- sessions and connections ----------------------------------------------------------- */

static void a_tls_session_is_resumed(void **state) {
  struct http_client_fixture *fixture = *state;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  for (int i = 0; i < 3; i++) {
    struct http_call call;
    prepare_tls(fixture, &call, "localhost");
    call.request.fresh_connection = true;
    http_call_perform(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    http_call_finish(&call);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 3);
  assert_int_equal(upstream_resumed(fixture->upstream), 2);
}

static void a_tls_connection_is_kept_and_used_again(void **state) {
  struct http_client_fixture *fixture = *state;
  serve_tls(fixture, fixture->certificates.valid, NULL);
  struct http_call never = {.woken = 0};
  for (int i = 0; i < 10; i++) {
    struct http_call call;
    prepare_tls(fixture, &call, "localhost");
    http_call_perform(fixture, &call);
    http_call_assert_answer(&call, 200, "ok");
    http_call_finish(&call);
    timer_loop_run_until(&fixture->timer_loop, http_call_is_over, &never, 5);
  }
  assert_int_equal(upstream_connections(fixture->upstream), 1);
}

/* Connects by the kernel's doing, and says nothing ever. */
static int listen_and_be_silent(int *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
  assert_int_equal(listen(listener, 16), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  return listener;
}

static void a_handshake_that_is_cancelled_leaves_nothing_behind(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call never = {.woken = 0};
  int port, listener = listen_and_be_silent(&port);
  for (int i = 0; i < 4; i++) {
    struct http_call call;
    http_call_prepare(&call, "GET", "https", "127.0.0.1", port, "/");
    http_call_start(fixture, &call);
    timer_loop_run_until(&fixture->timer_loop, http_call_is_over, &never, 50);
    assert_int_equal(http_client_connections(fixture->client), 1);
    http_call_finish(&call);
    assert_int_equal(http_client_connections(fixture->client), 0);
  }
  close(listener);
}

static void tls_to_a_server_that_speaks_plain_text_is_an_error(void **state) {
  struct http_client_fixture *fixture = *state;
  struct http_call call;
  fixture->upstream =
      upstream_start(&(struct upstream_options){.answer = http_client_script_answer});
  prepare_tls(fixture, &call, "localhost");
  call.request.timeout_ms = 1000;
  http_call_perform(fixture, &call);
  assert_non_null(http_operation_error(call.operation));
  assert_false(http_operation_sent(call.operation));
  http_call_finish(&call);
}

#define TLS(name)                                                       \
  cmocka_unit_test_setup_teardown(name, http_client_fixture_set_up_tls, \
                                  http_client_fixture_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TLS(a_certificate_that_is_good_is_taken),
      TLS(a_certificate_that_is_not_good_is_refused_with_its_reason),
      TLS(the_system_does_not_trust_what_the_option_does),
      TLS(a_client_certificate_is_shown_to_those_who_ask),
      TLS(each_client_certificate_has_connections_of_its_own),
      TLS(each_client_certificate_has_sessions_of_its_own),
      TLS(who_has_only_the_certificate_is_not_its_owner),
      TLS(what_is_no_pem_is_not_usable),
      TLS(a_key_without_a_certificate_or_a_long_one_is_misuse),
      TLS(a_tls_session_is_resumed),
      TLS(a_tls_connection_is_kept_and_used_again),
      TLS(a_handshake_that_is_cancelled_leaves_nothing_behind),
      TLS(tls_to_a_server_that_speaks_plain_text_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
