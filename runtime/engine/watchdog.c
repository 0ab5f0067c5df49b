#include "engine/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/condition.h"

#define WATCHDOG_SIGNAL (SIGRTMIN + 3)
#define IDLE_TICKS_BEFORE_SLEEP 20
#define LOOK_NS_MAX (4 * WATCHDOG_TICK_NS) /* more: the process was stopped meanwhile */

struct watchdog {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  _Atomic bool asleep;
  _Atomic uint64_t stuck_ns; /* 0: never */
  uint64_t looked_ns;        /* when it last looked, and how long before that */
  uint64_t since_look_ns;
  bool stop;
  struct watchdog_cell *cells[WATCHDOG_WORKERS_MAX];
};

/* The handler has nothing but its thread to find its worker by. */
static _Thread_local struct watchdog_cell *cell_of_thread;

static void on_signal(int signal_number, siginfo_t *info, void *context) {
  (void)signal_number;
  (void)context;
  struct watchdog_cell *cell = cell_of_thread;
  if (cell == NULL) return;
  lua_State *running = atomic_load_explicit(&cell->running, memory_order_relaxed);
  uint32_t slice = atomic_load_explicit(&cell->slice, memory_order_relaxed);
  if (running == NULL || (uint32_t)info->si_value.sival_int != slice) return;
  /* Counting alone: only there may a hook yield, and C functions are left in peace. */
  lua_sethook(running, cell->hook, LUA_MASKCOUNT, 1);
}

static uint64_t cpu_time_ns(clockid_t cpu_clock) {
  struct timespec time;
  if (clock_gettime(cpu_clock, &time) != 0) return 0;
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void look_whether_stuck(struct watchdog_cell *cell, lua_State *running) {
  uint64_t limit = atomic_load_explicit(&cell->watchdog->stuck_ns, memory_order_relaxed);
  cell->seen_ns += cell->watchdog->since_look_ns;
  if (limit != 0 && cell->seen_ns >= limit) cell->on_stuck(running, (double)cell->seen_ns / 1e9);
}

/* One signal is enough, but for a hook that was set just when Lua looked. The handler takes as long
 * as the coroutine is deep: signals that come as fast as they are handled would let nothing else
 * run. */
static void signal_worker(struct watchdog_cell *cell, uint32_t slice, uint64_t cpu) {
  if (cpu < cell->signal_at_ns) return;
  cell->pause_ns = cell->pause_ns == 0 ? WATCHDOG_TICK_NS : cell->pause_ns * 2;
  if (cell->pause_ns > WATCHDOG_PAUSE_NS_MAX) cell->pause_ns = WATCHDOG_PAUSE_NS_MAX;
  cell->signal_at_ns = cpu + cell->pause_ns;
  pthread_sigqueue(cell->thread, WATCHDOG_SIGNAL, (union sigval){.sival_int = (int)slice});
}

static bool look_at(struct watchdog_cell *cell) {
  uint32_t slice = atomic_load_explicit(&cell->slice, memory_order_acquire);
  lua_State *running = atomic_load_explicit(&cell->running, memory_order_acquire);
  if (running == NULL) return false;
  uint64_t cpu = cpu_time_ns(cell->cpu_clock);
  if (slice != cell->seen_slice) {
    cell->seen_slice = slice;
    cell->seen_ns = cell->pause_ns = cell->signal_at_ns = 0;
    atomic_store_explicit(&cell->first_cpu_ns, cpu, memory_order_release);
    return true;
  }
  look_whether_stuck(cell, running);
  uint64_t first = atomic_load_explicit(&cell->first_cpu_ns, memory_order_relaxed);
  if (cpu - first >= WATCHDOG_SLICE_NS) signal_worker(cell, slice, cpu);
  return true;
}

static void note_look(struct watchdog *watchdog) {
  uint64_t now = clock_real_monotonic_ns();
  uint64_t since = now - watchdog->looked_ns;
  watchdog->since_look_ns = since < LOOK_NS_MAX ? since : LOOK_NS_MAX;
  watchdog->looked_ns = now;
}

static bool look_at_all(struct watchdog *watchdog) {
  bool any = false;
  note_look(watchdog);
  for (size_t i = 0; i < WATCHDOG_WORKERS_MAX; i++)
    if (watchdog->cells[i] != NULL && look_at(watchdog->cells[i])) any = true;
  return any;
}

static void wait_for(struct watchdog *watchdog, uint64_t nanoseconds) {
  condition_wait_until(&watchdog->wake, &watchdog->mutex, clock_real_monotonic_ns() + nanoseconds);
}

/* `asleep` is set before the last look, and a worker that enters looks at it after it has
 * published itself: one of the two sees the other (both are sequentially consistent). */
static void sleep_until_entered(struct watchdog *watchdog) {
  atomic_store(&watchdog->asleep, true);
  if (!watchdog->stop && !look_at_all(watchdog)) wait_for(watchdog, 1000000000u);
  atomic_store(&watchdog->asleep, false);
}

static void *run(void *argument) {
  struct watchdog *watchdog = argument;
  unsigned idle_ticks = 0;
  pthread_mutex_lock(&watchdog->mutex);
  while (!watchdog->stop) {
    idle_ticks = look_at_all(watchdog) ? 0 : idle_ticks + 1;
    if (idle_ticks >= IDLE_TICKS_BEFORE_SLEEP) {
      sleep_until_entered(watchdog);
      idle_ticks = 0;
    } else {
      wait_for(watchdog, WATCHDOG_TICK_NS);
    }
  }
  pthread_mutex_unlock(&watchdog->mutex);
  return NULL;
}

static int install_handler(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  return sigaction(WATCHDOG_SIGNAL, &action, NULL);
}

static int start_thread(struct watchdog *watchdog) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int status = pthread_create(&watchdog->thread, NULL, run, watchdog);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return status;
}

