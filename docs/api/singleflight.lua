---@meta tide.state.singleflight

--- One computation per key over all workers of the process (framework).
local flight = {}

--- If nobody computes `key`: runs `fn()` and hands what it returns to all who wait: a string,
--- or `nil, message, code` for a failure. Otherwise waits for that. `true, bytes, shared` or
--- `false, message, code`; beyond 10,000 keys, or 10,000 who wait for one, "overloaded".
---
--- If the leader is cancelled, or `fn` raises, the first waiter becomes leader and runs its own
--- `fn`; what was raised is the leader's alone. `fn` must not ask for the same key.
---@param key string at most 256 bytes
---@param fn fun(): string|nil, string?, string?
---@return boolean ok, string bytes_or_message, boolean|string? shared_or_code
function flight.run(key, fn) end

--- The same, but all who ask only wait, the first too: `fn(flight)` runs in a task of its own in
--- the first one's worker, without a budget until it sets one (task.budget), and its end is nobody's
--- but its own. A waiter leaves by being cancelled, which is its caller's to do at its deadline. The
--- others get the result all the same; when the last has left, the flight's task is cancelled, and
--- whoever asks then begins a flight of its own.
---
--- `true, bytes, shared` or `false, message, code`. `fn` raises: its error as text, "internal". The
--- flight's task was cancelled: "internal". It cannot start, or a bound as above is reached:
--- "overloaded".
---
--- Keys of `share` and of `run` are apart. `fn` must not ask for the same key, in no worker: it
--- would wait for itself.
---@param key string at most 256 bytes
---@param deadline number of this waiter, in seconds of tide.time.monotonic
---@param fn fun(flight: Flight): string|nil, string?, string?
---@return boolean ok, string bytes_or_message, boolean|string? shared_or_code
function flight.share(key, deadline, fn) end

--- The flights that somebody is in: that waits, or that still computes.
---@return integer
function flight.count() end

--- What `fn` is given. Raises once it has ended.
---@class Flight
local Flight = {}

--- The latest deadline of all who have ever waited; it only rises.
---@return number
function Flight:deadline() end

--- How many wait now.
---@return integer
function Flight:waiters() end

return flight
