#include "io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/unix_path.h"

static int fail(struct err *err, const struct address *address, const char *what, int error) {
  char text[ADDRESS_TEXT_MAX];
  address_format(address, text, sizeof text);
  const char *code = error == EADDRINUSE ? "address_in_use" : "io_error";
  return err_set(err, code, "could not %s %.200s: %s", what, text, strerror(error));
}

static int fail_and_close(struct err *err, const struct address *address, const char *what,
                          int descriptor) {
  fail(err, address, what, errno);
  close(descriptor);
  return -1;
}

static int set_flag(int descriptor, int level, int name) {
  int on = 1;
  return setsockopt(descriptor, level, name, &on, sizeof on);
}

static int bind_tcp(const struct address *address, bool reuse_port, struct err *err) {
  int family = address->socket.any.sa_family;
  int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return fail(err, address, "make a socket for", errno);
  /* TCP_NODELAY is inherited by what is accepted: no call per connection. */
  if (set_flag(descriptor, SOL_SOCKET, SO_REUSEADDR) != 0 ||
      (reuse_port && set_flag(descriptor, SOL_SOCKET, SO_REUSEPORT) != 0) ||
      (family == AF_INET6 && set_flag(descriptor, IPPROTO_IPV6, IPV6_V6ONLY) != 0) ||
      set_flag(descriptor, IPPROTO_TCP, TCP_NODELAY) != 0)
    return fail_and_close(err, address, "set up a socket for", descriptor);
  if (bind(descriptor, &address->socket.any, address_socket_length(&address->socket)) != 0)
    return fail_and_close(err, address, "bind", descriptor);
  return descriptor;
}

/* Removes the file of a socket that nobody listens on. -1 with errno when something is there
 * that must stay. */
static int remove_stale(const struct unix_path *path) {
  struct sockaddr_un address = unix_path_address(path);
  struct stat file;
  if (fstatat(path->folder, path->name, &file, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? 0 : -1;
  if (!S_ISSOCK(file.st_mode)) {
    errno = EEXIST;
    return -1;
  }
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return -1;
  int answer = connect(probe, (const struct sockaddr *)&address, sizeof address);
  int error = answer == 0 ? EADDRINUSE : errno;
  close(probe);
  if (error == ECONNREFUSED) return unlinkat(path->folder, path->name, 0);
  /* A full backlog: someone listens, but slowly. */
  errno = error == EAGAIN ? EADDRINUSE : error;
  return -1;
}

static int bind_path(const struct address *address, const struct unix_path *path, struct err *err) {
  struct sockaddr_un socket_address = unix_path_address(path);
  if (remove_stale(path) != 0) return fail(err, address, "bind", errno);
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return fail(err, address, "make a socket for", errno);
  /* The file takes the socket's mode; unlike umask this touches no other thread. */
  if (fchmod(descriptor, S_IRUSR | S_IWUSR) != 0 ||
      bind(descriptor, (const struct sockaddr *)&socket_address, sizeof socket_address) != 0)
    return fail_and_close(err, address, "bind", descriptor);
  return descriptor;
}

static int bind_unix(const struct address *address, struct err *err) {
  struct unix_path path;
  if (unix_path_open(&path, address->path) != 0)
    return fail(err, address, "open the folder of", errno);
  int descriptor = bind_path(address, &path, err);
  unix_path_close(&path);
  return descriptor;
}

int listener_bind(const struct address *address, bool reuse_port, struct err *err) {
  if (address->kind == ADDRESS_UNIX) return bind_unix(address, err);
  return bind_tcp(address, reuse_port, err);
}

static bool is_starved(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void set_polling(struct listener *listener);

static void on_retry(struct timer *timer) {
  struct listener *listener = (struct listener *)((char *)timer - offsetof(struct listener, retry));
  set_polling(listener);
}

/* Accepts one connection. False: there is none now. */
static bool accept_one(struct listener *listener) {
  union address_socket peer = {0};
  socklen_t length = sizeof peer;
  bool tcp = listener->address.kind == ADDRESS_TCP;
  int descriptor = accept4(listener->descriptor, tcp ? &peer.any : NULL, tcp ? &length : NULL,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0) {
    listener->on_accept(listener, descriptor, &peer);
    return true;
  }
  if (!is_starved(errno)) return errno == EINTR || errno == ECONNABORTED;
  listener->starved++;
  timer_start(listener->timers, &listener->retry, LISTENER_RETRY_NS, on_retry);
  return false;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct listener *listener = poll->data;
  (void)status;
  (void)events;
  for (int i = 0; i < LISTENER_BATCH && !listener->paused && !listener->closing; i++)
    if (!accept_one(listener)) break;
  if (!listener->closing && timer_is_started(&listener->retry)) set_polling(listener);
}

static void set_polling(struct listener *listener) {
  if (listener->paused || timer_is_started(&listener->retry)) {
    uv_poll_stop(&listener->poll);
    return;
  }
  uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

/* The real port, and which file is ours. */
static int learn_address(struct listener *listener, struct err *err) {
  struct address *address = &listener->address;
  if (address->kind == ADDRESS_TCP) {
    socklen_t length = sizeof address->socket;
    if (getsockname(listener->descriptor, &address->socket.any, &length) != 0)
      return fail(err, address, "ask for the port of", errno);
    return 0;
  }
  struct stat file;
  if (lstat(address->path, &file) != 0) return fail(err, address, "find", errno);
  listener->file_device = file.st_dev;
  listener->file_inode = file.st_ino;
  return 0;
}

int listener_start(struct listener *listener, uv_loop_t *loop, struct timer_heap *timers,
                   int descriptor, const struct address *address, listener_accept_fn on_accept,
                   listener_closed_fn on_closed, struct err *err) {
  *listener = (struct listener){.timers = timers,
                                .on_accept = on_accept,
                                .on_closed = on_closed,
                                .address = *address,
                                .descriptor = descriptor};
  if (listen(descriptor, LISTENER_BACKLOG) != 0)
    return fail_and_close(err, address, "listen on", descriptor);
  if (learn_address(listener, err) != 0) {
    close(descriptor);
    return -1;
  }
  int status = uv_poll_init(loop, &listener->poll, descriptor);
  if (status != 0) {
    fail(err, address, "poll", -status);
    close(descriptor);
    return -1;
  }
  listener->poll.data = listener;
  set_polling(listener);
  return 0;
}

void listener_pause(struct listener *listener) {
  if (listener->closing || listener->paused) return;
  listener->paused = true;
  set_polling(listener);
}

void listener_resume(struct listener *listener) {
  if (listener->closing || !listener->paused) return;
  listener->paused = false;
  set_polling(listener);
}

static void remove_file(const struct listener *listener) {
  const struct address *address = &listener->address;
  struct stat file;
  if (address->kind != ADDRESS_UNIX || lstat(address->path, &file) != 0) return;
  if (file.st_dev == listener->file_device && file.st_ino == listener->file_inode)
    unlink(address->path);
}

static void on_poll_closed(uv_handle_t *handle) {
  struct listener *listener = handle->data;
  listener->on_closed(listener);
}

void listener_stop(struct listener *listener) {
  if (listener->closing) return;
  /* The file goes first: whoever finds it gone starts anew, whoever had connected is served. */
  remove_file(listener);
  while (!listener->paused && accept_one(listener)) continue;
  listener->closing = true;
  timer_stop(listener->timers, &listener->retry);
  uv_poll_stop(&listener->poll);
  close(listener->descriptor);
  uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
}
