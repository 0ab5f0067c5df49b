/* tide.host: the process, as docs/api/host.lua describes it. */
#ifndef TIDEGATE_BIND_HOST_H
#define TIDEGATE_BIND_HOST_H

struct lua_State;

int luaopen_tide_host(struct lua_State *L);

/* A lua_CFunction: the main worker's first task. Runs tide.cli with the arguments of the
 * command line and makes its result the exit code. */
int host_main(struct lua_State *L);

#endif
