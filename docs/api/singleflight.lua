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

return flight
