---@meta tide.task

--- Tasks: structured concurrency on the worker's loop (framework; scripts see it as
--- `ctx.all`, `ctx.sleep`). A task is a coroutine and a struct; whatever waits suspends
--- the task, never the worker. A task's children are cancelled when it ends.
local task = {}

---@class Task
local Task = {}

--- Starts `fn(...)` as a child of the running task.
---@return Task
function task.spawn(fn, ...) end

--- Starts `fn(...)` as a task of its own, which outlives the one that starts it.
---@return Task
function task.detach(fn, ...) end

--- Waits for the end. `true, results...`, or `false, error, kind`: error is what was raised,
--- kind nil, "script_timeout", "out_of_memory" or "cancelled".
---@return boolean ok, any ...
function Task:join() end

--- Cancels the task: its pending operations are closed, its `<close>` variables run.
--- Also `__close`. No effect on one that has ended.
function Task:cancel() end

---@return "ready"|"running"|"waiting"|"done"
function Task:status() end

--- Suspends the task for `seconds` (virtual time under a frozen clock).
---@param seconds number
function task.sleep(seconds) end

--- Lets every other ready task run first.
function task.yield() end

--- The running task.
---@return Task
function task.current() end

--- Suspends the task until another calls `unpark` with it. May return early: look again at
--- what you wait for, in a loop.
function task.park() end

---@param waiting Task
function task.unpark(waiting) end

--- Runs `fn(...)` as a child, at most `seconds`. `true, results...`; `false, error` when it
--- raised; `nil, "timeout"` when the time was up and the child was cancelled.
---@return boolean|nil ok, any ...
function task.timeout(seconds, fn, ...) end

--- The same on the real clock, also while the worker's is frozen (the limit of a spec).
---@return boolean|nil ok, any ...
function task.real_timeout(seconds, fn, ...) end

--- Runs `fn(...)` protected: `true, results...`, or `false, error, kind, traceback`, where
--- kind is nil, "script_timeout" or "out_of_memory". The budget (CPU between two waits)
--- is renewed after a failure of these two kinds, so that the caller can go on; the
--- sandbox's `pcall` cannot do that. The framework alone may call it.
---@return boolean ok, any ...
function task.guard(fn, ...) end

--- Sets the CPU budget between two waits for the running task and the children it starts
--- from now on. nil: no budget.
---@param milliseconds? integer
---@param label? string what the log names when it overruns, e.g. "acme.track"
function task.budget(milliseconds, label) end

--- Runs `fn(...)` as a child within a CPU budget (as `budget`): `true, results...`, or `false, error,
--- kind, traceback` as of `guard`. The caller goes on also when the child is the one that is cancelled as the
--- worker has no memory left: then `kind` is "out_of_memory".
---@param milliseconds integer
---@param label string
---@return boolean ok, any ...
function task.bounded(milliseconds, label, fn, ...) end

--- Starts `fn(...)` as a task of its own that is to go on: when it raises, or is cancelled for want of memory,
--- the log says so and it is begun again a second later. It ends when `fn` returns or it is cancelled.
---@param what string what the log calls it
---@return Task
function task.keep(what, fn, ...) end

--- Runs each function of `list`, at most `limit` at a time, and returns their first
--- results in order. If one raises, its siblings are cancelled and the error is raised.
---@param list (fun(): any)[]
---@param options? { limit?: integer } limit 8
---@return any[]
function task.all(list, options) end

--- The first to return wins; its results are returned, the others are cancelled.
---@param list (fun(): any)[]
function task.race(list) end

--- Numbers of this worker: what lives now, and how many scripts it has stopped for CPU time and
--- for memory.
---@return { live_operations: integer, tasks: integer, ready: integer, memory_bytes: integer, time_stops: integer, memory_stops: integer }
function task.stats() end

return task
