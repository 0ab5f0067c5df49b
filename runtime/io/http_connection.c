#include "io/http_connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define CONTINUE_LINE "HTTP/1.1 100 Continue\r\n\r\n"
/* How often a write that is under way is looked at, within write_ns. */
#define WRITE_LOOKS 3

static void settle(struct http_connection *connection);

/* --- the queue ------------------------------------------------------------------------ */

static void enqueue(struct http_connection *connection, struct http_exchange *exchange) {
  exchange->queued = true;
  if (connection->last != NULL)
    connection->last->next = exchange;
  else
    connection->first = exchange;
  connection->last = exchange;
  connection->queue_length++;
  connection->queued_bytes += exchange->message.body.length;
}

static void dequeue(struct http_connection *connection) {
  struct http_exchange *exchange = connection->first;
  connection->first = exchange->next;
  if (connection->first == NULL) connection->last = NULL;
  connection->queue_length--;
  connection->queued_bytes -= exchange->message.body.length;
  http_exchange_leave_queue(exchange);
}

/* --- the end -------------------------------------------------------------------------- */

static void drop_incoming(struct http_connection *connection) {
  if (connection->incoming != NULL) http_exchange_recycle(connection->incoming);
  connection->incoming = NULL;
}

static void unlink_connection(struct http_connection *connection) {
  struct http_listener *listener = connection->listener;
  if (connection->next != NULL) connection->next->previous = connection->previous;
  if (connection->previous != NULL)
    connection->previous->next = connection->next;
  else
    listener->connections = connection->next;
}

static void recycle(struct http_server *server, struct http_connection *connection) {
  if (server->connections_pooled == HTTP_POOL_MAX) {
    free(connection);
    return;
  }
  connection->next = server->connection_pool;
  server->connection_pool = connection;
  server->connections_pooled++;
}

static void on_closed(uv_handle_t *handle) {
  struct http_connection *connection = handle->data;
  struct http_listener *listener = connection->listener;
  unlink_connection(connection);
  buf_deinit(&connection->stash);
  http_output_deinit(&connection->output);
  tls_session_free(connection->tls);
  recycle(listener->server, connection);
  listener->stats.connections--;
  if (listener->stats.connections < listener->limits.connections)
    listener_resume(&listener->socket);
  http_listener_release(listener);
}

void http_connection_abort(struct http_connection *connection) {
  if (connection->state == HTTP_CONNECTION_CLOSED) return;
  connection->state = HTTP_CONNECTION_CLOSED;
  timer_stop(connection->listener->server->timers, &connection->timer);
  drop_incoming(connection);
  while (connection->first != NULL) {
    connection->first->gone = true;
    dequeue(connection);
  }
  uv_close(&connection->uv.handle, on_closed);
}

/* Nothing more is received; closes once what is owed has been written. */
static void finish(struct http_connection *connection) {
  connection->state = HTTP_CONNECTION_FINISHING;
  drop_incoming(connection);
}

static void on_shutdown(uv_shutdown_t *request, int status) {
  struct http_connection *connection = request->data;
  if (status != 0) http_connection_abort(connection);
}

/* Closing with unread bytes would reset the connection and might take the answer with it: so
 * end our side only and wait for the client to end its own. */
static void linger(struct http_connection *connection) {
  connection->state = HTTP_CONNECTION_LINGERING;
  if (http_output_end(&connection->output) != 0 || connection->ended ||
      uv_shutdown(&connection->shutdown, &connection->uv.stream, on_shutdown) != 0)
    http_connection_abort(connection);
}

/* --- time-outs ------------------------------------------------------------------------ */

static bool is_shaking_hands(const struct http_connection *connection) {
  return connection->tls != NULL && !tls_session_is_established(connection->tls);
}

static enum http_connection_wait wait_of(const struct http_connection *connection) {
  if (connection->state == HTTP_CONNECTION_LINGERING) return HTTP_WAIT_LINGER;
  if (is_shaking_hands(connection)) return HTTP_WAIT_HANDSHAKE;
  if (connection->output.is_writing) return HTTP_WAIT_WRITE;
  /* While we do not read, or owe it a "100 Continue", it is not the client that is slow. */
  if (!connection->reading || connection->owes_continue) return HTTP_WAIT_NONE;
  if (connection->incoming != NULL && http_parse_has_begun(&connection->parse))
    return connection->parse.phase == HTTP_PARSE_HEAD ? HTTP_WAIT_HEAD : HTTP_WAIT_BODY;
  if (connection->first != NULL || connection->last_received) return HTTP_WAIT_NONE;
  return HTTP_WAIT_IDLE;
}

