/* A listening socket on a loop: bind, accept, pause, stop. Knows nothing of what is served.
 *
 * Accepting is done here and not by libuv, which closes what it cannot take when descriptors
 * run out; this one leaves it in the backlog and tries again later.
 *
 * Embedded in its owner, used on the loop's thread; listener_bind alone may be called from
 * any thread. */
#ifndef TIDEGATE_IO_LISTENER_H
#define TIDEGATE_IO_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "base/timer.h"
#include "io/address.h"

#define LISTENER_BACKLOG 1024
#define LISTENER_RETRY_NS 100000000ull /* after accept found no descriptor or memory left */
#define LISTENER_BATCH 64              /* accepted before other events get their turn */

struct listener;

/* A connection came: the receiver owns `descriptor` (not blocking, close-on-exec). `peer` is
 * AF_UNSPEC for a Unix socket. */
typedef void (*listener_accept_fn)(struct listener *listener, int descriptor,
                                   const union address_socket *peer);
typedef void (*listener_closed_fn)(struct listener *listener);

struct listener {
  uv_poll_t poll;
  struct timer retry;
  struct timer_heap *timers; /* not owned */
  listener_accept_fn on_accept;
  listener_closed_fn on_closed; /* the struct may go when it has been called */
  struct address address;       /* what was bound, with the real port */
  int descriptor;
  bool paused; /* by the owner */
  bool closing;
  uint64_t starved;  /* times that descriptors or memory ran out */
  dev_t file_device; /* of the Unix socket's file, so that only ours is removed */
  ino_t file_inode;
};

/* Makes, binds and returns a socket (not blocking, close-on-exec, not yet listening); -1
 * with code "address_in_use", "invalid_input" or "io_error". A Unix socket's file gets mode
 * 0600; a file that a dead process left there is replaced, one that answers is not. A path
 * may be longer than the 107 bytes that the kernel takes. */
int listener_bind(const struct address *address, bool reuse_port, struct err *err);

/* Listens on a bound socket, which it owns from now on, whether or not this succeeds.
 * `on_closed` is called only after success. */
int listener_start(struct listener *listener, uv_loop_t *loop, struct timer_heap *timers,
                   int descriptor, const struct address *address, listener_accept_fn on_accept,
                   listener_closed_fn on_closed, struct err *err);

/* Leaves new connections in the backlog, until resumed. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);

/* Closes the socket, having accepted what was waiting unless it is paused, and removes a
 * Unix socket's file. No effect the second time. */
void listener_stop(struct listener *listener);

#endif
