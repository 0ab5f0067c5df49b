#include "engine/app.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/task_state.h"
#include "engine/worker_state.h"

#define SIGNALS_KEPT 8
#define START_ERROR_MAX 512

static const int handled_signals[] = {SIGTERM, SIGINT, SIGHUP};
#define HANDLED_SIGNALS (sizeof handled_signals / sizeof handled_signals[0])

/* A worker with its thread. */
struct slot {
  struct app *app;
  struct worker worker;
  pthread_t thread;
  int index;
  struct task *first_task; /* until it has reported */
  uv_timer_t stop_timer;   /* in the worker's loop, while it stops */
  char error[START_ERROR_MAX];
};

struct waiter {
  wake_fn wake;
  void *argument;
};

struct app {
  struct app_options options;
  struct watchdog *watchdog;
  struct worker main;
  int exit_code;
  struct slot *slots[APP_WORKERS_MAX];
  int slot_count;
  int starting, running;
  lua_CFunction start_body, stop_body;
  void *start_argument;
  uint64_t stop_ms;
  char start_error[START_ERROR_MAX];
  struct waiter start_waiter, stop_waiter, signal_waiter;
  uv_signal_t signals[HANDLED_SIGNALS];
  int pending_signals[SIGNALS_KEPT];
  int pending_count;
};

static void wake_once(struct waiter *waiter) {
  struct waiter woken = *waiter;
  *waiter = (struct waiter){NULL, NULL};
  if (woken.wake != NULL) woken.wake(woken.argument);
}

/* --- signals --- */

/* The same signal again before it was taken says nothing new, so that few slots do. */
static void on_signal(uv_signal_t *handle, int number) {
  struct app *app = handle->data;
  for (int i = 0; i < app->pending_count; i++)
    if (app->pending_signals[i] == number) return;
  if (app->pending_count < SIGNALS_KEPT) app->pending_signals[app->pending_count++] = number;
  wake_once(&app->signal_waiter);
}

/* Handled from the first wait on: until then a signal ends the process as usual. */
static void watch_signals(struct app *app) {
  if (app->signals[0].data != NULL) return;
  for (size_t i = 0; i < HANDLED_SIGNALS; i++) {
    uv_signal_init(&app->main.loop, &app->signals[i]);
    app->signals[i].data = app;
    uv_signal_start(&app->signals[i], on_signal, handled_signals[i]);
    uv_unref((uv_handle_t *)&app->signals[i]);
  }
}

int app_take_signal(struct app *app, wake_fn wake, void *wake_argument) {
  watch_signals(app);
  if (app->pending_count == 0) {
    app->signal_waiter = (struct waiter){wake, wake_argument};
    return 0;
  }
  int number = app->pending_signals[0];
  app->pending_count--;
  memmove(app->pending_signals, app->pending_signals + 1,
          (size_t)app->pending_count * sizeof *app->pending_signals);
  return number;
}

void app_forget_signal_waiter(struct app *app) {
  app->signal_waiter = (struct waiter){NULL, NULL};
}

static void stop_signals(void *argument) {
  struct app *app = argument;
  if (app->signals[0].data == NULL) return;
  for (size_t i = 0; i < HANDLED_SIGNALS; i++) uv_close((uv_handle_t *)&app->signals[i], NULL);
}

/* --- making and running --- */

struct app *app_new(const struct app_options *options, struct err *err) {
  struct app *app = calloc(1, sizeof *app);
  if (app == NULL) {
    err_set(err, "internal", "no memory to start");
    return NULL;
  }
  signal(SIGPIPE, SIG_IGN);
  app->options = *options;
  app->watchdog = watchdog_new();
  if (app->watchdog == NULL) {
    err_set(err, "internal", "the watchdog thread does not start");
  } else if (worker_open(&app->main, app, 0, app->watchdog, options->open_libraries, err) == 0) {
    worker_attach(&app->main, app, stop_signals);
    return app;
  }
  watchdog_free(app->watchdog);
  free(app);
  return NULL;
}

static void on_main_end(void *argument) {
  struct app *app = argument;
  worker_stop(&app->main);
}

static void report_failure(const struct task *task) {
  const char *message = NULL;
  if (task_outcome(task) == TASK_RAISED) message = lua_tostring(task_stack(task), -1);
  fprintf(stderr, "tidegate: %s\n", message != NULL ? message : "the main task was cancelled");
}

int app_run(struct app *app, lua_CFunction body) {
  struct task *task = task_start(&app->main, body, app);
  if (task == NULL) {
    fprintf(stderr, "tidegate: no memory for the main task\n");
    return 1;
  }
  task_retain(task);
  task_on_end(task, on_main_end, app);
  worker_run(&app->main);
  bool returned = task_state(task) == TASK_DONE && task_outcome(task) == TASK_RETURNED;
  if (!returned) report_failure(task);
  task_release(task);
  return returned ? app->exit_code : 1;
}

void app_set_exit_code(struct app *app, int code) {
  app->exit_code = code;
}
void *app_shared(const struct app *app) {
  return app->options.shared;
}
int app_argument_count(const struct app *app) {
  return app->options.argument_count;
}
struct worker *app_main_worker(struct app *app) {
  return &app->main;
}

const char *app_argument(const struct app *app, int index) {
  return index < app->options.argument_count ? app->options.arguments[index] : NULL;
}

/* --- starting workers --- */

