#include "bind/notice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/timer.h"
#include "engine/task.h"
#include "engine/worker.h"

struct notice {
  struct timer timer; /* the first member: see on_due */
  struct worker *worker;
  struct task *task; /* NULL once it wants no more */
  struct mailbox_letter letter;
  atomic_bool is_posted;
  atomic_int references; /* the owner's, and the letter's while it is on its way */
};

struct notice *notice_new(lua_State *L) {
  struct task *task = task_current(L); /* may raise: nothing is held yet */
  struct notice *notice = calloc(1, sizeof *notice);
  if (notice == NULL) return NULL;
  notice->worker = worker_of(L);
  notice->task = task;
  atomic_init(&notice->is_posted, false);
  atomic_init(&notice->references, 1);
  return notice;
}

void *notice_hold(struct notice *notice, size_t size) {
  if (notice == NULL) return NULL;
  void *holder = calloc(1, size);
  if (holder == NULL) notice_close(notice);
  return holder;
}

static void release(struct notice *notice) {
  if (atomic_fetch_sub(&notice->references, 1) == 1) free(notice);
}

/* On the worker's thread. */
static void on_letter(void *argument) {
  struct notice *notice = argument;
  atomic_store(&notice->is_posted, false);
  if (notice->task != NULL) task_wake(notice->task);
  release(notice);
}

void notice_send(void *argument) {
  struct notice *notice = argument;
  if (atomic_exchange(&notice->is_posted, true)) return;
  atomic_fetch_add(&notice->references, 1);
  if (worker_post_letter(notice->worker, &notice->letter, on_letter, notice) != 0) release(notice);
}

static void on_due(struct timer *timer) {
  struct notice *notice = (struct notice *)timer;
  task_wake(notice->task);
}

int notice_after(struct notice *notice, uint64_t delay_ns) {
  return timer_start(worker_timers(notice->worker), &notice->timer, delay_ns, on_due);
}

void notice_close(struct notice *notice) {
  timer_stop(worker_timers(notice->worker), &notice->timer);
  notice->task = NULL;
  release(notice);
}
