#include "bind/server_problem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NO_TRACE_ID "00000000000000000000000000000000"
#define DETAIL_MAX 300 /* twice that, escaped, fits into HTTP_REFUSAL_TEXT_MAX */

struct kind {
  const char *code;
  const char *title;
  bool retryable;
};

static struct kind kind_of(int status) {
  switch (status) {
    case 413:
      return (struct kind){"payload_too_large", "Payload too large", false};
    case 500:
      return (struct kind){"internal", "Internal error", false};
    case 503:
      return (struct kind){"overloaded", "Overloaded", true};
    default:
      return (struct kind){"invalid_input", "Invalid input", false};
  }
}

static void add_header(struct http_refusal *problem, const char *name, const char *value) {
  problem->headers[problem->header_count++] = (struct http_header){
      .name = {.data = name, .length = strlen(name)},
      .value = {.data = value, .length = strlen(value)},
  };
}

/* The details are our own and llhttp's sentences: ASCII, but some of them quote. */
static void escape(char out[2 * DETAIL_MAX + 1], const char *detail) {
  size_t length = 0;
  for (size_t i = 0; i < DETAIL_MAX && detail[i] != '\0'; i++) {
    if (detail[i] == '"' || detail[i] == '\\') out[length++] = '\\';
    out[length++] = (unsigned char)detail[i] < ' ' ? ' ' : detail[i];
  }
  out[length] = '\0';
}

static void fill(struct http_refusal *problem, int status, struct kind kind, const char *detail,
                 struct uuid_source *ids, int64_t wall_ms) {
  char escaped[2 * DETAIL_MAX + 1];
  char trace[UUID_TRACE_LENGTH + 1];
  if (uuid_trace_id(ids, wall_ms, trace) != 0) memcpy(trace, NO_TRACE_ID, sizeof trace);
  escape(escaped, detail);
  char *kept = problem->text;
  char *body = problem->text + sizeof trace;
  memcpy(kept, trace, sizeof trace);
  int length = snprintf(body, sizeof problem->text - sizeof trace,
                        "{\"type\":\"urn:tidegate:error:%s\",\"title\":\"%s\",\"status\":%d,"
                        "\"detail\":\"%s\",\"code\":\"%s\",\"retryable\":%s,"
                        "\"trace_id\":\"%s\"}",
                        kind.code, kind.title, status, escaped, kind.code,
                        kind.retryable ? "true" : "false", trace);
  problem->body = body;
  problem->body_length = (size_t)length;
  add_header(problem, "Content-Type", "application/problem+json");
  add_header(problem, "X-Trace-Id", kept);
  if (status == 503) add_header(problem, "Retry-After", "1");
}

void server_problem_fill(struct http_refusal *problem, int status, const char *detail,
                         struct uuid_source *ids, int64_t wall_ms) {
  fill(problem, status, kind_of(status), detail, ids, wall_ms);
}

static void answer(struct http_exchange *exchange, int status, struct kind kind, const char *detail,
                   struct uuid_source *ids, int64_t wall_ms) {
  struct http_refusal problem = {0};
  fill(&problem, status, kind, detail, ids, wall_ms);
  struct http_response response = {.status = status,
                                   .headers = problem.headers,
                                   .header_count = problem.header_count,
                                   .body = problem.body,
                                   .body_length = problem.body_length};
  /* It fails only when the client has left or memory has run out: then there is nobody to
   * tell, and the release of the exchange closes the connection. */
  http_exchange_respond(exchange, &response, NULL);
}

void server_problem_answer(struct http_exchange *exchange, int status, const char *detail,
                           struct uuid_source *ids, int64_t wall_ms) {
  answer(exchange, status, kind_of(status), detail, ids, wall_ms);
}

void server_problem_stopped(struct http_exchange *exchange, struct uuid_source *ids,
                            int64_t wall_ms) {
  /* What the request was about may have happened: only its sender knows if it may be repeated. */
  const struct kind kind = {"unavailable", "Unavailable", false};
  answer(exchange, 503, kind, "the service stopped before this request was answered", ids, wall_ms);
}