/* The body has to move, and on the whole not too slowly. */
static uint64_t body_deadline(const struct http_connection *connection, uint64_t now) {
  const struct http_limits *limits = &connection->listener->limits;
  uint64_t overall = connection->begun_ns + limits->body_ns +
                     connection->progress * SECOND_NS / limits->body_bytes_per_second;
  uint64_t next = now + limits->body_ns;
  return next < overall ? next : overall;
}

static uint64_t deadline_of(const struct http_connection *connection, uint64_t now) {
  const struct http_listener *listener = connection->listener;
  const struct http_limits *limits = &listener->limits;
  switch (connection->wait) {
    case HTTP_WAIT_IDLE:
      return now + (listener->draining ? limits->drain_idle_ns : limits->idle_ns);
    case HTTP_WAIT_HANDSHAKE:
    case HTTP_WAIT_HEAD:
      return now + limits->head_ns;
    case HTTP_WAIT_BODY:
      return body_deadline(connection, now);
    case HTTP_WAIT_WRITE:
      return now + limits->write_ns / WRITE_LOOKS;
    case HTTP_WAIT_LINGER:
      return now + limits->linger_ns;
    default:
      return 0;
  }
}

static void on_due(struct timer *timer);

/* A timer that is due too early is left as it is: most deadlines are replaced by a later one
 * long before they are due, and this way they cost nothing. */
static void arm(struct http_connection *connection, uint64_t deadline, uint64_t now) {
  struct timer *timer = &connection->timer;
  connection->deadline_ns = deadline;
  if (timer_is_started(timer) && timer->due_ns <= deadline) return;
  uint64_t delay = deadline > now ? deadline - now : 0;
  if (timer_start(connection->listener->server->timers, timer, delay, on_due) != 0)
    http_connection_abort(connection);
}

static size_t body_received(const struct http_connection *connection) {
  return connection->incoming != NULL ? connection->incoming->message.body.length : 0;
}

static void schedule(struct http_connection *connection) {
  enum http_connection_wait wait = wait_of(connection);
  bool same = wait == connection->wait;
  connection->wait = (uint8_t)wait;
  if (wait == HTTP_WAIT_NONE) connection->deadline_ns = 0;
  if (wait == HTTP_WAIT_NONE || (same && wait != HTTP_WAIT_BODY)) return;
  if (same && body_received(connection) == connection->progress) return;
  uint64_t now = http_server_now(connection->listener->server);
  if (!same) connection->begun_ns = now;
  connection->extended = false;
  connection->progress =
      wait == HTTP_WAIT_WRITE ? http_output_left(&connection->output) : body_received(connection);
  arm(connection, deadline_of(connection, now), now);
}

static void refuse(struct http_connection *connection, struct http_fault fault);

/* After the process stood still (SIGSTOP, a long callback) time-outs are due although the
 * client was not slow: its bytes are there, only not read. */
static bool has_unread_bytes(const struct http_connection *connection) {
  uv_os_fd_t descriptor;
  int count = 0;
  if (uv_fileno(&connection->uv.handle, &descriptor) != 0) return false;
  return ioctl(descriptor, FIONREAD, &count) == 0 && count > 0;
}

static bool extend(struct http_connection *connection, uint64_t now) {
  if (connection->extended || !has_unread_bytes(connection)) return false;
  connection->extended = true;
  arm(connection, now + SECOND_NS, now);
  return true;
}

static void expire_write(struct http_connection *connection, uint64_t now) {
  const struct http_limits *limits = &connection->listener->limits;
  size_t left = http_output_left(&connection->output);
  if (left < connection->progress) connection->begun_ns = now;
  connection->progress = left;
  if (now - connection->begun_ns >= limits->write_ns) {
    http_connection_abort(connection);
    return;
  }
  arm(connection, now + limits->write_ns / WRITE_LOOKS, now);
}

