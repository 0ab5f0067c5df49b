#include "io/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "io/name_cache.h"
#include "io/url.h"

#define RESOLVER_TRIES 3
#define RESOLVER_TRY_TIMEOUT_MS 1500
#define RESOLVER_CONFIGURATION "/etc/resolv.conf"
#define RESOLVER_CONFIGURATION_CHECK_MS 5000

/* One socket of c-ares; freed in its close callback. */
struct resolver_socket {
  uv_poll_t poll;
  struct resolver *resolver;
  ares_socket_t descriptor;
  struct resolver_socket *next;
};

struct resolver {
  uv_loop_t *loop;
  uv_timer_t timer;
  ares_channel channel;
  char *servers; /* of the options; NULL: the system's */
  uint64_t lookup_timeout_ms;
  struct resolver_socket *sockets;
  size_t open_handles;                /* uv handles whose close callback has not run */
  size_t outstanding;                 /* calls that c-ares has not answered */
  struct resolver_lookup *starting;   /* the one whose answer may come within the call */
  struct resolver_lookup *first_done; /* whose waiters are to be told */
  struct resolver_lookup *last_done;
  bool is_closing;
  uint64_t configuration_checked_ms;
  struct timespec configuration_changed;
  struct name_cache cache;
  struct resolver_addresses scratch; /* answers that need no look-up */
  struct resolver_counters counters;
};

static void release(struct resolver *resolver) {
  if (--resolver->open_handles > 0) return;
  free(resolver->servers);
  free(resolver);
}

static void on_timer_closed(uv_handle_t *handle) {
  release(handle->data);
}

static void on_socket_closed(uv_handle_t *handle) {
  struct resolver_socket *socket = handle->data;
  struct resolver *resolver = socket->resolver;
  free(socket);
  release(resolver);
}

/* --- telling the waiters ------------------------------------------------------------------ */

static const char *reason_of(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
      return "there is no such name";
    case ARES_ENODATA:
      return "the name has no address";
    case ARES_ESERVFAIL:
      return "the name server failed (SERVFAIL)";
    case ARES_EREFUSED:
      return "the name server refused the question";
    case ARES_ETIMEOUT:
      return "no name server answered in time";
    case ARES_ECONNREFUSED:
      return "no name server could be reached";
    case ARES_EBADNAME:
      return "the name is malformed";
    case ARES_ENOMEM:
      return "out of memory";
    default:
      return "the name servers gave no usable answer";
  }
}

static int fail(const char *name, const char *reason, struct err *err) {
  return err_set(err, "network_error", "cannot find the address of %s: %s", name, reason);
}

static void queue(struct resolver *resolver, struct resolver_lookup *lookup) {
  if (lookup == resolver->starting || lookup->is_queued) return;
  lookup->is_queued = true;
  lookup->next_done = NULL;
  if (resolver->last_done != NULL)
    resolver->last_done->next_done = lookup;
  else
    resolver->first_done = lookup;
  resolver->last_done = lookup;
}

static void tell(struct resolver_lookup *lookup) {
  struct err err;
  bool found = lookup->state == LOOKUP_FOUND;
  if (!found) fail(lookup->name, lookup->reason, &err);
  while (lookup->waiters != NULL) {
    struct resolver_query *query = lookup->waiters;
    resolver_cancel(query);
    query->on_done(query, found ? &lookup->addresses : NULL, found ? NULL : &err);
  }
}

static void dispatch(struct resolver *resolver) {
  while (resolver->first_done != NULL) {
    struct resolver_lookup *lookup = resolver->first_done;
    tell(lookup);
    resolver->first_done = lookup->next_done;
    if (resolver->first_done == NULL) resolver->last_done = NULL;
    lookup->is_queued = false;
    if (!lookup->is_listed && lookup->is_answered) free(lookup);
  }
}

/* --- answers of c-ares -------------------------------------------------------------------- */

static void copy_addresses(struct resolver_addresses *addresses,
                           const struct ares_addrinfo *information) {
  const struct ares_addrinfo_node *node = information->nodes;
  for (; node != NULL && addresses->count < RESOLVER_ADDRESSES_MAX; node = node->ai_next)
    if (ip_address_from_sockaddr(&addresses->items[addresses->count], node->ai_addr) == 0)
      addresses->count++;
}

