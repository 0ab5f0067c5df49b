/* A client on a loop of its own and the scripted upstream that it calls. For specs. */
#ifndef TIDEGATE_SPEC_HTTP_CLIENT_FIXTURE_H
#define TIDEGATE_SPEC_HTTP_CLIENT_FIXTURE_H

#include "certificates.h"
#include "io/http_client.h"
#include "name_server.h"
#include "timer_loop.h"
#include "upstream.h"

struct http_client_fixture {
  struct timer_loop timer_loop;
  struct http_client *client;
  struct upstream *upstream;
  struct name_server *names; /* NULL but in the tests of names */
  struct certificates certificates;
};

/* Set-ups of cmocka, each with the fixture as the state: */
int http_client_fixture_set_up(void **state);       /* a plain upstream */
int http_client_fixture_set_up_names(void **state); /* and a name server, which the client asks */
int http_client_fixture_set_up_tls(void **state);   /* certificates, trusted; no upstream yet */
/* Frees whatever the test has left in the fixture. */
int http_client_fixture_tear_down(void **state);
/* Sets the fixture's client, which the caller has freed before; fails the test when it cannot. */
void http_client_fixture_open(struct http_client_fixture *fixture,
                              const struct http_client_options *options);

#endif
