#include "engine/worker.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/budget.h"
#include "engine/worker_state.h"

/* Incremental collection with small steps keeps pauses near a millisecond. Between two cycles a
 * small heap, which costs little memory, may grow further than a large one. */
#define GC_SMALL_HEAP_BYTES ((size_t)16 * 1024 * 1024)
#define GC_SMALL_PAUSE_PERCENT 400
#define GC_PAUSE_PERCENT 200
#define GC_STEP_MULTIPLIER 100
#define GC_STEP_SIZE_LOG2 13

/* Turns of the loop at its end: those without a pause, and those (a millisecond each) after
 * which a handle that is still open was forgotten. */
#define DRY_TURNS_BUSY 10
#define DRY_TURNS_MAX 5000

/* --- accessors --- */

struct worker *worker_of(lua_State *L) {
  return *(struct worker **)lua_getextraspace(L);
}
int worker_index(const struct worker *worker) {
  return worker->index;
}
struct app *worker_app(const struct worker *worker) {
  return worker->app;
}
lua_State *worker_state(const struct worker *worker) {
  return worker->L;
}
uv_loop_t *worker_loop(struct worker *worker) {
  return &worker->loop;
}
uint64_t worker_cached_ns(struct worker *worker) {
  if (worker->clock.frozen) return clock_monotonic_ns(&worker->clock);
  return uv_now(&worker->loop) * UINT64_C(1000000);
}

struct clock *worker_clock(struct worker *worker) {
  return &worker->clock;
}
struct timer_heap *worker_timers(struct worker *worker) {
  return &worker->timers;
}

struct timer_heap *worker_real_timers(struct worker *worker) {
  return &worker->real_timers;
}

int worker_post(struct worker *worker, void (*function)(void *), void *argument) {
  return mailbox_post(&worker->mailbox, function, argument);
}

int worker_post_letter(struct worker *worker, struct mailbox_letter *letter,
                       void (*function)(void *), void *argument) {
  return mailbox_post_letter(&worker->mailbox, letter, function, argument);
}

/* Which heap drives the loop's timer depends on it. */
void worker_freeze_clock(struct worker *worker) {
  clock_freeze(&worker->clock);
  worker->timers_changed = true;
}

void worker_thaw_clock(struct worker *worker) {
  clock_thaw(&worker->clock);
  worker->timers_changed = true;
}

int worker_attach(struct worker *worker, void *service, void (*stop)(void *)) {
  if (worker->service_count == WORKER_SERVICES_MAX) return -1;
  worker->services[worker->service_count++] = (struct worker_service){service, stop};
  return 0;
}

void worker_operation_begin(struct worker *worker) {
  worker->live_operations++;
}
void worker_operation_end(struct worker *worker) {
  worker->live_operations--;
}
void worker_external_begin(struct worker *worker) {
  worker->external++;
}
void worker_external_end(struct worker *worker) {
  worker->external--;
}

struct worker_stats worker_stats(const struct worker *worker) {
  return (struct worker_stats){
      .live_operations = worker->live_operations,
      .tasks = worker->scheduler.count,
      .ready = scheduler_ready_count(&worker->scheduler),
      .memory_bytes = worker->allocator.used,
      .time_stops = worker->scheduler.time_stops,
      .memory_stops = worker->scheduler.memory_stops,
  };
}

void worker_set_memory_limit(struct worker *worker, size_t bytes) {
  worker->memory_limit = bytes;
  worker->allocator.limit = bytes;
}

/* --- the turn of the loop --- */

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

void worker_stay_awake(struct worker *worker) {
  if (!uv_is_active((uv_handle_t *)&worker->idle) && !uv_is_closing((uv_handle_t *)&worker->idle))
    uv_idle_start(&worker->idle, on_idle);
}

static void tune_collector(struct worker *worker) {
  bool is_small = worker->allocator.used < GC_SMALL_HEAP_BYTES;
  if (is_small == worker->has_small_heap) return;
  worker->has_small_heap = is_small;
  lua_gc(worker->L, LUA_GCINC, is_small ? GC_SMALL_PAUSE_PERCENT : GC_PAUSE_PERCENT, 0, 0);
}

static void on_check(uv_check_t *check) {
  struct worker *worker = check->data;
  scheduler_run_ready(worker);
  tune_collector(worker);
  virtual_time_turn(worker);
  if (scheduler_ready_count(&worker->scheduler) == 0 && !worker->virtual_time.moving)
    uv_idle_stop(&worker->idle);
}

static void on_timer(uv_timer_t *timer) {
  struct worker *worker = timer->data;
  worker->armed_ns = 0;
  worker->timers_changed = true;
  uint64_t now = clock_real_monotonic_ns();
  timer_heap_run(&worker->real_timers, now);
  if (!worker->clock.frozen) timer_heap_run(&worker->timers, now);
}

static void on_timers_changed(void *worker) {
  ((struct worker *)worker)->timers_changed = true;
}

static uint64_t timers_now(void *worker) {
  return clock_monotonic_ns(&((struct worker *)worker)->clock);
}

static uint64_t real_now(void *worker) {
  (void)worker;
  return clock_real_monotonic_ns();
}

static uint64_t earliest(const struct worker *worker) {
  uint64_t due, first = 0;
  if (timer_heap_next(&worker->real_timers, &due)) first = due;
  if (!worker->clock.frozen && timer_heap_next(&worker->timers, &due) &&
      (first == 0 || due < first))
    first = due;
  return first;
}

/* Arms the loop's one timer a little late rather than early: the loop counts in whole
 * milliseconds of a clock that it reads once a turn. */
