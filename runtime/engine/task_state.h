/* What is inside a task: for the files of engine/ alone. */
#ifndef TIDEGATE_ENGINE_TASK_STATE_H
#define TIDEGATE_ENGINE_TASK_STATE_H

#include "engine/budget.h"
#include "engine/task.h"

struct task {
  struct worker *worker;
  lua_State *co;
  int anchor; /* keeps the coroutine alive, in the registry */
  enum task_state state;
  enum task_outcome outcome;
  int references;
  int arguments;  /* of the first resume */
  int depth;      /* ancestors */
  bool woken;     /* a wake came since it last ran on from an await */
  bool preempted; /* the hook yielded, not an await */
  bool cancel_requested;
  bool raised;   /* task_main caught an error */
  bool reusable; /* the coroutine ended normally */
  struct budget budget;
  struct task *parent, *first_child, *previous_sibling, *next_sibling;
  struct ready_queue *queue; /* that it is in; NULL: none */
  struct task *ready_previous, *ready_next;
  struct task *all_previous, *all_next;
  wake_fn watcher;
  void *watcher_argument;
  struct waiter_list watchers;
};

/* Appends to the ready queue. */
void task_make_ready(struct task *task);
/* One resume of a ready task. */
void task_resume(struct task *task);
void task_free(struct task *task);

#endif