static void on_reported(void *argument) {
  struct slot *slot = argument;
  struct app *app = slot->app;
  if (slot->error[0] != '\0' && app->start_error[0] == '\0')
    memcpy(app->start_error, slot->error, sizeof app->start_error);
  if (--app->starting == 0) wake_once(&app->start_waiter);
}

static void report(struct slot *slot, const char *error) {
  if (error != NULL) snprintf(slot->error, sizeof slot->error, "%s", error);
  worker_post(&slot->app->main, on_reported, slot);
}

static void on_first_task_end(void *argument) {
  struct slot *slot = argument;
  const struct task *task = slot->first_task;
  const char *error = NULL;
  if (task_outcome(task) == TASK_RAISED) {
    error = lua_tostring(task_stack(task), -1);
    if (error == NULL) error = "the worker's start raised a value that is no text";
  } else if (task_outcome(task) == TASK_CANCELLED) {
    error = "the worker's start was cancelled";
  }
  report(slot, error);
}

static void on_gone(void *argument) {
  struct slot *slot = argument;
  struct app *app = slot->app;
  pthread_join(slot->thread, NULL);
  if (--app->running == 0) wake_once(&app->stop_waiter);
}

static void *run_worker(void *argument) {
  struct slot *slot = argument;
  struct app *app = slot->app;
  struct err err;
  if (worker_open(&slot->worker, app, slot->index, app->watchdog, app->options.open_libraries,
                  &err) != 0) {
    report(slot, err.message);
  } else {
    struct task *task = task_start(&slot->worker, app->start_body, app->start_argument);
    slot->first_task = task;
    if (task == NULL) {
      report(slot, "no memory for the worker's first task");
    } else {
      task_on_end(task, on_first_task_end, slot);
      worker_run(&slot->worker);
    }
    worker_close(&slot->worker);
  }
  worker_post(&app->main, on_gone, slot);
  return NULL;
}

static int start_slot(struct app *app, int index, struct err *err) {
  struct slot *slot = calloc(1, sizeof *slot);
  if (slot == NULL) return err_set(err, "internal", "no memory for worker %d", index);
  slot->app = app;
  slot->index = index;
  app->slots[app->slot_count++] = slot;
  app->starting++;
  app->running++;
  if (pthread_create(&slot->thread, NULL, run_worker, slot) == 0) return 0;
  app->slot_count--;
  app->starting--;
  app->running--;
  free(slot);
  return err_set(err, "internal", "the thread of worker %d does not start", index);
}

int app_start_workers(struct app *app, int count, lua_CFunction body, void *argument, wake_fn wake,
                      void *wake_argument, struct err *err) {
  if (app->slot_count > 0) return err_set(err, "internal", "the workers were started already");
  if (count < 1 || count > APP_WORKERS_MAX)
    return err_set(err, "invalid_input", "workers must be 1 to %d, not %d", APP_WORKERS_MAX, count);
  app->start_body = body;
  app->start_argument = argument;
  app->start_waiter = (struct waiter){wake, wake_argument};
  for (int i = 1; i <= count; i++) {
    if (start_slot(app, i, err) == 0) continue;
    if (app->slot_count == 0) return -1;
    snprintf(app->start_error, sizeof app->start_error, "%s", err->message);
    break;
  }
  return 0;
}

int app_workers_starting(const struct app *app) {
  return app->starting;
}
int app_workers_running(const struct app *app) {
  return app->running;
}

const char *app_start_error(const struct app *app) {
  return app->start_error[0] != '\0' ? app->start_error : NULL;
}

/* --- stopping workers --- */

static void on_stop_timer(uv_timer_t *timer) {
  uv_stop(timer->loop);
}

static void on_stop_task_end(void *argument) {
  worker_stop(argument);
}

static void close_stop_timer(void *timer) {
  uv_close(timer, NULL);
}

/* On the worker's thread. */
static void begin_stop(void *argument) {
  struct slot *slot = argument;
  struct worker *worker = &slot->worker;
  uv_timer_init(&worker->loop, &slot->stop_timer);
  if (worker_attach(worker, &slot->stop_timer, close_stop_timer) != 0)
    uv_close((uv_handle_t *)&slot->stop_timer, NULL);
  else
    uv_timer_start(&slot->stop_timer, on_stop_timer, slot->app->stop_ms, 0);
  struct task *task = NULL;
  if (slot->app->stop_body != NULL) task = task_start(worker, slot->app->stop_body, NULL);
  if (task == NULL)
    worker_stop(worker);
  else
    task_on_end(task, on_stop_task_end, worker);
}

void app_stop_workers(struct app *app, lua_CFunction body, double seconds, wake_fn wake,
                      void *wake_argument) {
  app->stop_body = body;
  app->stop_ms = (uint64_t)(seconds * 1000);
  app->stop_waiter = (struct waiter){wake, wake_argument};
  for (int i = 0; i < app->slot_count; i++)
    worker_post(&app->slots[i]->worker, begin_stop, app->slots[i]);
  if (app->running == 0) wake_once(&app->stop_waiter);
}

static void stop_main_loop(void *argument) {
  worker_stop(argument);
}

void app_free(struct app *app) {
  if (app == NULL) return;
  if (app->running > 0) {
    app_stop_workers(app, NULL, 0, stop_main_loop, &app->main);
    worker_run(&app->main);
  }
  for (int i = 0; i < app->slot_count; i++) free(app->slots[i]);
  worker_close(&app->main);
  watchdog_free(app->watchdog);
  free(app);
}
