#include "io/store_client.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

#define LATE_CHECK_MS 100
/* The driver knows better what became of a late request, and may say so first. */
#define LATE_GRACE_NS (UINT64_C(250) * 1000 * 1000)

struct store_client {
  struct store *store;
  uv_async_t async;              /* the driver has finished something */
  uv_timer_t timer;              /* looks for late requests, while there are any at all */
  struct store_request *pending; /* newest first */
  size_t pending_count;
  unsigned open_handles;
  atomic_size_t references; /* its owner until the handles are closed, and each pending request */

  pthread_mutex_t lock; /* guards what follows */
  struct store_queue finished;
  bool closed;
};

/* What the owner of a late request is told; the request's own err is the driver's still. */
static const struct err late_error = {
    .code = "timeout",
    .message = "the store did not answer in time; a write may have happened or not",
};

static void client_release(struct store_client *client, size_t count) {
  if (atomic_fetch_sub(&client->references, count) != count) return;
  pthread_mutex_destroy(&client->lock);
  free(client);
}

/* On a thread of the driver. */
static void on_finish(struct store_request *request) {
  struct store_client *client = request->client;
  pthread_mutex_lock(&client->lock);
  bool closed = client->closed;
  bool was_empty = client->finished.count == 0;
  if (!closed) store_queue_push(&client->finished, request);
  /* Inside the lock: after it, the loop might close the handle. */
  if (!closed && was_empty) uv_async_send(&client->async);
  pthread_mutex_unlock(&client->lock);
  if (!closed) return;
  store_request_free(request);
  client_release(client, 1);
}

static void unlink_pending(struct store_client *client, struct store_request *request) {
  if (request->previous_pending != NULL)
    request->previous_pending->next_pending = request->next_pending;
  else
    client->pending = request->next_pending;
  if (request->next_pending != NULL)
    request->next_pending->previous_pending = request->previous_pending;
  if (--client->pending_count == 0) uv_unref((uv_handle_t *)&client->async);
}

static void link_pending(struct store_client *client, struct store_request *request) {
  request->next_pending = client->pending;
  if (client->pending != NULL) client->pending->previous_pending = request;
  client->pending = request;
  if (client->pending_count++ == 0) uv_ref((uv_handle_t *)&client->async);
}

static void deliver(struct store_client *client, struct store_request *request) {
  unlink_pending(client, request);
  request->delivered = true;
  if (request->released)
    store_request_free(request);
  else if (!request->timed_out)
    request->wake(request->argument);
}

static void on_async(uv_async_t *async) {
  struct store_client *client = async->data;
  pthread_mutex_lock(&client->lock);
  struct store_queue finished = client->finished;
  client->finished = (struct store_queue){0};
  pthread_mutex_unlock(&client->lock);
  size_t count = 0;
  for (; finished.count > 0; count++) deliver(client, store_queue_pop(&finished));
  /* Each request held a reference; all go at once, as the last may take the client along. */
  if (count > 0) client_release(client, count);
}

static void on_timer(uv_timer_t *timer) {
  struct store_client *client = timer->data;
  uint64_t late = clock_real_monotonic_ns() - LATE_GRACE_NS;
  for (struct store_request *request = client->pending; request; request = request->next_pending) {
    if (request->timed_out || request->released || !store_request_is_late(request, late)) continue;
    request->timed_out = true;
    request->wake(request->argument);
  }
  if (client->pending_count == 0) uv_timer_stop(timer);
}

static void on_handle_close(uv_handle_t *handle) {
  struct store_client *client = handle->data;
  if (--client->open_handles == 0) client_release(client, 1);
}

struct store_client *store_client_new(struct store *store, uv_loop_t *loop, struct err *err) {
  struct store_client *client = calloc(1, sizeof *client);
  if (client == NULL) {
    err_set(err, "unavailable", "store: no memory for a client");
    return NULL;
  }
  int status = uv_async_init(loop, &client->async, on_async);
  if (status != 0) {
    free(client);
    err_set(err, "unavailable", "store: cannot make a loop handle: %s", uv_strerror(status));
    return NULL;
  }
  uv_timer_init(loop, &client->timer);
  client->async.data = client;
  client->timer.data = client;
  uv_unref((uv_handle_t *)&client->async);
  uv_unref((uv_handle_t *)&client->timer);
  pthread_mutex_init(&client->lock, NULL);
  client->store = store;
  client->open_handles = 2;
  atomic_init(&client->references, 1);
  return client;
}

void store_client_close(struct store_client *client) {
  if (client == NULL) return;
  pthread_mutex_lock(&client->lock);
  client->closed = true;
  pthread_mutex_unlock(&client->lock);
  /* From now on the driver frees what it finishes; these were handed over before. */
  on_async(&client->async);
  uv_close((uv_handle_t *)&client->timer, on_handle_close);
  uv_close((uv_handle_t *)&client->async, on_handle_close);
}

struct store_request *store_client_start(struct store_client *client, const struct store_spec *spec,
                                         wake_fn wake, void *argument, struct err *err) {
  struct store_request *request = store_request_new(spec, err);
  if (request == NULL) return NULL;
  request->on_finish = on_finish;
  request->client = client;
  request->wake = wake;
  request->argument = argument;
  atomic_fetch_add(&client->references, 1);
  link_pending(client, request);
  if (store_submit(client->store, request, err) == 0) {
    if (!uv_is_active((uv_handle_t *)&client->timer))
      uv_timer_start(&client->timer, on_timer, LATE_CHECK_MS, LATE_CHECK_MS);
    return request;
  }
  unlink_pending(client, request);
  client_release(client, 1);
  store_request_free(request);
  return NULL;
}

size_t store_client_pending(const struct store_client *client) {
  return client->pending_count;
}

bool store_request_is_done(const struct store_request *request) {
  return request->delivered || request->timed_out;
}

const struct err *store_request_error(const struct store_request *request) {
  if (request->timed_out) return &late_error;
  return request->err.code ? &request->err : NULL;
}

size_t store_request_result_count(const struct store_request *request) {
  return request->statement_count;
}

const struct store_result *store_request_result(const struct store_request *request, size_t index) {
  return &request->results[index];
}

void *store_request_argument(const struct store_request *request) {
  return request->argument;
}

void store_request_release(struct store_request *request) {
  if (request == NULL) return;
  if (request->delivered) {
    store_request_free(request);
    return;
  }
  request->released = true;
  atomic_store_explicit(&request->cancelled, true, memory_order_relaxed);
}
