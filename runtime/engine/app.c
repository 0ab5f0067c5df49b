#include "engine/app.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/task_state.h"
#include "engine/worker_state.h"

#define SIGNALS_KEPT 8
#define START_ERROR_MAX 640

static const int handled_signals[] = {SIGTERM, SIGINT, SIGHUP};
#define HANDLED_SIGNALS (sizeof handled_signals / sizeof handled_signals[0])

/* A worker with its thread. */
struct slot {
  struct app *app;
  struct worker worker; /* the thread's; others touch its mailbox, once `is_open` */
  pthread_t thread;
  int index;
  char error[START_ERROR_MAX]; /* written before the report is posted */
  struct mailbox_letter report_letter, gone_letter;

  pthread_mutex_t mutex; /* of the next five */
  bool is_open;          /* the mailbox takes letters */
  bool stop_wanted, stop_letter_sent;
  lua_CFunction stop_body;
  uint64_t stop_ms;
  struct mailbox_letter stop_letter;

  struct task *first_task; /* the thread's, as what follows */
  bool stopping, finished;
  uv_timer_t stop_timer; /* in the worker's loop, while it stops */
};

struct app {
  struct app_options options;
  struct watchdog *watchdog;
  struct worker main;
  int exit_code;
  struct slot *slots[APP_WORKERS_MAX];
  int slot_count;
  int starting, running;
  lua_CFunction start_body;
  void *start_argument;
  char start_error[START_ERROR_MAX];
  struct waiter_list start_waiters, stop_waiters, signal_waiters;
  uv_signal_t signals[HANDLED_SIGNALS];
  int pending_signals[SIGNALS_KEPT];
  int pending_count;
};

/* Why the task failed, as text without a call that could raise. */
static const char *failure_of(const struct task *task) {
  if (task_outcome(task) == TASK_CANCELLED) return "it was cancelled";
  if (lua_type(task_stack(task), -1) != LUA_TSTRING) return "it raised a value that is no text";
  return lua_tostring(task_stack(task), -1);
}

/* --- signals --- */

