/* Arguments, the process-wide state, the app: the only place that ends the process. */
#include <stdio.h>

#include "bind/host.h"
#include "bind/modules.h"
#include "bind/process.h"
#include "engine/app.h"

int main(int argument_count, char **arguments) {
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
