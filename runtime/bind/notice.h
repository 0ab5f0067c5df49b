/* A notice to a task from another thread. It travels through the mailbox of the task's worker, one
 * at a time, so that it lives until the last has arrived: it is counted. */
#ifndef TIDEGATE_BIND_NOTICE_H
#define TIDEGATE_BIND_NOTICE_H

#include <lua.h>

struct notice;

/* For the running task of `L`. NULL without memory. */
struct notice *notice_new(lua_State *L);
/* Wakes the task; any thread, under any lock. `argument` is the notice. */
void notice_send(void *argument);
/* The task wants no more of them. On its worker's thread. */
void notice_close(struct notice *notice);

#endif
