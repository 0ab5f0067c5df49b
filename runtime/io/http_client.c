#include "io/http_client.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/http_operation.h"

/* Operations that wait for their next use, each with its easy handle. */
#define POOL_MAX 256
#define KEPT_BODY 16384

static const uint64_t ns_per_ms = 1000000;

/* --- the pool ----------------------------------------------------------------------------- */

static void destroy(struct http_operation *operation) {
  if (operation->easy != NULL) curl_easy_cleanup(operation->easy);
  content_decoder_deinit(&operation->decoder);
  http_response_deinit(&operation->response);
  http_lines_deinit(&operation->lines);
  buf_deinit(&operation->body);
  free(operation);
}

static struct http_operation *create(struct http_client *client) {
  struct http_operation *operation = calloc(1, sizeof *operation);
  if (operation == NULL) return NULL;
  operation->client = client;
  operation->unix_path.folder = -1;
  http_response_init(&operation->response);
  http_lines_init(&operation->lines);
  operation->easy = http_transfer_handle_new(operation);
  if (operation->easy != NULL) return operation;
  destroy(operation);
  return NULL;
}

static struct http_operation *take(struct http_client *client) {
  struct http_operation *operation = client->pool;
  if (operation == NULL) {
    operation = create(client);
    if (operation == NULL) return NULL;
  } else {
    client->pool = operation->next;
    client->pool_size--;
  }
  operation->previous = NULL;
  operation->next = client->live;
  if (operation->next != NULL) operation->next->previous = operation;
  client->live = operation;
  return operation;
}

static void unlink_live(struct http_client *client, struct http_operation *operation) {
  if (operation->next != NULL) operation->next->previous = operation->previous;
  if (operation->previous != NULL)
    operation->previous->next = operation->next;
  else
    client->live = operation->next;
}

/* Forgets all that belongs to the request that is over. */
static void wipe(struct http_operation *operation) {
  content_decoder_deinit(&operation->decoder);
  content_decoder_init(&operation->decoder, CONTENT_IDENTITY);
  http_response_clear(&operation->response);
  if (operation->body.capacity > KEPT_BODY) buf_deinit(&operation->body);
  buf_clear(&operation->body);
  operation->timings = (struct http_timings){0};
  operation->sent = operation->has_failed = operation->reused = operation->is_spoilt = false;
  operation->remote_address[0] = operation->curl_message[0] = '\0';
  operation->wake = NULL;
  operation->phase = HTTP_IDLE;
}

static void give_back(struct http_client *client, struct http_operation *operation) {
  unlink_live(client, operation);
  if (client->pool_size >= POOL_MAX) {
    destroy(operation);
    return;
  }
  wipe(operation);
  operation->next = client->pool;
  client->pool = operation;
  client->pool_size++;
}

/* --- the end of an operation -------------------------------------------------------------- */

/* Lets go of everything that could still call back. */
static void stop(struct http_operation *operation) {
  struct http_client *client = operation->client;
  timer_stop(client->timers, &operation->timer);
  resolver_cancel(&operation->query);
  if (operation->is_added) curl_loop_remove(client->curl_loop, operation->easy);
  operation->is_added = false;
  unix_path_close(&operation->unix_path);
  if (operation->phase != HTTP_DONE) client->in_flight--;
  operation->phase = HTTP_DONE;
}

static void finish(struct http_operation *operation) {
  struct http_client *client = operation->client;
  stop(operation);
  operation->timings.total = (double)(clock_real_monotonic_ns() - operation->began_ns) / 1e6;
  if (operation->has_failed) client->counters.failed++;
  if (operation->reused) client->counters.reused++;
  operation->wake(operation->argument);
}

static int add(struct http_operation *operation, struct err *err) {
  if (curl_loop_add(operation->client->curl_loop, operation->easy, err) != 0) return -1;
  operation->is_added = true;
  operation->phase = HTTP_CONNECTING;
  return 0;
}

static void on_transfer_done(void *argument, CURLcode code) {
  struct http_operation *operation = argument;
  struct err err;
  operation->is_added = false;
  if (http_transfer_is_to_restart(operation, code)) {
    if (add(operation, &err) == 0) return;
    http_operation_fail(operation, &err);
  }
  http_transfer_conclude(operation, code);
  finish(operation);
}

static const char *waiting_for(const struct http_operation *operation) {
  switch (operation->phase) {
    case HTTP_LOOKING_UP:
      return "looking up its name";
    case HTTP_CONNECTING:
      return "connecting";
    default:
      break;
  }
  return operation->response.bytes == 0 ? "waiting for the answer" : "receiving the answer";
}

static void on_deadline(struct timer *timer);

/* The deadline of the connection comes first. That of the whole is looked at when the first is
 * over (see has_time_left): few calls last so long, and all would pay for moving the timer. */
