#include "engine/budget.h"

#include <lauxlib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/time_format.h"
#include "engine/task_state.h"
#include "engine/thread_sanitizer.h"
#include "engine/worker_state.h"

#define BUDGET_COUNTS THREAD_SANITIZER

/* Where Lua cannot yield (a comparator, a gsub callback) the hook looks again after so many
 * instructions. Under TSan, where signals do not arrive in time, it is always set. */
#define RECHECK_INSTRUCTIONS 1000

static uint64_t thread_cpu_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void budget_enter(struct task *task) {
  struct budget *budget = &task->budget;
  /* Reading the CPU clock is a system call: spared until a task has been preempted once. */
  bool exact = BUDGET_COUNTS || budget->used_ns != 0;
  budget->slice_start_ns = exact ? thread_cpu_ns() : 0;
  budget->closing_ns = 0;
  if (BUDGET_COUNTS) lua_sethook(task->co, budget_hook, LUA_MASKCOUNT, RECHECK_INSTRUCTIONS);
  watchdog_enter(&task->worker->watchdog, task->co);
}

static uint64_t slice_ns(const struct task *task) {
  uint64_t start = task->budget.slice_start_ns;
  if (start == 0)
    start = atomic_load_explicit(&task->worker->watchdog.first_cpu_ns, memory_order_acquire);
  uint64_t now = thread_cpu_ns();
  start += task->budget.closing_ns;
  return now > start ? now - start : 0;
}

static void take_hook_off(struct task *task) {
  if (lua_gethook(task->co) != NULL) lua_sethook(task->co, NULL, 0, 0);
}

void budget_leave(struct task *task) {
  watchdog_leave(&task->worker->watchdog);
  take_hook_off(task);
}

void budget_enter_close(struct task *task, struct task *interrupted) {
  struct watchdog_cell *cell = &task->worker->watchdog;
  struct budget *budget = &task->budget;
  budget->limit_ns = BUDGET_CLOSE_NS;
  budget->used_ns = 0;
  budget->closing_ns = 0;
  budget->failures = 0;
  budget->stop = BUDGET_GOES_ON;
  budget->slice_start_ns = thread_cpu_ns();
  if (BUDGET_COUNTS) lua_sethook(task->co, budget_hook, LUA_MASKCOUNT, RECHECK_INSTRUCTIONS);
  if (interrupted != NULL)
    watchdog_switch(cell, task->co);
  else
    watchdog_enter(cell, task->co);
}

void budget_leave_close(struct task *task, struct task *interrupted) {
  struct watchdog_cell *cell = &task->worker->watchdog;
  if (interrupted != NULL) {
    interrupted->budget.closing_ns += thread_cpu_ns() - task->budget.slice_start_ns;
    watchdog_switch(cell, interrupted->co);
  } else {
    watchdog_leave(cell);
  }
  take_hook_off(task);
}

void budget_rest(struct budget *budget) {
  budget->used_ns = 0;
  budget->failures = 0;
}

void budget_renew(struct task *task) {
  task->budget.stop = BUDGET_GOES_ON;
  budget_rest(&task->budget);
  lua_sethook(task->co, NULL, 0, 0);
  budget_enter(task);
}

static void stop(struct task *task, enum budget_stop reason) {
  struct scheduler *scheduler = &task->worker->scheduler;
  if (task->budget.stop != BUDGET_GOES_ON) return;
  task->budget.stop = reason;
  if (reason == BUDGET_TIME) scheduler->time_stops++;
  if (reason == BUDGET_MEMORY) scheduler->memory_stops++;
}

void budget_note_refusal(struct task *task) {
  if (++task->budget.failures >= BUDGET_FAILURES_MAX) stop(task, BUDGET_MEMORY);
}

static int raise_stop(lua_State *L, const struct task *task) {
  const struct budget *budget = &task->budget;
  const char *label = budget->label[0] != '\0' ? budget->label : "the script";
  lua_sethook(L, budget_hook, LUA_MASKCOUNT, 1);
  if (budget->stop == BUDGET_MEMORY)
    return luaL_error(L, "%s went past the memory limit and was stopped", label);
  return luaL_error(L, "%s used more than %I ms of CPU between two waits and was stopped", label,
                    (lua_Integer)(budget->limit_ns / 1000000u));
}

static bool is_used_up(const struct budget *budget, uint64_t slice) {
  return budget->limit_ns != 0 && budget->used_ns + slice >= budget->limit_ns;
}

void budget_hook(lua_State *L, lua_Debug *activation) {
  (void)activation;
  struct task *task = worker_of(L)->scheduler.running;
  if (task == NULL || task->co != L) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  struct budget *budget = &task->budget;
  if (budget->stop != BUDGET_GOES_ON) {
    raise_stop(L, task);
    return;
  }
  uint64_t slice = slice_ns(task);
  if (BUDGET_COUNTS && slice < WATCHDOG_SLICE_NS) return;
  if (is_used_up(budget, slice)) {
    stop(task, BUDGET_TIME);
    raise_stop(L, task);
    return;
  }
  if (!lua_isyieldable(L)) {
    lua_sethook(L, budget_hook, LUA_MASKCOUNT, RECHECK_INSTRUCTIONS);
    return;
  }
  budget->used_ns += slice > 0 ? slice : 1;
  task->preempted = true;
  lua_yield(L, 0);
}

void budget_stuck(lua_State *running, double seconds) {
  char line[BUDGET_LABEL_MAX + 320];
  char now[TIME_FORMAT_RFC3339_LENGTH + 1] = "";
  const struct worker *worker = worker_of(running);
  const struct task *task = worker->scheduler.running;
  const char *label = task != NULL ? task->budget.label : "";
  time_format_rfc3339(clock_real_wall_ms(), now);
  int length =
      snprintf(line, sizeof line,
               "{\"time\":\"%s\",\"level\":\"error\",\"message\":\"worker %d has not returned to "
               "its loop for "
               "%.1f s; the process ends\",\"script\":\"%s\"}\n",
               now, worker->index, seconds, strcspn(label, "\"\\") == strlen(label) ? label : "");
  struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
  if (poll(&output, 1, 0) == 1 && write(STDOUT_FILENO, line, (size_t)length) != length)
    fputs("tidegate: a worker is stuck; the process ends\n", stderr);
  abort();
}

void budget_check(lua_State *L) {
  struct task *task = worker_of(L)->scheduler.running;
  if (task != NULL && task->co == L && task->budget.stop != BUDGET_GOES_ON) raise_stop(L, task);
}

void budget_look(lua_State *L) {
  /* The hook is there when the watchdog found the slice to be over: until then no clock is read,
   * and a state without workers (a test's) has none. */
  if (lua_gethook(L) != budget_hook) return;
  struct task *task = worker_of(L)->scheduler.running;
  if (task == NULL || task->co != L) return;
  if (task->budget.stop == BUDGET_GOES_ON && is_used_up(&task->budget, slice_ns(task)))
    stop(task, BUDGET_TIME);
  if (task->budget.stop != BUDGET_GOES_ON) raise_stop(L, task);
}

void budget_limit(struct task *task, uint64_t milliseconds, const char *label) {
  task->budget.limit_ns = milliseconds * 1000000u;
  snprintf(task->budget.label, sizeof task->budget.label, "%s", label != NULL ? label : "");
}

enum budget_stop budget_stop_reason(const struct task *task) {
  return task->budget.stop;
}
