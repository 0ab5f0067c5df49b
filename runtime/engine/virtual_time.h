/* Moving a worker's frozen clock on, for specs. Inside engine/. */
#ifndef TIDEGATE_ENGINE_VIRTUAL_TIME_H
#define TIDEGATE_ENGINE_VIRTUAL_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wake.h"

struct task;
struct worker;

struct virtual_time {
  bool moving;
  bool endless;
  uint64_t target_ns;
  struct task *until; /* a reference */
  wake_fn wake;
  void *argument;
  int quiet_turns; /* of the loop, in a row, in which nothing happened */
};

/* Once a turn of the loop, after the ready tasks ran. */
void virtual_time_turn(struct worker *worker);

#endif
