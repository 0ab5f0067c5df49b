#include "io/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "io/http_connection.h"

#define SECOND_NS 1000000000ull

static const struct http_limits default_limits = {
    .body_bytes = 1u << 20,
    .connections = 10240,
    .head_ns = 10 * SECOND_NS,
    .idle_ns = 75 * SECOND_NS,
    .body_ns = 30 * SECOND_NS,
    .body_bytes_per_second = 1024,
    .write_ns = 30 * SECOND_NS,
    .linger_ns = 5 * SECOND_NS,
    .drain_idle_ns = SECOND_NS / 2,
};

static struct http_limits with_defaults(struct http_limits limits) {
  const struct http_limits *defaults = &default_limits;
  if (limits.body_bytes == 0) limits.body_bytes = defaults->body_bytes;
  if (limits.connections == 0) limits.connections = defaults->connections;
  if (limits.head_ns == 0) limits.head_ns = defaults->head_ns;
  if (limits.idle_ns == 0) limits.idle_ns = defaults->idle_ns;
  if (limits.body_ns == 0) limits.body_ns = defaults->body_ns;
  if (limits.body_bytes_per_second == 0)
    limits.body_bytes_per_second = defaults->body_bytes_per_second;
  if (limits.write_ns == 0) limits.write_ns = defaults->write_ns;
  if (limits.linger_ns == 0) limits.linger_ns = defaults->linger_ns;
  if (limits.drain_idle_ns == 0) limits.drain_idle_ns = defaults->drain_idle_ns;
  return limits;
}

struct http_server *http_server_new(uv_loop_t *loop, struct timer_heap *timers,
                                    const struct clock *clock) {
  static const struct clock real = {0};
  struct http_server *server = calloc(1, sizeof *server);
  if (server == NULL) return NULL;
  server->loop = loop;
  server->timers = timers;
  server->clock = clock != NULL ? clock : &real;
  server->references = 1;
  server->date_second = -1;
  buf_init(&server->head, 2 * HTTP_RESPONSE_HEAD_MAX);
  return server;
}

static void free_pools(struct http_server *server) {
  while (server->exchange_pool != NULL) {
    struct http_exchange *exchange = server->exchange_pool;
    server->exchange_pool = exchange->next;
    http_message_deinit(&exchange->message);
    free(exchange);
  }
  while (server->connection_pool != NULL) {
    struct http_connection *connection = server->connection_pool;
    server->connection_pool = connection->next;
    free(connection);
  }
}

static void release(struct http_server *server) {
  if (--server->references > 0) return;
  free_pools(server);
  buf_deinit(&server->head);
  free(server->plain_buffer);
  free(server);
}

void http_server_free(struct http_server *server) {
  struct http_listener *next = server->listeners;
  while (next != NULL) {
    struct http_listener *listener = next;
    next = listener->next;
    http_listener_close(listener);
  }
  release(server);
}

struct http_text http_server_date(struct http_server *server) {
  int64_t second = clock_wall_ms(server->clock) / 1000;
  if (second != server->date_second) {
    time_t seconds = (time_t)second;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    server->date_second = second;
    /* The names are English: the process never calls setlocale. */
    server->date_length =
        strftime(server->date, sizeof server->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
  }
  return (struct http_text){.data = server->date, .length = server->date_length};
}

uint64_t http_server_now(const struct http_server *server) {
  return server->timers->now(server->timers->context);
}

void http_listener_retain(struct http_listener *listener) {
  listener->references++;
}

void http_listener_release(struct http_listener *listener) {
  if (--listener->references > 0) return;
  struct http_server *server = listener->server;
  if (listener->handler.on_closed != NULL) listener->handler.on_closed(listener->handler.context);
  if (listener->previous != NULL) listener->previous->next = listener->next;
  if (listener->next != NULL) listener->next->previous = listener->previous;
  if (server->listeners == listener) server->listeners = listener->next;
  free(listener);
  release(server);
}

static struct http_listener *listener_of(struct listener *socket) {
  return (struct http_listener *)((char *)socket - offsetof(struct http_listener, socket));
}

static void on_accept(struct listener *socket, int descriptor, const union address_socket *peer) {
  http_connection_open(listener_of(socket), descriptor, peer);
}

static void on_socket_closed(struct listener *socket) {
  http_listener_release(listener_of(socket));
}

static void link_listener(struct http_server *server, struct http_listener *listener) {
  listener->next = server->listeners;
  if (listener->next != NULL) listener->next->previous = listener;
  server->listeners = listener;
  server->references++;
}

/* What a listener that speaks TLS needs besides. */
static int prepare_tls(struct http_server *server, struct tls_identity *identity, struct err *err) {
  if (identity == NULL) return 0;
  if (!tls_identity_is_loaded(identity))
    return err_set(err, "invalid_input", "TLS needs a certificate, and none is loaded");
  if (server->plain_buffer == NULL) server->plain_buffer = malloc(HTTP_PLAIN_BYTES);
  if (server->plain_buffer != NULL) return 0;
  return err_set(err, "out_of_memory", "no memory for a listener");
}

struct http_listener *http_server_listen(struct http_server *server, const struct address *address,
                                         const struct http_handler *handler,
                                         const struct http_listen_options *options,
                                         struct err *err) {
  int descriptor = options->descriptor;
  if (prepare_tls(server, options->tls, err) != 0) {
    if (options->adopt) close(descriptor);
    return NULL;
  }
  if (!options->adopt) descriptor = listener_bind(address, options->reuse_port, err);
  if (descriptor < 0) return NULL;
  struct http_listener *listener = calloc(1, sizeof *listener);
  if (listener == NULL) {
    close(descriptor);
    err_set(err, "out_of_memory", "no memory for a listener");
    return NULL;
  }
  if (listener_start(&listener->socket, server->loop, server->timers, descriptor, address,
                     on_accept, on_socket_closed, err) != 0) {
    free(listener);
    return NULL;
  }
  listener->server = server;
  listener->handler = *handler;
  listener->limits = with_defaults(options->limits);
  listener->tls = options->tls;
  /* One for the owner, until http_listener_close; one for the socket's handle. */
  listener->references = 2;
  link_listener(server, listener);
  return listener;
}

const struct address *http_listener_address(const struct http_listener *listener) {
  return &listener->socket.address;
}

void http_listener_limit_body(struct http_listener *listener, size_t bytes) {
  listener->limits.body_bytes = bytes;
}

void http_listener_drain(struct http_listener *listener) {
  if (listener->draining) return;
  listener_stop(&listener->socket);
  listener->draining = true;
  struct http_connection *next = listener->connections;
  while (next != NULL) {
    struct http_connection *connection = next;
    next = connection->next;
    http_connection_drain(connection);
  }
}

void http_listener_close(struct http_listener *listener) {
  if (listener->closed) return;
  listener->closed = true;
  listener_pause(&listener->socket);
  listener_stop(&listener->socket);
  /* Aborting one ends what it holds but unlinks it only in its close callback. */
  for (struct http_connection *connection = listener->connections; connection != NULL;
       connection = connection->next)
    http_connection_abort(connection);
  http_listener_release(listener);
}

struct http_listener_stats http_listener_stats(const struct http_listener *listener) {
  struct http_listener_stats stats = listener->stats;
  stats.starved = listener->socket.starved;
  return stats;
}
