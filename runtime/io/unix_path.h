/* The path of a Unix socket, which may be longer than a socket address takes: it is reached
 * through the descriptor of its folder. The kernel would cut a path over 107 bytes in silence. */
#ifndef TIDEGATE_IO_UNIX_PATH_H
#define TIDEGATE_IO_UNIX_PATH_H

#include <sys/un.h>

struct unix_path {
  int folder;       /* its descriptor, owned; -1: closed */
  const char *name; /* the rest of the path, inside what was given */
  /* "/proc/self/fd/N/NAME": good for bind and connect while `folder` is open. */
  char text[sizeof((struct sockaddr_un *)0)->sun_path];
};

/* Opens the folder. `path` must live as long as `name` is read. -1 with errno when there is no
 * such folder, or when even the name alone is too long; `unix_path` is then closed. */
int unix_path_open(struct unix_path *unix_path, const char *path);
/* No effect on one that is closed. */
void unix_path_close(struct unix_path *unix_path);
/* The address of an open one. */
struct sockaddr_un unix_path_address(const struct unix_path *unix_path);

#endif