static void settle(struct resolver_lookup *lookup, int status) {
  struct resolver *resolver = lookup->resolver;
  bool found = lookup->addresses.count > 0;
  lookup->state = found ? LOOKUP_FOUND : LOOKUP_FAILED;
  lookup->reason = reason_of(status == ARES_SUCCESS ? ARES_ENODATA : status);
  lookup->expires_ms =
      uv_now(resolver->loop) + (found ? RESOLVER_KEEP_MS : RESOLVER_KEEP_FAILURE_MS);
  if (!found) resolver->counters.failures++;
  name_cache_settle(&resolver->cache, lookup);
  queue(resolver, lookup);
}

static void on_answer(void *argument, int status, int timeouts, struct ares_addrinfo *information) {
  (void)timeouts;
  struct resolver_lookup *lookup = argument;
  struct resolver *resolver = lookup->resolver;
  resolver->outstanding--;
  lookup->is_answered = true;
  if (status == ARES_SUCCESS) copy_addresses(&lookup->addresses, information);
  if (information != NULL) ares_freeaddrinfo(information);
  if (lookup->is_listed && !resolver->is_closing) {
    settle(lookup, status);
    return;
  }
  if (lookup->is_listed) name_cache_remove(&resolver->cache, lookup);
  if (!lookup->is_queued) free(lookup);
}

/* c-ares ends a look-up only after all its tries with all servers. */
static void give_up_late_ones(struct resolver *resolver) {
  uint64_t now = clock_real_monotonic_ns();
  uint64_t limit = resolver->lookup_timeout_ms * 1000000;
  for (;;) {
    struct resolver_lookup *lookup = resolver->cache.asked.first;
    if (lookup == NULL || now - lookup->started_ns < limit) return;
    name_cache_remove(&resolver->cache, lookup);
    lookup->state = LOOKUP_FAILED;
    lookup->reason = reason_of(ARES_ETIMEOUT);
    resolver->counters.failures++;
    queue(resolver, lookup);
  }
}

/* --- the loop ----------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static uint64_t delay_ms(struct resolver *resolver) {
  struct timeval buffer;
  uint64_t delay = resolver->lookup_timeout_ms;
  const struct timeval *next = ares_timeout(resolver->channel, NULL, &buffer);
  if (next != NULL) {
    uint64_t asked = (uint64_t)next->tv_sec * 1000 + ((uint64_t)next->tv_usec + 999) / 1000;
    if (asked < delay) delay = asked;
  }
  const struct resolver_lookup *first = resolver->cache.asked.first;
  if (first == NULL) return delay;
  uint64_t age = (clock_real_monotonic_ns() - first->started_ns) / 1000000;
  uint64_t left = age < resolver->lookup_timeout_ms ? resolver->lookup_timeout_ms - age : 0;
  return left < delay ? left : delay;
}

static void arm(struct resolver *resolver) {
  if (resolver->is_closing) return;
  if (resolver->outstanding == 0 && resolver->first_done == NULL) {
    uv_timer_stop(&resolver->timer);
    return;
  }
  uint64_t delay = resolver->first_done != NULL ? 0 : delay_ms(resolver);
  uv_update_time(resolver->loop);
  /* Never 0: a timer of no delay that is started from its own callback starves the loop. */
  uv_timer_start(&resolver->timer, on_timer, delay + 1, 0);
}

static void process(struct resolver *resolver, ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(resolver->channel, readable, writable);
  give_up_late_ones(resolver);
  dispatch(resolver);
  arm(resolver);
}