struct watchdog *watchdog_new(void) {
  struct watchdog *watchdog = calloc(1, sizeof *watchdog);
  if (watchdog == NULL) return NULL;
  pthread_mutex_init(&watchdog->mutex, NULL);
  condition_init(&watchdog->wake);
  if (install_handler() == 0 && start_thread(watchdog) == 0) return watchdog;
  pthread_cond_destroy(&watchdog->wake);
  pthread_mutex_destroy(&watchdog->mutex);
  free(watchdog);
  return NULL;
}

void watchdog_free(struct watchdog *watchdog) {
  if (watchdog == NULL) return;
  pthread_mutex_lock(&watchdog->mutex);
  watchdog->stop = true;
  pthread_cond_signal(&watchdog->wake);
  pthread_mutex_unlock(&watchdog->mutex);
  pthread_join(watchdog->thread, NULL);
  pthread_cond_destroy(&watchdog->wake);
  pthread_mutex_destroy(&watchdog->mutex);
  free(watchdog);
}

void watchdog_set_stuck_seconds(struct watchdog *watchdog, double seconds) {
  atomic_store(&watchdog->stuck_ns, (uint64_t)(seconds * 1e9));
}

int watchdog_register(struct watchdog *watchdog, struct watchdog_cell *cell, lua_Hook hook,
                      void (*on_stuck)(lua_State *running, double seconds)) {
  *cell = (struct watchdog_cell){
      .hook = hook, .on_stuck = on_stuck, .thread = pthread_self(), .watchdog = watchdog};
  if (pthread_getcpuclockid(cell->thread, &cell->cpu_clock) != 0) return -1;
  cell_of_thread = cell;
  int status = -1;
  pthread_mutex_lock(&watchdog->mutex);
  for (size_t i = 0; i < WATCHDOG_WORKERS_MAX && status != 0; i++) {
    if (watchdog->cells[i] != NULL) continue;
    watchdog->cells[i] = cell;
    status = 0;
  }
  pthread_mutex_unlock(&watchdog->mutex);
  return status;
}

void watchdog_unregister(struct watchdog_cell *cell) {
  struct watchdog *watchdog = cell->watchdog;
  if (watchdog == NULL) return;
  pthread_mutex_lock(&watchdog->mutex);
  for (size_t i = 0; i < WATCHDOG_WORKERS_MAX; i++)
    if (watchdog->cells[i] == cell) watchdog->cells[i] = NULL;
  pthread_mutex_unlock(&watchdog->mutex);
  cell_of_thread = NULL;
  cell->watchdog = NULL;
}

void watchdog_enter(struct watchdog_cell *cell, lua_State *L) {
  atomic_fetch_add_explicit(&cell->slice, 1, memory_order_relaxed);
  atomic_store(&cell->running, L);
  if (!atomic_load(&cell->watchdog->asleep)) return;
  pthread_mutex_lock(&cell->watchdog->mutex);
  pthread_cond_signal(&cell->watchdog->wake);
  pthread_mutex_unlock(&cell->watchdog->mutex);
}

void watchdog_leave(struct watchdog_cell *cell) {
  atomic_store_explicit(&cell->running, NULL, memory_order_release);
}

void watchdog_switch(struct watchdog_cell *cell, lua_State *L) {
  atomic_store_explicit(&cell->running, L, memory_order_release);
}