static void expire(struct http_connection *connection, uint64_t now) {
  static const struct http_fault slow = {.status = HTTP_STATUS_REQUEST_TIMEOUT,
                                         .reason = "the request did not arrive in time"};
  switch (connection->wait) {
    case HTTP_WAIT_WRITE:
      expire_write(connection, now);
      return;
    case HTTP_WAIT_HEAD:
    case HTTP_WAIT_BODY:
      if (extend(connection, now)) return;
      refuse(connection, slow);
      settle(connection);
      return;
    case HTTP_WAIT_HANDSHAKE:
    case HTTP_WAIT_IDLE:
      if (extend(connection, now)) return;
      if (is_shaking_hands(connection)) connection->listener->stats.failed_handshakes++;
      http_connection_abort(connection);
      return;
    default:
      http_connection_abort(connection);
  }
}

static void on_due(struct timer *timer) {
  struct http_connection *connection =
      (struct http_connection *)((char *)timer - offsetof(struct http_connection, timer));
  uint64_t now = http_server_now(connection->listener->server);
  if (connection->deadline_ns == 0) return;
  if (now < connection->deadline_ns) {
    arm(connection, connection->deadline_ns, now);
    return;
  }
  expire(connection, now);
}

/* --- answers -------------------------------------------------------------------------- */

static void on_written(struct http_output *output, int status) {
  struct http_connection *connection =
      (struct http_connection *)((char *)output - offsetof(struct http_connection, output));
  if (connection->state == HTTP_CONNECTION_CLOSED) return;
  connection->wait = HTTP_WAIT_NONE;
  if (status != 0) {
    http_connection_abort(connection);
    return;
  }
  settle(connection);
}

/* Takes the first of the queue off, its answer being sent. */
static void answered_first(struct http_connection *connection) {
  bool closes = connection->first->closes;
  dequeue(connection);
  if (closes) finish(connection);
}

static int send_ready(struct http_connection *connection) {
  while (connection->first != NULL && connection->first->answered) {
    struct buf *answer = &connection->first->answer;
    uv_buf_t part = uv_buf_init(answer->data, (unsigned)answer->length);
    if (http_output_send(&connection->output, &part, 1) != 0) return -1;
    answered_first(connection);
  }
  return 0;
}

int http_connection_answer(struct http_connection *connection, struct http_exchange *exchange,
                           const uv_buf_t *parts, unsigned count) {
  int status;
  if (exchange->closes) connection->last_received = true;
  if (exchange != connection->first) {
    status = http_output_copy(&exchange->answer, parts, count);
  } else {
    status = http_output_send(&connection->output, parts, count);
    if (status == 0) {
      answered_first(connection);
      status = send_ready(connection);
    }
  }
  if (status != 0) {
    http_connection_abort(connection);
    return -1;
  }
  settle(connection);
  return 0;
}

bool http_connection_ends_with(const struct http_connection *connection,
                               const struct http_exchange *exchange) {
  if (!exchange->message.keep_alive) return true;
  if (!connection->listener->draining && !connection->ended) return false;
  /* Requests that have come are still answered, so the last of them says it. */
  size_t unparsed = connection->busy ? connection->unparsed : connection->stash.length;
  if (connection->last != exchange || unparsed > 0) return false;
  if (connection->ended) return true;
  bool begun = connection->incoming != NULL && http_parse_has_begun(&connection->parse);
  if (connection->tls != NULL && tls_session_has_part(connection->tls)) return false;
  return !begun && !has_unread_bytes(connection);
}

/* --- requests ------------------------------------------------------------------------- */

static bool may_parse(const struct http_connection *connection) {
  return connection->state == HTTP_CONNECTION_OPEN && !connection->last_received &&
         !connection->output.is_writing && connection->queue_length < HTTP_PIPELINE_MAX &&
         connection->queued_bytes < connection->listener->limits.body_bytes;
}

/* Answers in turn, and takes no further byte for a request. */
static void refuse(struct http_connection *connection, struct http_fault fault) {
  struct http_exchange *exchange = connection->incoming;
  connection->incoming = NULL;
  connection->last_received = true;
  connection->wait = HTTP_WAIT_NONE;
  enqueue(connection, exchange);
  http_exchange_refuse(exchange, fault);
}

static void dispatch(struct http_connection *connection) {
  struct http_exchange *exchange = connection->incoming;
  struct http_listener *listener = connection->listener;
  connection->incoming = NULL;
  connection->last_received = !exchange->message.keep_alive;
  connection->wait = HTTP_WAIT_NONE;
  enqueue(connection, exchange);
  exchange->holds = 1;
  exchange->counted = true;
  listener->stats.exchanges++;
  listener->stats.requests++;
  listener->handler.on_request(listener->handler.context, exchange);
}

