#include "io/unix_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_folder(const char *path, size_t length) {
  char folder[PATH_MAX];
  if (length >= sizeof folder) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(folder, path, length);
  folder[length] = '\0';
  return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_folder_of(const char *path, const char *slash) {
  if (slash == NULL) return open_folder(".", 1);
  return open_folder(path, slash == path ? 1 : (size_t)(slash - path));
}

int unix_path_open(struct unix_path *unix_path, const char *path) {
  const char *slash = strrchr(path, '/');
  unix_path->name = slash == NULL ? path : slash + 1;
  unix_path->folder = open_folder_of(path, slash);
  if (unix_path->folder < 0) return -1;
  int length = snprintf(unix_path->text, sizeof unix_path->text, "/proc/self/fd/%d/%s",
                        unix_path->folder, unix_path->name);
  if (length > 0 && (size_t)length < sizeof unix_path->text) return 0;
  unix_path_close(unix_path);
  errno = ENAMETOOLONG;
  return -1;
}

void unix_path_close(struct unix_path *unix_path) {
  if (unix_path->folder >= 0) close(unix_path->folder);
  unix_path->folder = -1;
}

struct sockaddr_un unix_path_address(const struct unix_path *unix_path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, unix_path->text, sizeof address.sun_path);
  return address;
}
