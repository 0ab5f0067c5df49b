/* The thread that notices a script which does not give its worker back.
 *
 * A worker says when it enters and leaves Lua; that costs two stores. While any worker is in
 * Lua the watchdog looks every few milliseconds at the CPU time (not the wall time: a
 * descheduled worker is not late) of each slice. When a slice has used up its share, it
 * signals the worker's thread, whose handler sets the hook that yields or stops the script
 * (see budget.h). A tight loop runs at full speed until then: a permanent count hook would
 * more than double its time. */
#ifndef TIDEGATE_ENGINE_WATCHDOG_H
#define TIDEGATE_ENGINE_WATCHDOG_H

#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define WATCHDOG_WORKERS_MAX 257
#define WATCHDOG_TICK_NS 5000000
#define WATCHDOG_SLICE_NS 10000000
#define WATCHDOG_PAUSE_NS_MAX 160000000

struct watchdog;

/* One per worker. The atomics are written by the worker and read by the watchdog, but for
 * `first_cpu_ns`, which goes the other way. */
struct watchdog_cell {
  _Atomic(lua_State *) running;  /* NULL: not in Lua */
  _Atomic uint32_t slice;        /* counts up at each entry */
  _Atomic uint64_t first_cpu_ns; /* CPU clock when the present slice was first seen */
  pthread_t thread;
  clockid_t cpu_clock;
  lua_Hook hook; /* set by the signal's handler */
  void (*on_stuck)(lua_State *running, double seconds);
  uint32_t seen_slice; /* the watchdog's own, as the next */
  uint64_t seen_ns;    /* for how long it has seen that slice */
  uint64_t pause_ns; /* of the worker's CPU time, from its last signal in that slice to the next */
  uint64_t signal_at_ns;
  struct watchdog *watchdog;
};

/* Installs the handler of WATCHDOG_SIGNAL and starts the thread; NULL when that fails. */
struct watchdog *watchdog_new(void);
/* All workers have left. */
void watchdog_free(struct watchdog *watchdog);

/* A worker that stays in one slice for so long (of real time, in which the watchdog ran as well)
 * is stuck: its `on_stuck` is called, on the watchdog's thread. 0: never. Any thread. */
void watchdog_set_stuck_seconds(struct watchdog *watchdog, double seconds);

/* Registers the calling thread; -1 when WATCHDOG_WORKERS_MAX are there. */
int watchdog_register(struct watchdog *watchdog, struct watchdog_cell *cell, lua_Hook hook,
                      void (*on_stuck)(lua_State *running, double seconds));
void watchdog_unregister(struct watchdog_cell *cell);

/* The thread of the cell is about to run, and has run, Lua on `L`. */
void watchdog_enter(struct watchdog_cell *cell, lua_State *L);
void watchdog_leave(struct watchdog_cell *cell);
/* Between the two: from here on `L` runs, in the same slice. */
void watchdog_switch(struct watchdog_cell *cell, lua_State *L);

#endif