static int arm(struct http_operation *operation) {
  uint64_t connect = operation->connect_timeout_ms;
  uint64_t first = connect < operation->timeout_ms ? connect : operation->timeout_ms;
  return timer_start(operation->client->timers, &operation->timer, first * ns_per_ms, on_deadline);
}

static bool has_time_left(struct http_operation *operation) {
  struct timer_heap *timers = operation->client->timers;
  if (operation->phase < HTTP_SENT) return false;
  uint64_t elapsed = timers->now(timers->context) - operation->started_ns;
  uint64_t limit = operation->timeout_ms * ns_per_ms;
  if (elapsed >= limit) return false;
  return timer_start(timers, &operation->timer, limit - elapsed, on_deadline) == 0;
}

static void on_deadline(struct timer *timer) {
  struct http_operation *operation =
      (struct http_operation *)((char *)timer - offsetof(struct http_operation, timer));
  struct err err;
  if (has_time_left(operation)) return;
  bool is_connect =
      operation->phase < HTTP_SENT && operation->connect_timeout_ms < operation->timeout_ms;
  uint64_t limit = is_connect ? operation->connect_timeout_ms : operation->timeout_ms;
  err_set(&err, "timeout", "%s did not answer within %.3g s: the time ran out while %s",
          operation->host, (double)limit / 1e3, waiting_for(operation));
  operation->has_failed = false;
  http_operation_fail(operation, &err);
  operation->client->counters.timed_out++;
  finish(operation);
}

/* --- the start ---------------------------------------------------------------------------- */

static int begin_transfer(struct http_operation *operation,
                          const struct resolver_addresses *addresses, struct err *err) {
  if (http_transfer_set_addresses(operation, addresses, err) != 0) return -1;
  return add(operation, err);
}

static void on_resolved(struct resolver_query *query, const struct resolver_addresses *addresses,
                        const struct err *resolver_err) {
  struct http_operation *operation =
      (struct http_operation *)((char *)query - offsetof(struct http_operation, query));
  struct err err;
  operation->timings.dns = (double)(clock_real_monotonic_ns() - operation->began_ns) / 1e6;
  if (resolver_err != NULL)
    http_operation_fail(operation, resolver_err);
  else if (begin_transfer(operation, addresses, &err) != 0)
    http_operation_fail(operation, &err);
  else
    return;
  finish(operation);
}

static int resolve(struct http_operation *operation, struct err *err) {
  const struct resolver_addresses *addresses;
  operation->phase = HTTP_LOOKING_UP;
  switch (resolver_start(operation->client->resolver, &operation->query, operation->host,
                         on_resolved, &addresses, err)) {
    case RESOLVER_FOUND:
      return begin_transfer(operation, addresses, err);
    case RESOLVER_PENDING:
      return 0;
    case RESOLVER_FAILED:
      break;
  }
  return -1;
}

static void describe(struct http_operation *operation, const struct http_request *request,
                     const struct url *url) {
  struct timer_heap *timers = operation->client->timers;
  memcpy(operation->host, url->host, url->host_length + 1);
  operation->port = url->port;
  operation->is_literal =
      url->host_is_literal || url_host_is_localhost(url->host, url->host_length);
  operation->policy = request->policy;
  operation->http2 = request->http2;
  operation->expects_body = strcmp(request->method, "HEAD") != 0;
  operation->timeout_ms = request->timeout_ms;
  operation->connect_timeout_ms = request->connect_timeout_ms;
  operation->body.ceiling = request->response_max;
  operation->started_ns = timers->now(timers->context);
  operation->began_ns = clock_real_monotonic_ns();
}

static int open_unix_path(struct http_operation *operation, const struct http_request *request,
                          struct err *err) {
  if (request->unix_socket == NULL) return 0;
  if (unix_path_open(&operation->unix_path, request->unix_socket) == 0) return 0;
  return err_set(err, "network_error", "cannot connect to %.200s: %s", request->unix_socket,
                 strerror(errno));
}

static int launch(struct http_operation *operation, const struct http_request *request,
                  const struct url *url, struct err *err) {
  describe(operation, request, url);
  if (open_unix_path(operation, request, err) != 0) return -1;
  if (http_lines_build(&operation->lines, request, url, err) != 0) return -1;
  if (http_transfer_configure(operation, request) != 0 || arm(operation) != 0)
    return err_set(err, "out_of_memory", "the request does not fit into memory");
  return request->unix_socket != NULL ? add(operation, err) : resolve(operation, err);
}

