/* Arguments, the process-wide state, the app: the only place that ends the process. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bind/host.h"
#include "bind/modules.h"
#include "bind/process.h"
#include "engine/app.h"

/* A descriptor 0, 1 or 2 that was closed by the caller would be given to the next file that is
   opened: the log would then be written into the database. */
static bool open_standard_streams(void) {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
    if (fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", O_RDWR) != stream) return false;
  }
  return true;
}

/* A dump would hold every secret. Under a limit of one byte the kernel neither writes a file nor
   starts a program that takes dumps; a limit of 0 does not stop the latter. */
static bool forbid_core_dumps(void) {
  const struct rlimit one_byte = {.rlim_cur = 1, .rlim_max = 1};
  const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  /* A caller whose own ceiling is 0 cannot be gone past. */
  return setrlimit(RLIMIT_CORE, &one_byte) == 0 || setrlimit(RLIMIT_CORE, &none) == 0;
}

int main(int argument_count, char **arguments) {
  if (!open_standard_streams() || !forbid_core_dumps()) return 1;
  struct shared *shared = process_open();
  if (shared == NULL) return 1;
  struct app_options options = {
      .argument_count = argument_count,
      .arguments = arguments,
      .open_libraries = modules_open,
      .shared = shared,
  };
  struct err err;
  struct app *app = app_new(&options, &err);
  int exit_code = 1;
  if (app != NULL)
    exit_code = app_run(app, host_main);
  else
    fprintf(stderr, "tidegate: %s\n", err.message);
  app_free(app);
  process_close(shared);
  return exit_code;
}