static void on_timer(uv_timer_t *timer) {
  process(timer->data, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket_event(uv_poll_t *poll, int status, int events) {
  struct resolver_socket *socket = poll->data;
  bool readable = status < 0 || (events & UV_READABLE) != 0;
  bool writable = status < 0 || (events & UV_WRITABLE) != 0;
  process(socket->resolver, readable ? socket->descriptor : ARES_SOCKET_BAD,
          writable ? socket->descriptor : ARES_SOCKET_BAD);
}

static void close_socket(struct resolver *resolver, ares_socket_t descriptor) {
  struct resolver_socket **link = &resolver->sockets;
  while (*link != NULL && (*link)->descriptor != descriptor) link = &(*link)->next;
  struct resolver_socket *socket = *link;
  if (socket == NULL) return;
  *link = socket->next;
  uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
}

static struct resolver_socket *open_socket(struct resolver *resolver, ares_socket_t descriptor) {
  struct resolver_socket *socket = calloc(1, sizeof *socket);
  if (socket == NULL) return NULL;
  if (uv_poll_init(resolver->loop, &socket->poll, descriptor) != 0) {
    free(socket);
    return NULL;
  }
  socket->poll.data = socket;
  socket->resolver = resolver;
  socket->descriptor = descriptor;
  socket->next = resolver->sockets;
  resolver->sockets = socket;
  resolver->open_handles++;
  return socket;
}

static void on_socket_state(void *argument, ares_socket_t descriptor, int readable, int writable) {
  struct resolver *resolver = argument;
  if (!readable && !writable) {
    close_socket(resolver, descriptor);
    return;
  }
  struct resolver_socket *socket = resolver->sockets;
  while (socket != NULL && socket->descriptor != descriptor) socket = socket->next;
  if (socket == NULL) socket = open_socket(resolver, descriptor);
  /* Without memory the question is not heard and times out. */
  if (socket == NULL) return;
  uv_poll_start(&socket->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                on_socket_event);
}

/* --- asking ------------------------------------------------------------------------------- */

static int open_channel(struct resolver *resolver, struct err *err) {
  uint64_t try_timeout = resolver->lookup_timeout_ms / 6;
  if (try_timeout > RESOLVER_TRY_TIMEOUT_MS) try_timeout = RESOLVER_TRY_TIMEOUT_MS;
  struct ares_options options = {
      .timeout = (int)(try_timeout > 50 ? try_timeout : 50),
      .tries = RESOLVER_TRIES,
      .sock_state_cb = on_socket_state,
      .sock_state_cb_data = resolver,
  };
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  ares_channel channel;
  int status = ares_init_options(&channel, &options, mask);
  if (status != ARES_SUCCESS)
    return err_set(err, "network_error", "cannot start the resolver: %s", ares_strerror(status));
  if (resolver->servers != NULL) status = ares_set_servers_ports_csv(channel, resolver->servers);
  if (status != ARES_SUCCESS) {
    ares_destroy(channel);
    return err_set(err, "network_error",
                   "the list of name servers \"%s\" is malformed; it should look like "
                   "\"127.0.0.1:5353,[::1]:53\"",
                   resolver->servers);
  }
  resolver->channel = channel;
  return 0;
}

static bool configuration_has_changed(struct resolver *resolver) {
  struct stat status;
  if (stat(RESOLVER_CONFIGURATION, &status) != 0) return false;
  if (status.st_mtim.tv_sec == resolver->configuration_changed.tv_sec &&
      status.st_mtim.tv_nsec == resolver->configuration_changed.tv_nsec)
    return false;
  resolver->configuration_changed = status.st_mtim;
  return true;
}

/* Name servers change under a service that runs for months. */
static void follow_configuration(struct resolver *resolver) {
  uint64_t now = uv_now(resolver->loop);
  if (resolver->servers != NULL || resolver->outstanding > 0) return;
  if (now - resolver->configuration_checked_ms < RESOLVER_CONFIGURATION_CHECK_MS) return;
  resolver->configuration_checked_ms = now;
  if (!configuration_has_changed(resolver)) return;
  ares_channel old = resolver->channel;
  if (open_channel(resolver, NULL) == 0) ares_destroy(old);
}

/* Addresses and `localhost`. */
static bool answer_at_once(struct resolver *resolver, const char *name) {
  struct resolver_addresses *addresses = &resolver->scratch;
  size_t length = strlen(name);
  if (ip_address_parse(&addresses->items[0], name, length) == 0) {
    addresses->count = 1;
    return true;
  }
  if (!url_host_is_localhost(name, length)) return false;
  addresses->items[0] = (struct ip_address){AF_INET, {127, 0, 0, 1}};
  addresses->items[1] = (struct ip_address){AF_INET6, {[15] = 1}};
  addresses->count = 2;
  return true;
}

static void join(struct resolver_lookup *lookup, struct resolver_query *query) {
  query->lookup = lookup;
  query->previous = NULL;
  query->next = lookup->waiters;
  if (query->next != NULL) query->next->previous = query;
  lookup->waiters = query;
}

static enum resolver_status answer_of(const struct resolver_lookup *lookup,
                                      const struct resolver_addresses **addresses,
                                      struct err *err) {
  if (lookup->state == LOOKUP_FAILED) {
    fail(lookup->name, lookup->reason, err);
    return RESOLVER_FAILED;
  }
  *addresses = &lookup->addresses;
  return RESOLVER_FOUND;
}

static struct resolver_lookup *ask(struct resolver *resolver, const char *name, struct err *err) {
  if (resolver->outstanding >= RESOLVER_LOOKUPS_MAX) {
    resolver->counters.refused++;
    err_set(err, "overloaded", "cannot find the address of %s: %d look-ups are running", name,
            RESOLVER_LOOKUPS_MAX);
    return NULL;
  }
  follow_configuration(resolver);
  struct resolver_lookup *lookup = name_cache_add(&resolver->cache, name);
  if (lookup == NULL) {
    err_set(err, "out_of_memory", "cannot find the address of %s: out of memory", name);
    return NULL;
  }
  lookup->resolver = resolver;
  lookup->started_ns = clock_real_monotonic_ns();
  resolver->counters.lookups++;
  resolver->outstanding++;
  resolver->starting = lookup;
  /* Unsorted: sorting connects a socket per address, and libcurl tries both families anyway. */
  struct ares_addrinfo_hints hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
  ares_getaddrinfo(resolver->channel, name, NULL, &hints, on_answer, lookup);
  resolver->starting = NULL;
  arm(resolver);
  return lookup;
}

enum resolver_status resolver_start(struct resolver *resolver, struct resolver_query *query,
                                    const char *name, resolver_fn on_done,
                                    const struct resolver_addresses **addresses, struct err *err) {
  *query = (struct resolver_query){.on_done = on_done};
  if (answer_at_once(resolver, name)) {
    *addresses = &resolver->scratch;
    return RESOLVER_FOUND;
  }
  struct resolver_lookup *lookup = name_cache_find(&resolver->cache, name);
  if (lookup != NULL && lookup->state != LOOKUP_ASKED && !lookup->is_queued &&
      lookup->expires_ms <= uv_now(resolver->loop)) {
    name_cache_remove(&resolver->cache, lookup);
    free(lookup);
    lookup = NULL;
  }
  if (lookup == NULL) {
    lookup = ask(resolver, name, err);
    if (lookup == NULL) return RESOLVER_FAILED;
  } else if (lookup->state == LOOKUP_ASKED) {
    resolver->counters.shared++;
  } else {
    resolver->counters.kept++;
  }
  if (lookup->state != LOOKUP_ASKED) return answer_of(lookup, addresses, err);
  join(lookup, query);
  return RESOLVER_PENDING;
}

void resolver_cancel(struct resolver_query *query) {
  struct resolver_lookup *lookup = query->lookup;
  if (lookup == NULL) return;
  if (query->next != NULL) query->next->previous = query->previous;
  if (query->previous != NULL)
    query->previous->next = query->next;
  else
    lookup->waiters = query->next;
  query->lookup = NULL;
}

/* --- life --------------------------------------------------------------------------------- */

struct resolver *resolver_new(uv_loop_t *loop, const struct resolver_options *options,
                              struct err *err) {
  struct resolver *resolver = calloc(1, sizeof *resolver);
  if (resolver == NULL) goto without_memory;
  resolver->loop = loop;
  resolver->lookup_timeout_ms = options->lookup_timeout_ms;
  if (resolver->lookup_timeout_ms == 0) resolver->lookup_timeout_ms = RESOLVER_LOOKUP_TIMEOUT_MS;
  if (options->servers != NULL) {
    resolver->servers = strdup(options->servers);
    if (resolver->servers == NULL) goto without_memory;
  }
  configuration_has_changed(resolver);
  if (open_channel(resolver, err) != 0) {
    free(resolver->servers);
    free(resolver);
    return NULL;
  }
  uv_timer_init(loop, &resolver->timer);
  resolver->timer.data = resolver;
  resolver->open_handles = 1;
  return resolver;
without_memory:
  free(resolver);
  err_set(err, "out_of_memory", "cannot start the resolver: out of memory");
  return NULL;
}

static void drop_waiters(struct resolver_lookup *lookup) {
  while (lookup->waiters != NULL) resolver_cancel(lookup->waiters);
}

void resolver_free(struct resolver *resolver) {
  if (resolver == NULL) return;
  resolver->is_closing = true;
  struct resolver_lookup *lookup = resolver->cache.asked.first;
  for (; lookup != NULL; lookup = lookup->next) drop_waiters(lookup);
  for (lookup = resolver->first_done; lookup != NULL; lookup = lookup->next_done)
    drop_waiters(lookup);
  dispatch(resolver);
  ares_destroy(resolver->channel);
  name_cache_clear(&resolver->cache);
  uv_close((uv_handle_t *)&resolver->timer, on_timer_closed);
}

const struct resolver_counters *resolver_counters(const struct resolver *resolver) {
  return &resolver->counters;
}