struct http_operation *http_client_start(struct http_client *client,
                                         const struct http_request *request, wake_fn wake,
                                         void *argument, struct err *err) {
  struct url url;
  if (http_request_check(request, &url, err) != 0) return NULL;
  if (client->in_flight >= client->operations_max) {
    client->counters.refused++;
    err_set(err, "overloaded", "%zu requests are under way; wait for some of them",
            client->in_flight);
    return NULL;
  }
  struct http_operation *operation = take(client);
  if (operation == NULL) {
    err_set(err, "out_of_memory", "the request does not fit into memory");
    return NULL;
  }
  operation->wake = wake;
  operation->argument = argument;
  client->in_flight++;
  if (launch(operation, request, &url, err) == 0) {
    client->counters.started++;
    return operation;
  }
  stop(operation);
  give_back(client, operation);
  return NULL;
}

void http_operation_free(struct http_operation *operation) {
  if (operation == NULL) return;
  struct http_client *client = operation->client;
  if (client == NULL) {
    destroy(operation);
    return;
  }
  if (operation->phase != HTTP_DONE) client->counters.cancelled++;
  stop(operation);
  give_back(client, operation);
}

/* --- the client --------------------------------------------------------------------------- */

static int open_client(struct http_client *client, const struct http_client_options *options,
                       struct err *err) {
  size_t connections = options->connections_max;
  client->ca = strdup(options->ca != NULL ? options->ca : HTTP_CLIENT_CA);
  client->share = curl_share_init();
  if (client->ca == NULL || client->share == NULL)
    return err_set(err, "out_of_memory", "cannot start the HTTP client: out of memory");
  curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  client->curl_loop =
      curl_loop_new(client->loop, connections > 0 ? connections : HTTP_CLIENT_CONNECTIONS_MAX,
                    on_transfer_done, err);
  if (client->curl_loop == NULL) return -1;
  client->resolver = resolver_new(client->loop, &options->resolver, err);
  return client->resolver != NULL ? 0 : -1;
}

static void close_client(struct http_client *client) {
  curl_loop_free(client->curl_loop);
  resolver_free(client->resolver);
  if (client->share != NULL) curl_share_cleanup(client->share);
  free(client->ca);
  free(client);
  curl_global_cleanup();
}

int http_client_open_library(void) {
  bool is_open =
      OPENSSL_init_ssl(0, NULL) == 1 && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return is_open ? 0 : -1;
}

void http_client_close_library(void) {
  curl_global_cleanup();
}

struct http_client *http_client_new(uv_loop_t *loop, struct timer_heap *timers,
                                    const struct http_client_options *options, struct err *err) {
  struct http_client *client = calloc(1, sizeof *client);
  if (client == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    free(client);
    err_set(err, "out_of_memory", "cannot start the HTTP client: out of memory");
    return NULL;
  }
  client->loop = loop;
  client->timers = timers;
  client->operations_max =
      options->operations_max > 0 ? options->operations_max : HTTP_CLIENT_OPERATIONS_MAX;
  if (open_client(client, options, err) == 0) return client;
  close_client(client);
  return NULL;
}

/* The owner still holds it and may look at it. */
static void abandon(struct http_operation *operation) {
  struct err err;
  if (operation->phase != HTTP_DONE) {
    err_set(&err, "network_error", "the HTTP client was closed");
    http_operation_fail(operation, &err);
  }
  stop(operation);
  curl_easy_cleanup(operation->easy);
  operation->easy = NULL;
  operation->client = NULL;
}

void http_client_free(struct http_client *client) {
  if (client == NULL) return;
  while (client->live != NULL) {
    struct http_operation *operation = client->live;
    client->live = operation->next;
    if (client->live != NULL) client->live->previous = NULL;
    operation->next = NULL;
    abandon(operation);
  }
  while (client->pool != NULL) {
    struct http_operation *operation = client->pool;
    client->pool = operation->next;
    destroy(operation);
  }
  close_client(client);
}

const struct http_client_counters *http_client_counters(const struct http_client *client) {
  return &client->counters;
}

size_t http_client_in_flight(const struct http_client *client) {
  return client->in_flight;
}

size_t http_client_connections(const struct http_client *client) {
  return curl_loop_connections(client->curl_loop);
}

const struct resolver *http_client_resolver(const struct http_client *client) {
  return client->resolver;
}

/* --- results ------------------------------------------------------------------------------ */

bool http_operation_is_done(const struct http_operation *operation) {
  return operation->phase == HTTP_DONE;
}

const struct err *http_operation_error(const struct http_operation *operation) {
  return operation->has_failed ? &operation->err : NULL;
}

bool http_operation_sent(const struct http_operation *operation) {
  return operation->sent;
}

const struct http_response *http_operation_response(const struct http_operation *operation) {
  return &operation->response;
}

const struct buf *http_operation_body(const struct http_operation *operation) {
  return &operation->body;
}

const struct http_timings *http_operation_timings(const struct http_operation *operation) {
  return &operation->timings;
}

bool http_operation_reused(const struct http_operation *operation) {
  return operation->reused;
}

const char *http_operation_remote_address(const struct http_operation *operation) {
  return operation->remote_address;
}
