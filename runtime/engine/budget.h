/* How much CPU time and memory a task may use.
 *
 * After a slice (10 ms of CPU) the hook yields, so that neighbours run. Over its limit
 * between two waits the task is *stopped*: the hook raises at every instruction until the
 * budget is renewed, so that no pcall of a script swallows it. Memory: three allocations
 * refused while the task runs stop it likewise. Only budget_renew (the framework's guard)
 * ends a stop. */
#ifndef TIDEGATE_ENGINE_BUDGET_H
#define TIDEGATE_ENGINE_BUDGET_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#define BUDGET_LABEL_MAX 112
#define BUDGET_CLOSE_NS 100000000ull /* for the `<close>` variables of a cancelled task */
#define BUDGET_FAILURES_MAX 3

struct task;
struct worker;

enum budget_stop { BUDGET_GOES_ON, BUDGET_TIME, BUDGET_MEMORY };

struct budget {
  uint64_t limit_ns;       /* of CPU between two waits; 0: none */
  uint64_t used_ns;        /* in the slices before this one since the last wait */
  uint64_t slice_start_ns; /* CPU clock at this slice's start; 0: see watchdog */
  uint64_t closing_ns;     /* of this slice, spent closing other tasks: theirs, not its own */
  enum budget_stop stop;
  int failures;                 /* allocations refused since the last wait */
  int64_t memory_charge;        /* growth of the state while it ran */
  char label[BUDGET_LABEL_MAX]; /* whose code it is, for messages */
};

/* Around each resume of a task's coroutine. */
void budget_enter(struct task *task);
void budget_leave(struct task *task);
/* Around each closing of one, for at most BUDGET_CLOSE_NS. `interrupted` (may be NULL) is the
 * task that runs; its slice goes on, so that closing others without end is noticed too. */
void budget_enter_close(struct task *task, struct task *interrupted);
void budget_leave_close(struct task *task, struct task *interrupted);
/* The task waited: a new sum begins. */
void budget_rest(struct budget *budget);
/* Takes the hook off again and starts a new sum. */
void budget_renew(struct task *task);
/* An allocation was refused in the running task; the third one stops it. */
void budget_note_refusal(struct task *task);
/* Sets the limit and the label of the task and of the children that it starts from now on;
 * 0: no limit. `label` may be NULL. */
void budget_limit(struct task *task, uint64_t milliseconds, const char *label);
enum budget_stop budget_stop_reason(const struct task *task);
/* The hook that the watchdog's signal sets. */
void budget_hook(lua_State *L, lua_Debug *activation);
/* Says on standard output, as a log line, whose code keeps a worker from its loop, and ends the
 * process for its supervisor. On the watchdog's thread; the worker of `running` stands still. */
void budget_stuck(lua_State *running, double seconds);
/* Raises the stop again if the running task is stopped; the end of every protected call
 * that a script can make. */
void budget_check(lua_State *L);
/* For C that works for long where no hook reaches: stops and raises when the running task has
 * used up its limit. Cheap until the task is late; call it every ten thousand steps or so. */
void budget_look(lua_State *L);

#endif
