#include "http_client_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "http_client_script.h"

void http_client_fixture_open(struct http_client_fixture *fixture,
                              const struct http_client_options *options) {
  struct err err;
  fixture->client =
      http_client_new(&fixture->timer_loop.loop, &fixture->timer_loop.timers, options, &err);
  if (fixture->client == NULL) fail_msg("%s", err.message);
}

int http_client_fixture_set_up(void **state) {
  struct http_client_fixture *fixture = calloc(1, sizeof *fixture);
  timer_loop_init(&fixture->timer_loop);
  http_client_fixture_open(fixture, &(struct http_client_options){.ca = NULL});
  fixture->upstream =
      upstream_start(&(struct upstream_options){.answer = http_client_script_answer});
  *state = fixture;
  return 0;
}

int http_client_fixture_set_up_names(void **state) {
  http_client_fixture_set_up(state);
  struct http_client_fixture *fixture = *state;
  http_client_free(fixture->client);
  fixture->names = name_server_start();
  http_client_fixture_open(fixture, &(struct http_client_options){
                                        .resolver = {.servers = name_server_address(fixture->names),
                                                     .lookup_timeout_ms = 3000}});
  return 0;
}

int http_client_fixture_set_up_tls(void **state) {
  struct http_client_fixture *fixture = calloc(1, sizeof *fixture);
  timer_loop_init(&fixture->timer_loop);
  certificates_make(&fixture->certificates);
  http_client_fixture_open(fixture,
                           &(struct http_client_options){.ca = fixture->certificates.authority});
  *state = fixture;
  return 0;
}

int http_client_fixture_tear_down(void **state) {
  struct http_client_fixture *fixture = *state;
  http_client_free(fixture->client);
  timer_loop_deinit(&fixture->timer_loop);
  upstream_stop(fixture->upstream);
  name_server_stop(fixture->names);
  if (fixture->certificates.folder[0] != '\0') certificates_remove(&fixture->certificates);
  free(fixture);
  return 0;
}
