/* A worker's side of the store: starts requests and hears of their end on the worker's loop.
 *
 * Everything here belongs to the loop's thread. A request is owned by who started it until
 * store_request_release, which also cancels: the owner is forgotten, a write may still
 * happen. Each request ends by its deadline: if the store has not answered by then, it is
 * done with "timeout", and whether a write happened is unknown. That deadline runs on real
 * time, also where the worker's clock is a specs' virtual one. */
#ifndef TIDEGATE_IO_STORE_CLIENT_H
#define TIDEGATE_IO_STORE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/err.h"
#include "base/wake.h"
#include "io/store.h"

struct store_client;

/* The store must outlive the client. NULL without memory or descriptors. */
struct store_client *store_client_new(struct store *store, uv_loop_t *loop, struct err *err);

/* All requests must have been released. Returns at once; the handles close on the loop, which
 * has to run once more. What the store still works on is dropped when it ends. */
void store_client_close(struct store_client *client);

/* Copies `spec` and queues it. `wake` is called once with `argument` when the request is
 * done, from the loop, never from here, and not after its release. NULL and "overloaded",
 * "too_large" or "unavailable". */
struct store_request *store_client_start(struct store_client *client, const struct store_spec *spec,
                                         wake_fn wake, void *argument, struct err *err);

/* Requests that the store still works on, released ones too. While there are any, they keep
 * the loop alive; else nothing of the client does. */
size_t store_client_pending(const struct store_client *client);

bool store_request_is_done(const struct store_request *request);
/* Once done: NULL when it worked. Valid until the release. */
const struct err *store_request_error(const struct store_request *request);
/* How many results there are: one per statement. */
size_t store_request_result_count(const struct store_request *request);
/* Once done without error: the result of statement `index`, from 0. Valid until the release. */
const struct store_result *store_request_result(const struct store_request *request, size_t index);
/* What store_client_start was given. */
void *store_request_argument(const struct store_request *request);
/* Ends the ownership; NULL is ignored. */
void store_request_release(struct store_request *request);

#endif