static int begin(struct http_connection *connection) {
  connection->incoming = http_exchange_new(connection);
  if (connection->incoming == NULL) return -1;
  http_parse_begin(&connection->parse, &connection->incoming->message);
  return 0;
}

/* Gives the parser as many bytes as may be parsed now; returns their number. */
static size_t parse(struct http_connection *connection, const char *bytes, size_t length) {
  size_t at = 0;
  connection->busy = true;
  while (at < length && may_parse(connection)) {
    if (connection->incoming == NULL && begin(connection) != 0) {
      http_connection_abort(connection);
      break;
    }
    size_t used;
    enum http_parse_event event =
        http_parse_feed(&connection->parse, bytes + at, length - at, &used);
    at += used;
    connection->unparsed = length - at;
    /* Whose body is there already does not wait for us. */
    connection->owes_continue = event == HTTP_PARSE_CONTINUE && at == length;
    if (event == HTTP_PARSE_DONE) dispatch(connection);
    if (event == HTTP_PARSE_FAULT) refuse(connection, connection->parse.fault);
  }
  connection->unparsed = 0;
  connection->busy = false;
  return at;
}

static void receive(struct http_connection *connection, const char *bytes, size_t length) {
  size_t used = parse(connection, bytes, length);
  if (connection->state != HTTP_CONNECTION_OPEN || connection->last_received) return;
  if (buf_append(&connection->stash, bytes + used, length - used) != 0)
    http_connection_abort(connection);
}

static void parse_stash(struct http_connection *connection) {
  struct buf *stash = &connection->stash;
  while (stash->length > 0 && may_parse(connection))
    buf_consume(stash, parse(connection, stash->data, stash->length));
  if (stash->length == 0 || connection->last_received) buf_deinit(stash);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
  struct http_connection *connection = handle->data;
  (void)suggested;
  *buffer = uv_buf_init(connection->listener->server->read_buffer, HTTP_READ_BYTES);
}

static void on_end(struct http_connection *connection) {
  connection->ended = true;
  if (connection->state == HTTP_CONNECTION_LINGERING) {
    http_connection_abort(connection);
    return;
  }
  settle(connection);
}

/* Its alert is sent, and read if we close as after an answer; what was asked for is lost. */
static void break_off(struct http_connection *connection) {
  if (is_shaking_hands(connection)) connection->listener->stats.failed_handshakes++;
  if (connection->first != NULL)
    http_connection_abort(connection);
  else
    finish(connection);
}

/* Bytes of the wire. What TLS answers goes out before what they hold is looked at, as an answer to
 * that comes after it. */
static void receive_sealed(struct http_connection *connection, const char *bytes, size_t length) {
  struct http_listener *listener = connection->listener;
  char *plain = listener->server->plain_buffer;
  size_t plain_length;
  bool was_shaking_hands = is_shaking_hands(connection);
  enum tls_event event = tls_session_open(connection->tls, bytes, length, plain, HTTP_PLAIN_BYTES,
                                          &plain_length, &connection->output.records);
  if (was_shaking_hands && !is_shaking_hands(connection)) listener->stats.handshakes++;
  if (http_output_flush(&connection->output) != 0) {
    http_connection_abort(connection);
    return;
  }
  if (event == TLS_FAULT) {
    break_off(connection);
    return;
  }
  if (plain_length > 0) receive(connection, plain, plain_length);
  if (event == TLS_ENDED) connection->ended = true;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
  struct http_connection *connection = stream->data;
  if (count == 0) return;
  if (count == UV_EOF) {
    connection->reading = false;
    on_end(connection);
    return;
  }
  if (count < 0) {
    http_connection_abort(connection);
    return;
  }
  if (connection->state != HTTP_CONNECTION_OPEN || connection->last_received) return;
  if (connection->tls != NULL)
    receive_sealed(connection, buffer->base, (size_t)count);
  else
    receive(connection, buffer->base, (size_t)count);
  if (connection->state != HTTP_CONNECTION_CLOSED) settle(connection);
}

