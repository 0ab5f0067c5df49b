#include "io/curl_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_FIRST 64
#define PORT_BUCKETS 1024

/* Freed in its close callback. */
struct loop_socket {
  uv_poll_t poll;
  struct curl_loop *curl_loop;
  curl_socket_t descriptor;
  int watched; /* what is polled: the descriptor, or while it connects a duplicate that is ours */
  int wanted;  /* UV_READABLE, UV_WRITABLE: what libcurl waits for; 0: the connection is idle */
  int armed;   /* what the poll waits for */
  bool is_multiplexed;
  bool has_connected;  /* libcurl has asked for input: while it connects it asks for output alone */
  uint16_t local_port; /* 0 until the connection was idle for the first time */
  struct loop_socket *port_next;
};

struct curl_loop {
  uv_loop_t *loop;
  CURLM *multi;
  uv_timer_t timer; /* libcurl's own time-outs */
  uv_idle_t kick;   /* active: libcurl wants to be called in this turn of the loop */
  curl_loop_fn on_done;
  struct loop_socket **sockets; /* by descriptor */
  size_t socket_capacity;
  size_t socket_count;
  struct loop_socket *ports[PORT_BUCKETS]; /* those that were idle before, by local port */
  size_t open_handles;                     /* uv handles whose close callback has not run */
};

static void release(struct curl_loop *curl_loop) {
  if (--curl_loop->open_handles > 0) return;
  free(curl_loop->sockets);
  free(curl_loop);
}

static void on_handle_closed(uv_handle_t *handle) {
  release(handle->data);
}

static void on_socket_closed(uv_handle_t *handle) {
  struct loop_socket *entry = handle->data;
  struct curl_loop *curl_loop = entry->curl_loop;
  free(entry);
  release(curl_loop);
}

/* --- completions and time-outs ------------------------------------------------------------ */

static void drain(struct curl_loop *curl_loop) {
  int left;
  for (;;) {
    const CURLMsg *message = curl_multi_info_read(curl_loop->multi, &left);
    if (message == NULL) return;
    if (message->msg != CURLMSG_DONE) continue;
    CURL *easy = message->easy_handle;
    CURLcode code = message->data.result; /* the message goes with the handle */
    char *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    curl_multi_remove_handle(curl_loop->multi, easy);
    curl_loop->on_done(private, code);
  }
}

static void act(struct curl_loop *curl_loop, curl_socket_t descriptor, int flags) {
  int running;
  curl_multi_socket_action(curl_loop->multi, descriptor, flags, &running);
  drain(curl_loop);
}

static void on_kick(uv_idle_t *kick) {
  struct curl_loop *curl_loop = kick->data;
  uv_idle_stop(kick);
  act(curl_loop, CURL_SOCKET_TIMEOUT, 0);
}

/* An active idle handle keeps the loop from sleeping and runs once a turn. Neither a timer of 1
 * ms (which caps a single caller at a thousand calls a second) nor one of 0 (which starves the
 * loop when answers come at once). */
static void kick(struct curl_loop *curl_loop) {
  uv_idle_start(&curl_loop->kick, on_kick);
}

static void on_timer_due(uv_timer_t *timer) {
  kick(timer->data);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *argument) {
  (void)multi;
  struct curl_loop *curl_loop = argument;
  if (timeout_ms == 0) {
    kick(curl_loop);
    return 0;
  }
  if (timeout_ms < 0)
    uv_timer_stop(&curl_loop->timer);
  else
    uv_timer_start(&curl_loop->timer, on_timer_due, (uint64_t)timeout_ms, 0);
  return 0;
}

/* --- sockets ------------------------------------------------------------------------------ */

/* Whatever an idle HTTP/1 connection has to say (its end, or bytes that nobody asked for), it is
 * of no use any more. libcurl takes one that has bytes waiting for a healthy one and would read
 * them as the next answer; it does notice one that is shut down. */
static void spoil(struct loop_socket *entry) {
  uv_poll_stop(&entry->poll);
  entry->armed = 0;
  if (!entry->is_multiplexed) shutdown(entry->descriptor, SHUT_RDWR);
}

static void on_event(uv_poll_t *poll, int status, int events) {
  struct loop_socket *entry = poll->data;
  if (entry->wanted == 0) {
    spoil(entry);
    return;
  }
  int flags = 0;
  if (status < 0) flags = CURL_CSELECT_ERR;
  if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
  act(entry->curl_loop, entry->descriptor, flags);
}

/* libcurl says "remove" at the end of each transfer and "in" at the start of the next; starting
 * and stopping the poll each time costs half as much as the whole call. It stays armed for input
 * while the connection is idle; only an unwanted "out", which would fire for ever, is undone. */
