/* tide.engine.sandbox: what scripts get in place of the base library's protected calls.
 *
 * pcall and xpcall raise again once the task was stopped (see engine/budget.h), and start no
 * handler then; setmetatable refuses __gc, as hooks are off while finalizers run. `string` and
 * `table` hold bounded functions of these libraries (bind/pattern.h, bind/sandbox_table.h). */
#ifndef TIDEGATE_BIND_SANDBOX_H
#define TIDEGATE_BIND_SANDBOX_H

struct lua_State;

int luaopen_tide_engine_sandbox(struct lua_State *L);

#endif
