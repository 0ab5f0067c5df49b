---@meta tide.state.bucket

--- Limiters: a token bucket for the minute, one for the hour and one line of those who wait; one
--- cell for each name, shared by all workers (framework). A request takes one token of both
--- buckets or of neither, in arrival order. Time is the worker's clock.
---
---     local granted, seconds, reason = limiter:take(30)
---     if not granted then return nil, "rate_limited", seconds end
local bucket = {}

---@class LimiterSettings
---@field per_minute? integer nil: no such limit; 0: nothing passes
---@field per_hour? integer
---@field burst? integer size of the minute's bucket; the minute's rate when left out
---@field queue? integer how many may wait at a time, default 1,000

---@class LimiterState
---@field minute? number tokens; nil without such a limit
---@field hour? number
---@field waiting integer
---@field pause_seconds number what is left of a pause
---@field estimate_seconds number the wait that a `take` would have now
---@field granted integer ever, as are refused and waited
---@field refused integer
---@field waited integer

--- The cell of a name, the same in every worker; new ones are full and without limits. Raises
--- beyond 4,096 names in the life of a process.
---@param name string 1 to 127 bytes
---@return Limiter
function bucket.limiter(name) end

--- Waits until some limiter is paused, and returns its name; each once, however often it was
--- paused since. One task of the process may wait.
---@return string name
function bucket.next_pause() end


---@class Limiter
local Limiter = {}

--- Keeps the tokens, cut to a smaller size; a bucket that had no limit begins full. Who waits and
--- would now wait too long is refused.
---@param settings LimiterSettings
function Limiter:configure(settings) end

--- Takes the tokens of one request, waiting for them in arrival order. Refused at once when the
--- wait would be longer than `max_wait_seconds`, or when too many wait. Cancelled, it costs nothing.
---@param max_wait_seconds number
---@return boolean granted, number seconds waited, or when to come again (above 0)
---@return "rate"|"pause"|"queue"|nil reason
function Limiter:take(max_wait_seconds) end

--- Takes them if they are there, nobody waits and nothing is paused.
---@return boolean
function Limiter:try() end

--- One token of each goes back: nothing was sent.
function Limiter:give_back() end

--- No token before `seconds` from now, rounded up to milliseconds; the longest pause wins.
---@param seconds number
---@param max_seconds number more is not believed
---@return number seconds what is left of the pause
function Limiter:pause(seconds, max_seconds) end

---@return LimiterState
function Limiter:state() end

--- What survives a restart; nil when nothing was taken or paused since the last time.
---@return string|nil
function Limiter:save() end

--- To be called on a limiter that is configured: without limits there are no tokens to restore. A
--- longer pause that is on stays.
---@param text string what `save` gave
---@param elapsed_seconds number since then
function Limiter:restore(text, elapsed_seconds) end

return bucket