static void set_reading(struct http_connection *connection) {
  bool discards = connection->state != HTTP_CONNECTION_OPEN || connection->last_received;
  bool wanted =
      !connection->ended && (discards || (may_parse(connection) && connection->stash.length == 0));
  if (wanted == connection->reading) return;
  connection->reading = wanted;
  if (!wanted)
    uv_read_stop(&connection->uv.stream);
  else if (uv_read_start(&connection->uv.stream, on_alloc, on_read) != 0)
    http_connection_abort(connection);
}

static void pay_continue(struct http_connection *connection) {
  if (!connection->owes_continue || connection->first != NULL || connection->output.is_writing)
    return;
  uv_buf_t line = uv_buf_init((char *)CONTINUE_LINE, sizeof CONTINUE_LINE - 1);
  connection->owes_continue = false;
  if (http_output_send(&connection->output, &line, 1) != 0) http_connection_abort(connection);
}

/* After each event: does what has become possible and waits for the next. Nothing of it is
 * done inside the parse loop, which ends here itself. */
static void settle(struct http_connection *connection) {
  if (connection->busy) return;
  if (connection->state == HTTP_CONNECTION_OPEN) parse_stash(connection);
  if (connection->state == HTTP_CONNECTION_OPEN) pay_continue(connection);
  if (connection->state == HTTP_CONNECTION_OPEN && connection->ended && connection->first == NULL &&
      connection->stash.length == 0)
    finish(connection);
  if (connection->state == HTTP_CONNECTION_FINISHING && !connection->output.is_writing)
    linger(connection);
  if (connection->state == HTTP_CONNECTION_CLOSED) return;
  set_reading(connection);
  if (connection->state != HTTP_CONNECTION_CLOSED) schedule(connection);
}

void http_connection_drain(struct http_connection *connection) {
  if (connection->state != HTTP_CONNECTION_OPEN) return;
  if (connection->wait == HTTP_WAIT_IDLE) connection->wait = HTTP_WAIT_NONE;
  settle(connection);
}

/* --- the beginning -------------------------------------------------------------------- */

static struct http_connection *new_connection(struct http_server *server) {
  struct http_connection *connection = server->connection_pool;
  if (connection == NULL) return calloc(1, sizeof *connection);
  server->connection_pool = connection->next;
  server->connections_pooled--;
  memset(connection, 0, sizeof *connection);
  return connection;
}

static void link_connection(struct http_listener *listener, struct http_connection *connection) {
  connection->listener = listener;
  connection->next = listener->connections;
  if (connection->next != NULL) connection->next->previous = connection;
  listener->connections = connection;
  http_listener_retain(listener);
  listener->stats.accepted++;
  listener->stats.connections++;
  if (listener->stats.connections < listener->limits.connections) return;
  listener->stats.full++;
  listener_pause(&listener->socket);
}

static int64_t peer_uid(int descriptor) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
  return (int64_t)peer.uid;
}

static int open_tls(struct http_connection *connection) {
  struct tls_identity *identity = connection->listener->tls;
  if (identity == NULL) return 0;
  connection->tls = tls_session_new(identity);
  return connection->tls != NULL ? 0 : -1;
}

static int open_stream(struct http_connection *connection, uv_loop_t *loop, int descriptor) {
  int status;
  if (connection->listener->socket.address.kind == ADDRESS_TCP) {
    uv_tcp_init(loop, &connection->uv.tcp);
    status = uv_tcp_open(&connection->uv.tcp, descriptor);
  } else {
    uv_pipe_init(loop, &connection->uv.pipe, 0);
    connection->peer_uid = peer_uid(descriptor);
    status = uv_pipe_open(&connection->uv.pipe, descriptor);
  }
  connection->uv.handle.data = connection;
  if (status != 0) close(descriptor);
  return status;
}

void http_connection_open(struct http_listener *listener, int descriptor,
                          const union address_socket *peer) {
  struct http_connection *connection = new_connection(listener->server);
  if (connection == NULL) {
    close(descriptor);
    return;
  }
  connection->peer = *peer;
  connection->peer_uid = -1;
  connection->shutdown.data = connection;
  buf_init(&connection->stash, HTTP_PLAIN_BYTES);
  http_parse_init(&connection->parse);
  link_connection(listener, connection);
  bool has_tls = open_tls(connection) == 0;
  http_output_init(&connection->output, &connection->uv.stream, connection->tls, on_written);
  if (open_stream(connection, listener->server->loop, descriptor) != 0 || !has_tls) {
    http_connection_abort(connection);
    return;
  }
  settle(connection);
}
