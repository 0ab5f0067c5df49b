/* The answers that the server gives without a script, as application/problem+json. Made in C
 * because they are made where no Lua may run. */
#ifndef TIDEGATE_BIND_SERVER_PROBLEM_H
#define TIDEGATE_BIND_SERVER_PROBLEM_H

#include <stdint.h>

#include "base/uuid.h"
#include "io/http_server.h"

/* Fills a zeroed `problem`, with a trace id of its own; the code follows from the status
 * (413 payload_too_large, 500 internal, 503 overloaded with Retry-After: 1, else
 * invalid_input). Cannot fail. */
void server_problem_fill(struct http_refusal *problem, int status, const char *detail,
                         struct uuid_source *ids, int64_t wall_ms);

/* Answers with one; the exchange stays its holder's. What cannot be sent is dropped. */
void server_problem_answer(struct http_exchange *exchange, int status, const char *detail,
                           struct uuid_source *ids, int64_t wall_ms);

/* Answers a request whose task was cancelled because the service ends. */
void server_problem_stopped(struct http_exchange *exchange, struct uuid_source *ids,
                            int64_t wall_ms);

#endif
