/* The process: the main worker, the others, signals, and the order of start and stop.
 *
 * Made and used on the main thread; the functions that say so may be called by workers. */
#ifndef TIDEGATE_ENGINE_APP_H
#define TIDEGATE_ENGINE_APP_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/waiter.h"
#include "base/wake.h"
#include "engine/task.h"
#include "engine/worker.h"

#define APP_WORKERS_MAX 256

struct app;

struct app_options {
  int argument_count;
  char **arguments;
  lua_CFunction open_libraries; /* run in each new state: registers the modules */
  void *shared;                 /* what all workers share; not owned */
};

/* NULL with `err` filled when the main worker cannot be opened. */
struct app *app_new(const struct app_options *options, struct err *err);
/* Runs `body` as the main worker's first task and returns the exit code when it has ended:
 * what app_set_exit_code said, or 1 when it raised (the message is written to stderr). */
int app_run(struct app *app, lua_CFunction body);
/* Stops workers that still run (cancelling their tasks) and closes the main one. */
void app_free(struct app *app);

/* A worker that does not return to its loop for so long ends the process (watchdog.h). 0: never;
 * so it is at first. Any thread. */
void app_set_stuck_seconds(struct app *app, double seconds);
void app_set_exit_code(struct app *app, int code);
void *app_shared(const struct app *app);
int app_argument_count(const struct app *app);
const char *app_argument(const struct app *app, int index);
struct worker *app_main_worker(struct app *app);

/* Starts `count` threads. Each runs `body` (with `argument` as light userdata) as its first
 * task; when that returns the worker is ready, when it raises the start has failed. When none
 * is starting any more, app_start_error says what went wrong, or NULL. Once a process. */
int app_start_workers(struct app *app, int count, lua_CFunction body, void *argument,
                      struct err *err);
bool app_has_started_workers(const struct app *app);
int app_workers_starting(const struct app *app);
/* `waiter` is the caller's (base/waiter.h); woken when none is starting any more. */
void app_wait_started(struct app *app, struct waiter *waiter, wake_fn wake, void *argument);
const char *app_start_error(const struct app *app);

/* Runs `body` (NULL: nothing) in a task on each worker; when it has ended, or after `seconds`,
 * the worker cancels what is left, closes and its thread ends. Called again, only the time
 * counts, from then on. Also while workers are starting: their start is cancelled then. */
void app_stop_workers(struct app *app, lua_CFunction body, double seconds);
int app_workers_running(const struct app *app);
/* Woken when none is running any more. */
void app_wait_stopped(struct app *app, struct waiter *waiter, wake_fn wake, void *argument);

/* Takes the oldest signal that came (SIGTERM, SIGINT, SIGHUP), or 0. With none, the waiter is
 * woken when one comes; who then takes first has it. */
int app_take_signal(struct app *app, struct waiter *waiter, wake_fn wake, void *argument);

#endif