static void arm(struct loop_socket *entry) {
  if (entry->wanted == 0) return;
  bool covers = (entry->armed & entry->wanted) == entry->wanted;
  bool spins = (entry->armed & ~entry->wanted & UV_WRITABLE) != 0;
  if (covers && !spins) return;
  if (uv_poll_start(&entry->poll, entry->wanted, on_event) == 0) entry->armed = entry->wanted;
}

static void note_port(struct curl_loop *curl_loop, struct loop_socket *entry) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } address = {.any = {.sa_family = AF_UNSPEC}};
  socklen_t size = sizeof address;
  if (entry->local_port != 0 || entry->is_multiplexed) return;
  if (getsockname(entry->descriptor, &address.any, &size) != 0) return;
  entry->local_port =
      ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
  /* No port: a connect that failed, or a Unix socket. What is not in the table is not taken
   * out of it (see forget_port). */
  if (entry->local_port == 0) return;
  struct loop_socket **bucket = &curl_loop->ports[entry->local_port % PORT_BUCKETS];
  entry->port_next = *bucket;
  *bucket = entry;
}

static void forget_port(struct curl_loop *curl_loop, struct loop_socket *entry) {
  if (entry->local_port == 0) return;
  struct loop_socket **link = &curl_loop->ports[entry->local_port % PORT_BUCKETS];
  while (*link != entry) link = &(*link)->port_next;
  *link = entry->port_next;
}

static bool has_input(curl_socket_t descriptor) {
  char byte;
  return recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/* Ports are unique for one pair of addresses only; another connection with the same one, mistaken
 * for this, costs a new connection at worst. */
bool curl_loop_is_spoilt(const struct curl_loop *curl_loop, int local_port) {
  const struct loop_socket *entry = curl_loop->ports[(unsigned)local_port % PORT_BUCKETS];
  for (; entry != NULL; entry = entry->port_next)
    if (entry->local_port == local_port && has_input(entry->descriptor)) return true;
  return false;
}

static struct loop_socket *socket_of(const struct curl_loop *curl_loop, curl_socket_t descriptor) {
  if (descriptor < 0 || (size_t)descriptor >= curl_loop->socket_capacity) return NULL;
  return curl_loop->sockets[descriptor];
}

static int make_room(struct curl_loop *curl_loop, curl_socket_t descriptor) {
  size_t needed = (size_t)descriptor + 1;
  if (needed <= curl_loop->socket_capacity) return 0;
  size_t capacity = curl_loop->socket_capacity ? curl_loop->socket_capacity : DESCRIPTORS_FIRST;
  while (capacity < needed) capacity *= 2;
  struct loop_socket **sockets = realloc(curl_loop->sockets, capacity * sizeof(*sockets));
  if (sockets == NULL) return -1;
  memset(sockets + curl_loop->socket_capacity, 0,
         (capacity - curl_loop->socket_capacity) * sizeof(*sockets));
  curl_loop->sockets = sockets;
  curl_loop->socket_capacity = capacity;
  return 0;
}

/* Closes the handle, and the duplicate; the socket itself is libcurl's to close. */
static void unwatch(struct loop_socket *entry) {
  uv_close((uv_handle_t *)&entry->poll, on_socket_closed);
  if (entry->watched != entry->descriptor) close(entry->watched);
}

static void let_go(struct curl_loop *curl_loop, struct loop_socket *entry) {
  forget_port(curl_loop, entry);
  curl_loop->sockets[entry->descriptor] = NULL;
  curl_loop->socket_count--;
  unwatch(entry);
}

/* Watches a socket by the number `watched`. NULL without memory, or when that is watched already.
 */
static struct loop_socket *watch(struct curl_loop *curl_loop, curl_socket_t descriptor, int watched,
                                 bool is_multiplexed) {
  struct loop_socket *entry = calloc(1, sizeof *entry);
  if (entry == NULL) return NULL;
  if (uv_poll_init(curl_loop->loop, &entry->poll, watched) != 0) {
    free(entry);
    return NULL;
  }
  entry->poll.data = entry;
  entry->curl_loop = curl_loop;
  entry->descriptor = descriptor;
  entry->watched = watched;
  entry->is_multiplexed = is_multiplexed;
  curl_loop->sockets[descriptor] = entry;
  curl_loop->open_handles++;
  return entry;
}

/* From now on it is closed by curl_loop_close_socket alone: the duplicate is not needed any more.
 * Without memory it stays. */
static struct loop_socket *settle(struct curl_loop *curl_loop, struct loop_socket *connecting) {
  struct loop_socket *entry =
      watch(curl_loop, connecting->descriptor, connecting->descriptor, connecting->is_multiplexed);
  if (entry == NULL) return connecting;
  unwatch(connecting);
  return entry;
}

/* libcurl 7.88 closes a socket that has not connected by itself, without a call of
 * curl_loop_close_socket (mended by its pull request 11439), and only then says "remove". Polling a
 * number that is closed would end the process in libuv, or meddle with whoever was given the number
 * since: hence the duplicate. */
static bool was_closed_unseen(const struct loop_socket *entry, int what) {
  return what == CURL_POLL_REMOVE && !entry->has_connected;
}

static int on_socket_wanted(CURL *easy, curl_socket_t descriptor, int what, void *argument,
                            void *socket_argument) {
  (void)easy, (void)socket_argument;
  struct loop_socket *entry = socket_of(argument, descriptor);
  if (entry == NULL) return 0;
  if (was_closed_unseen(entry, what)) {
    let_go(argument, entry);
    return 0;
  }
  if (!entry->has_connected && (what == CURL_POLL_IN || what == CURL_POLL_INOUT)) {
    entry = settle(argument, entry);
    entry->has_connected = true;
  }
  entry->wanted = 0;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) entry->wanted |= UV_READABLE;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) entry->wanted |= UV_WRITABLE;
  if (entry->wanted == 0) note_port(argument, entry);
  arm(entry);
  return 0;
}

