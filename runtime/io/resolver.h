/* Host names to addresses, on c-ares and one loop; no look-up ever blocks it.
 *
 * Answers are kept 60 s, failures 1 s, and all who ask for one name at a time share one
 * look-up. /etc/hosts is honoured; literals and `localhost` are answered without asking. DNS
 * runs on real time, whatever the worker's clock says. One resolver per loop, used on its
 * thread only. */
#ifndef TIDEGATE_IO_RESOLVER_H
#define TIDEGATE_IO_RESOLVER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "io/ip_address.h"

#define RESOLVER_ADDRESSES_MAX 16     /* per name; more are left out */
#define RESOLVER_NAMES_MAX 4096       /* kept answers; beyond it the oldest goes */
#define RESOLVER_LOOKUPS_MAX 1024     /* running at a time; beyond it "overloaded" */
#define RESOLVER_KEEP_MS 60000        /* an answer */
#define RESOLVER_KEEP_FAILURE_MS 1000 /* a failure */
#define RESOLVER_LOOKUP_TIMEOUT_MS 10000

struct resolver;
struct resolver_query;

struct resolver_options {
  const char *servers;        /* "127.0.0.1:5353,[::1]:53"; NULL: those of /etc/resolv.conf */
  uint64_t lookup_timeout_ms; /* the longest look-up; 0: RESOLVER_LOOKUP_TIMEOUT_MS */
};

struct resolver_addresses {
  size_t count; /* at least one */
  struct ip_address items[RESOLVER_ADDRESSES_MAX];
};

/* Called from the loop, once per query that was pending and was not cancelled; exactly one of
 * `addresses` and `err` is not NULL, valid for the call. It may start and cancel queries but
 * must not free the resolver. */
typedef void (*resolver_fn)(struct resolver_query *query,
                            const struct resolver_addresses *addresses, const struct err *err);

/* Embedded in its owner, which must cancel it before its memory goes. */
struct resolver_query {
  struct resolver_lookup *lookup; /* NULL: not pending */
  struct resolver_query *previous;
  struct resolver_query *next;
  resolver_fn on_done;
};

enum resolver_status { RESOLVER_FAILED, RESOLVER_PENDING, RESOLVER_FOUND };

struct resolver_counters {
  uint64_t lookups;  /* asked of c-ares */
  uint64_t kept;     /* answered from what was kept */
  uint64_t shared;   /* joined a look-up that was running */
  uint64_t failures; /* look-ups that failed */
  uint64_t refused;  /* because too many were running */
};

/* NULL with code "network_error" (a server list that is malformed, c-ares) or "out_of_memory". */
struct resolver *resolver_new(uv_loop_t *loop, const struct resolver_options *options,
                              struct err *err);

/* Drops the queries that are still pending without calling them. The memory goes once the loop
 * has run the close callbacks. */
void resolver_free(struct resolver *resolver);

/* FOUND: `*addresses` is set, valid until the resolver is next used. PENDING: `on_done` follows.
 * FAILED: `err` is filled, code "network_error", "overloaded" or "out_of_memory". Never calls
 * `on_done` itself. `name` is in lower case without brackets and trailing dot, as url_parse
 * leaves it. */
enum resolver_status resolver_start(struct resolver *resolver, struct resolver_query *query,
                                    const char *name, resolver_fn on_done,
                                    const struct resolver_addresses **addresses, struct err *err);

/* No effect on one that is not pending. The look-up itself goes on and its answer is kept. */
void resolver_cancel(struct resolver_query *query);

const struct resolver_counters *resolver_counters(const struct resolver *resolver);

#endif
