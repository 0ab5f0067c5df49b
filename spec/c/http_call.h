/* One request of a spec and what became of it. For specs. */
#ifndef TIDEGATE_SPEC_HTTP_CALL_H
#define TIDEGATE_SPEC_HTTP_CALL_H

#include "http_client_fixture.h"

struct http_call {
  struct http_request request;
  char url[512];
  struct http_operation *operation;
  int woken;
  struct err err; /* of the start, when operation is NULL */
};

/* Fills in the request, with patient time-outs and a ceiling of 8 MiB; the test may change it. */
void http_call_prepare(struct http_call *call, const char *method, const char *scheme,
                       const char *host, int port, const char *target);
/* A GET to the fixture's upstream, in plain text. */
void http_call_prepare_get(struct http_client_fixture *fixture, struct http_call *call,
                           const char *target);
/* The operation is NULL, and err set, when it was refused. */
void http_call_start(struct http_client_fixture *fixture, struct http_call *call);
/* Fails the test unless the call was started, ends in time and wakes exactly once. */
void http_call_wait(struct http_client_fixture *fixture, struct http_call *call);
/* Start and wait. */
void http_call_perform(struct http_client_fixture *fixture, struct http_call *call);
/* Frees the operation, under way or not. */
void http_call_finish(struct http_call *call);
/* Whether the call, as a void pointer, was woken: a condition of timer_loop_run_until. */
bool http_call_is_over(void *argument);

/* Of a call that has ended. */
void http_call_assert_answer(const struct http_call *call, int status, const char *body);
void http_call_assert_error(const struct http_call *call, const char *code);
/* A whole call: a GET of the target that is answered so. */
void http_call_get_expecting(struct http_client_fixture *fixture, const char *target, int status,
                             const char *body);

#endif