/* The same signal again before it was taken says nothing new, so that few slots do. */
static void on_signal(uv_signal_t *handle, int number) {
  struct app *app = handle->data;
  for (int i = 0; i < app->pending_count; i++)
    if (app->pending_signals[i] == number) return;
  if (app->pending_count < SIGNALS_KEPT) app->pending_signals[app->pending_count++] = number;
  waiter_list_wake(&app->signal_waiters);
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

int app_take_signal(struct app *app, struct waiter *waiter, wake_fn wake, void *argument) {
  watch_signals(app);
  if (app->pending_count == 0) {
    waiter_add(&app->signal_waiters, waiter, wake, argument);
    return 0;
  }
  int number = app->pending_signals[0];
  app->pending_count--;
  memmove(app->pending_signals, app->pending_signals + 1,
          (size_t)app->pending_count * sizeof *app->pending_signals);
  return number;
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
  if (!returned)
    fprintf(stderr, "tidegate: %s\n",
            task_state(task) == TASK_DONE ? failure_of(task) : "the main task was left");
  task_release(task);
  return returned ? app->exit_code : 1;
}

void app_set_stuck_seconds(struct app *app, double seconds) {
  watchdog_set_stuck_seconds(app->watchdog, seconds);
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
  if (--app->starting == 0) waiter_list_wake(&app->start_waiters);
}

/* Once for each slot. The main worker outlives the others, so that its mailbox is open. */
static void report(struct slot *slot, const char *error) {
  if (error != NULL) snprintf(slot->error, sizeof slot->error, "worker %d: %s", slot->index, error);
  worker_post_letter(&slot->app->main, &slot->report_letter, on_reported, slot);
}

static void on_first_task_end(void *argument) {
  struct slot *slot = argument;
  const struct task *task = slot->first_task;
  report(slot, task_outcome(task) == TASK_RETURNED ? NULL : failure_of(task));
}

static void on_gone(void *argument) {
  struct slot *slot = argument;
  struct app *app = slot->app;
  pthread_join(slot->thread, NULL);
  if (--app->running == 0) waiter_list_wake(&app->stop_waiters);
}

/* From here on the stop arrives by letter; true when it came before. */
static bool open_slot(struct slot *slot) {
  pthread_mutex_lock(&slot->mutex);
  slot->is_open = true;
  bool stop_wanted = slot->stop_wanted;
  pthread_mutex_unlock(&slot->mutex);
  return stop_wanted;
}

static void serve(struct slot *slot) {
  struct app *app = slot->app;
  if (open_slot(slot)) {
    report(slot, "stopped before it had started");
    return;
  }
  slot->first_task = task_start(&slot->worker, app->start_body, app->start_argument);
  if (slot->first_task == NULL)
    report(slot, "no memory for its first task");
  else
    task_on_end(slot->first_task, on_first_task_end, slot);
  worker_run(&slot->worker);
}

static void *run_worker(void *argument) {
  struct slot *slot = argument;
  struct app *app = slot->app;
  struct err err;
  if (worker_open(&slot->worker, app, slot->index, app->watchdog, app->options.open_libraries,
                  &err) == 0) {
    serve(slot);
    slot->finished = true;
    worker_close(&slot->worker);
  } else {
    report(slot, err.message);
  }
  worker_post_letter(&app->main, &slot->gone_letter, on_gone, slot);
  return NULL;
}

static void free_slot(struct slot *slot) {
  pthread_mutex_destroy(&slot->mutex);
  free(slot);
}

static int start_slot(struct app *app, int index, struct err *err) {
  struct slot *slot = calloc(1, sizeof *slot);
  if (slot == NULL) return err_set(err, "internal", "no memory for worker %d", index);
  slot->app = app;
  slot->index = index;
  pthread_mutex_init(&slot->mutex, NULL);
  if (pthread_create(&slot->thread, NULL, run_worker, slot) != 0) {
    free_slot(slot);
    return err_set(err, "internal", "the thread of worker %d does not start", index);
  }
  app->slots[app->slot_count++] = slot;
  app->starting++;
  app->running++;
  return 0;
}

int app_start_workers(struct app *app, int count, lua_CFunction body, void *argument,
                      struct err *err) {
  if (app->slot_count > 0) return err_set(err, "internal", "the workers were started already");
  if (count < 1 || count > APP_WORKERS_MAX)
    return err_set(err, "invalid_input", "workers must be 1 to %d, not %d", APP_WORKERS_MAX, count);
  app->start_body = body;
  app->start_argument = argument;
  for (int i = 1; i <= count; i++) {
    if (start_slot(app, i, err) == 0) continue;
    if (app->slot_count == 0) return -1;
    snprintf(app->start_error, sizeof app->start_error, "%s", err->message);
    break;
  }
  return 0;
}

bool app_has_started_workers(const struct app *app) {
  return app->slot_count > 0;
}
int app_workers_starting(const struct app *app) {
  return app->starting;
}
int app_workers_running(const struct app *app) {
  return app->running;
}

void app_wait_started(struct app *app, struct waiter *waiter, wake_fn wake, void *argument) {
  waiter_add(&app->start_waiters, waiter, wake, argument);
}

void app_wait_stopped(struct app *app, struct waiter *waiter, wake_fn wake, void *argument) {
  waiter_add(&app->stop_waiters, waiter, wake, argument);
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

static void start_stop_timer(struct slot *slot, uint64_t milliseconds) {
  uv_update_time(&slot->worker.loop);
  uv_timer_start(&slot->stop_timer, on_stop_timer, milliseconds, 0);
}

static void begin_stop(struct slot *slot, lua_CFunction body, uint64_t milliseconds) {
  struct worker *worker = &slot->worker;
  slot->stopping = true;
  uv_timer_init(&worker->loop, &slot->stop_timer);
  struct task *task = NULL;
  if (worker_attach(worker, &slot->stop_timer, close_stop_timer) != 0)
    uv_close((uv_handle_t *)&slot->stop_timer, NULL);
  else if (body != NULL)
    task = task_start(worker, body, NULL);
  if (task == NULL) {
    worker_stop(worker);
    return;
  }
  start_stop_timer(slot, milliseconds);
  task_on_end(task, on_stop_task_end, worker);
}

/* On the worker's thread. It may be closing already, and has no state then. */
static void on_stop_letter(void *argument) {
  struct slot *slot = argument;
  pthread_mutex_lock(&slot->mutex);
  lua_CFunction body = slot->stop_body;
  uint64_t milliseconds = slot->stop_ms;
  slot->stop_letter_sent = false;
  pthread_mutex_unlock(&slot->mutex);
  if (slot->finished) return;
  if (slot->stopping)
    start_stop_timer(slot, milliseconds);
  else
    begin_stop(slot, body, milliseconds);
}

static void stop_slot(struct slot *slot, lua_CFunction body, uint64_t milliseconds) {
  pthread_mutex_lock(&slot->mutex);
  slot->stop_wanted = true;
  slot->stop_body = body;
  slot->stop_ms = milliseconds;
  bool send = slot->is_open && !slot->stop_letter_sent;
  if (send)
    slot->stop_letter_sent =
        worker_post_letter(&slot->worker, &slot->stop_letter, on_stop_letter, slot) == 0;
  pthread_mutex_unlock(&slot->mutex);
}

void app_stop_workers(struct app *app, lua_CFunction body, double seconds) {
  for (int i = 0; i < app->slot_count; i++)
    stop_slot(app->slots[i], body, (uint64_t)(seconds * 1000));
}

static void stop_main_loop(void *argument) {
  worker_stop(argument);
}

void app_free(struct app *app) {
  if (app == NULL) return;
  struct waiter waiter = {0};
  app_stop_workers(app, NULL, 0);
  app_wait_stopped(app, &waiter, stop_main_loop, &app->main);
  while (app->running > 0) worker_run(&app->main);
  waiter_remove(&waiter);
  worker_close(&app->main);
  for (int i = 0; i < app->slot_count; i++) free_slot(app->slots[i]);
  watchdog_free(app->watchdog);
  free(app);
}
