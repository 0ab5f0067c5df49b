/* A notice to a task, from another thread or from the clock of its worker. From another thread it
 * travels through the worker's mailbox, one at a time, so that it lives until the last has arrived:
 * it is counted. */
#ifndef TIDEGATE_BIND_NOTICE_H
#define TIDEGATE_BIND_NOTICE_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

struct notice;

/* For the running task of `L`. NULL without memory. */
struct notice *notice_new(lua_State *L);
/* Memory for what holds the notice, or NULL with the notice closed; for one that may be NULL. */
void *notice_hold(struct notice *notice, size_t size);
/* Wakes the task; any thread, under any lock. `argument` is the notice. */
void notice_send(void *argument);
/* Wakes the task after so long; a further call moves that. -1 without memory. On its worker's
 * thread. */
int notice_after(struct notice *notice, uint64_t delay_ns);
/* The task wants no more of them. On its worker's thread. */
void notice_close(struct notice *notice);

#endif