static void arm_timer(struct worker *worker) {
  uint64_t due = earliest(worker);
  worker->timers_changed = false;
  if (due == worker->armed_ns) return;
  worker->armed_ns = due;
  if (due == 0) {
    uv_timer_stop(&worker->timer);
    return;
  }
  uint64_t now = clock_real_monotonic_ns();
  uint64_t delay_ms = due > now ? (due - now + 999999) / 1000000 + 1 : 0;
  uv_update_time(&worker->loop);
  uv_timer_start(&worker->timer, on_timer, delay_ms, 0);
}

static void on_prepare(uv_prepare_t *prepare) {
  struct worker *worker = prepare->data;
  if (worker->timers_changed) arm_timer(worker);
}

/* --- opening --- */

static void start_handles(struct worker *worker) {
  uv_timer_init(&worker->loop, &worker->timer);
  uv_prepare_init(&worker->loop, &worker->prepare);
  uv_idle_init(&worker->loop, &worker->idle);
  uv_check_init(&worker->loop, &worker->check);
  worker->timer.data = worker->prepare.data = worker->check.data = worker;
  uv_prepare_start(&worker->prepare, on_prepare);
  uv_check_start(&worker->check, on_check);
}

static int open_loop(struct worker *worker, struct err *err) {
  int status = uv_loop_init(&worker->loop);
  if (status != 0) return err_set(err, "internal", "no event loop: %s", uv_strerror(status));
  status = mailbox_init(&worker->mailbox, &worker->loop);
  if (status == 0) {
    start_handles(worker);
    timer_heap_init(&worker->timers, timers_now, on_timers_changed, worker);
    timer_heap_init(&worker->real_timers, real_now, on_timers_changed, worker);
    return 0;
  }
  uv_loop_close(&worker->loop);
  return err_set(err, "internal", "no mailbox: %s", uv_strerror(status));
}

/* What is raised outside every protected call: a mistake of ours, or no memory at all. */
static int panic(lua_State *L) {
  const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no text";
  fprintf(stderr, "tidegate: an error outside protection ends the process: %s\n", message);
  return 0;
}

static int open_state(struct worker *worker, lua_CFunction open_libraries, struct err *err) {
  allocator_init(&worker->allocator);
  lua_State *L = lua_newstate(allocator_reallocate, &worker->allocator);
  if (L == NULL) return err_set(err, "internal", "no memory for a Lua state");
  *(struct worker **)lua_getextraspace(L) = worker;
  worker->L = L;
  lua_atpanic(L, panic);
  lua_gc(L, LUA_GCINC, GC_PAUSE_PERCENT, GC_STEP_MULTIPLIER, GC_STEP_SIZE_LOG2);
  lua_pushcfunction(L, open_libraries);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return 0;
  const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  return err_set(err, "internal", "the Lua libraries do not load: %s", message ? message : "?");
}

int worker_open(struct worker *worker, struct app *app, int index, struct watchdog *watchdog,
                lua_CFunction open_libraries, struct err *err) {
  memset(worker, 0, sizeof *worker);
  worker->app = app;
  worker->index = index;
  if (open_loop(worker, err) != 0) return -1;
  if (watchdog_register(watchdog, &worker->watchdog, budget_hook, budget_stuck) != 0)
    err_set(err, "internal", "more than %d workers", WATCHDOG_WORKERS_MAX);
  else if (open_state(worker, open_libraries, err) == 0)
    return 0;
  worker_close(worker);
  return -1;
}

void worker_run(struct worker *worker) {
  uv_run(&worker->loop, UV_RUN_DEFAULT);
}

void worker_stop(struct worker *worker) {
  uv_stop(&worker->loop);
}

/* --- closing --- */

static void close_handles(struct worker *worker) {
  uv_close((uv_handle_t *)&worker->timer, NULL);
  uv_close((uv_handle_t *)&worker->prepare, NULL);
  uv_close((uv_handle_t *)&worker->idle, NULL);
  uv_close((uv_handle_t *)&worker->check, NULL);
  mailbox_close(&worker->mailbox);
}

static void close_forgotten(uv_handle_t *handle, void *argument) {
  (void)argument;
  if (uv_is_closing(handle)) return;
  fprintf(stderr, "tidegate: a handle (%s) was left open\n", uv_handle_type_name(handle->type));
  uv_close(handle, NULL);
}

/* Ends because every handle is closing, as soon as work on other threads has ended; a handle
 * that a service forgot is closed here. */
static void run_dry(struct worker *worker) {
  const struct timespec pause = {.tv_nsec = 1000000};
  for (int turns = 0; uv_loop_close(&worker->loop) == UV_EBUSY; turns++) {
    if (turns == DRY_TURNS_MAX) uv_walk(&worker->loop, close_forgotten, NULL);
    if (turns > DRY_TURNS_BUSY) nanosleep(&pause, NULL);
    uv_run(&worker->loop, UV_RUN_NOWAIT);
  }
}

void worker_close(struct worker *worker) {
  clock_thaw(&worker->clock);
  scheduler_cancel_all(worker);
  if (worker->L != NULL) lua_close(worker->L);
  worker->L = NULL;
  scheduler_deinit(worker);
  while (worker->service_count > 0) {
    struct worker_service *last = &worker->services[--worker->service_count];
    last->stop(last->service);
  }
  close_handles(worker);
  run_dry(worker);
  watchdog_unregister(&worker->watchdog);
  timer_heap_deinit(&worker->timers);
  timer_heap_deinit(&worker->real_timers);
  allocator_deinit(&worker->allocator);
}
