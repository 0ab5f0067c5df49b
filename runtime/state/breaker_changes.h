/* Changes of breakers that wait for whoever logs and keeps them: a bounded queue for one listener.
 *
 * Thread-safe. */
#ifndef TIDEGATE_STATE_BREAKER_CHANGES_H
#define TIDEGATE_STATE_BREAKER_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "state/breaker.h"

#define BREAKER_CHANGES_MAX 1024 /* beyond them the newest is dropped and counted */

struct breaker_change {
  char name[NAME_TABLE_NAME_MAX + 1];
  enum breaker_state from, to; /* the same when only the mode changed */
  enum breaker_mode mode;
  enum breaker_reason reason;
  uint64_t at_ns; /* the cell's time */
};

struct breaker_changes;

struct breaker_changes *breaker_changes_new(void);
void breaker_changes_free(struct breaker_changes *changes);

void breaker_changes_add(struct breaker_changes *changes, const struct breaker_change *change);
/* The oldest that nobody has taken. False when there is none. */
bool breaker_changes_take(struct breaker_changes *changes, struct breaker_change *change);
/* `notify(argument)` is called from any thread, with locks held, when a change was added: it must
 * only post. False when somebody listens already. */
bool breaker_changes_listen(struct breaker_changes *changes, void (*notify)(void *),
                            void *argument);
/* After it has returned, the listener is not called any more. */
void breaker_changes_leave(struct breaker_changes *changes);
uint64_t breaker_changes_dropped(struct breaker_changes *changes);

#endif
