/* The part of tide.host that starts and stops the workers: see docs/api/host.lua. */
#ifndef TIDEGATE_BIND_HOST_WORKERS_H
#define TIDEGATE_BIND_HOST_WORKERS_H

struct lua_State;

/* Adds the functions to the table on top of the stack. */
void host_workers_register(struct lua_State *L);

#endif
