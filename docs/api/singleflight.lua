---@meta tide.state.singleflight

--- One computation per key over all workers of the process (framework).
local flight = {}

--- If nobody computes `key`: runs `fn()`, hands its string result (or failure) to all who
--- wait, and returns it. Otherwise waits for it. `true, bytes, shared` or `false, message, code`.
--- If the leader is cancelled the first waiter becomes leader and runs its own `fn`.
---@param key string
---@param fn fun(): string
---@return boolean ok, string bytes_or_message, boolean|string? shared_or_code
function flight.run(key, fn) end

return flight