/* The number of one that was closed unseen may be in use again before libcurl says so. */
static int watch_connecting(struct curl_loop *curl_loop, curl_socket_t descriptor,
                            bool is_multiplexed) {
  if (make_room(curl_loop, descriptor) != 0) return -1;
  if (curl_loop->sockets[descriptor] != NULL) let_go(curl_loop, curl_loop->sockets[descriptor]);
  int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return -1;
  if (watch(curl_loop, descriptor, duplicate, is_multiplexed) == NULL) {
    close(duplicate);
    return -1;
  }
  curl_loop->socket_count++;
  return 0;
}

curl_socket_t curl_loop_open_socket(struct curl_loop *curl_loop,
                                    const struct curl_sockaddr *address, bool is_multiplexed) {
  int type = address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK;
  curl_socket_t descriptor = socket(address->family, type, address->protocol);
  if (descriptor < 0) return CURL_SOCKET_BAD;
  if (watch_connecting(curl_loop, descriptor, is_multiplexed) == 0) return descriptor;
  close(descriptor);
  return CURL_SOCKET_BAD;
}

int curl_loop_close_socket(void *argument, curl_socket_t descriptor) {
  struct curl_loop *curl_loop = argument;
  struct loop_socket *entry = socket_of(curl_loop, descriptor);
  /* The handle goes before the number can be given out again. */
  if (entry != NULL) let_go(curl_loop, entry);
  return close(descriptor);
}

size_t curl_loop_connections(const struct curl_loop *curl_loop) {
  return curl_loop->socket_count;
}

/* --- transfers and life ------------------------------------------------------------------- */

int curl_loop_add(struct curl_loop *curl_loop, CURL *easy, struct err *err) {
  CURLMcode code = curl_multi_add_handle(curl_loop->multi, easy);
  if (code == CURLM_OK) return 0;
  return err_set(err, "network_error", "cannot start the request: %s", curl_multi_strerror(code));
}

void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy) {
  curl_multi_remove_handle(curl_loop->multi, easy);
}

struct curl_loop *curl_loop_new(uv_loop_t *loop, size_t connections_max, curl_loop_fn on_done,
                                struct err *err) {
  struct curl_loop *curl_loop = calloc(1, sizeof *curl_loop);
  if (curl_loop != NULL) curl_loop->multi = curl_multi_init();
  if (curl_loop == NULL || curl_loop->multi == NULL) {
    free(curl_loop);
    err_set(err, "out_of_memory", "cannot start the HTTP client: out of memory");
    return NULL;
  }
  curl_loop->loop = loop;
  curl_loop->on_done = on_done;
  curl_loop->open_handles = 2;
  uv_timer_init(loop, &curl_loop->timer);
  uv_idle_init(loop, &curl_loop->kick);
  curl_loop->timer.data = curl_loop->kick.data = curl_loop;
  curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
  curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETDATA, curl_loop);
  curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
  curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERDATA, curl_loop);
  /* The default, four times the transfers under way, would close the pool after each burst. */
  curl_multi_setopt(curl_loop->multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
  return curl_loop;
}

void curl_loop_free(struct curl_loop *curl_loop) {
  if (curl_loop == NULL) return;
  curl_multi_cleanup(curl_loop->multi);
  uv_close((uv_handle_t *)&curl_loop->timer, on_handle_closed);
  uv_close((uv_handle_t *)&curl_loop->kick, on_handle_closed);
}
