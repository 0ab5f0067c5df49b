/* tide.engine.task: see docs/api/task.lua. */
#ifndef TIDEGATE_BIND_TASK_H
#define TIDEGATE_BIND_TASK_H

struct lua_State;
struct task;

int luaopen_tide_engine_task(struct lua_State *L);
/* The task of a handle at `index`; raises when it is none. */
struct task *bind_task_check(struct lua_State *L, int index);

#endif
