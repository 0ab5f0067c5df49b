---@meta tide.state.statistics

--- What came of the calls of each integration: totals by outcome, durations and what happened on
--- the way (framework). The numbers only rise; each worker writes to a cell of its own, and a
--- snapshot is the sum of all of them. Two snapshots give what happened in between.
---
---     local before = statistics.snapshot("acme")
---     …
---     local window = statistics.snapshot("acme"):since(before)
---     local p99 = window:quantile(0.99)
local statistics = {}

---@alias statistics.Outcome "ok"|"cached"|"stale"|"fallback"|string what the caller got, or the code of the error
---@alias statistics.Event "cache_hit"|"cache_miss"|"rate_limited"|"breaker_opened"|"timeout"

---@class CallCell
local CallCell = {}
--- One call that has ended. Raises for an unknown outcome.
---@param outcome statistics.Outcome
---@param seconds number finite; below a microsecond and above an hour the percentiles are those of the limits
function CallCell:record(outcome, seconds) end
--- Something that the outcome of a call does not say. "rate_limited": refused by our own limits,
--- whatever the caller got instead; "breaker_opened": the breaker changed to open; "timeout": one
--- that another answer hid (those with the outcome "timeout" count anyway).
---@param event statistics.Event
function CallCell:count(event) end

---@class CallNumbers
---@field total integer
---@field successful integer "ok", "cached", "stale" and "fallback"
---@field failed integer all others
---@field cached integer "cached" and "stale"
---@field timeouts integer
---@field rate_limited integer
---@field breaker_opened integer
---@field cache_hits integer
---@field cache_misses integer
---@field avg_ms? number nil without calls, as is max_ms
---@field max_ms? number exact, but within 1 % after `since` if a longer one came before
---@field by_outcome table<string, integer> those above 0

---@class CallSnapshot
local CallSnapshot = {}
--- What happened after `older`, a snapshot of the same name.
---@param older CallSnapshot
---@return CallSnapshot
function CallSnapshot:since(older) end
---@return CallNumbers
function CallSnapshot:get() end
--- The duration of rank ceil(q * total), within 1 %; nil without calls.
---@param q number 0 to 1
---@return number|nil seconds
function CallSnapshot:quantile(q) end

--- The cell of this worker for an integration; made once, kept. At most 4,096 names; further ones
--- share the name "*" (not kept, see `refused`).
---@param name string 1 to 63 bytes
---@return CallCell
function statistics.cell(name) end

--- The sum of all workers' cells; of an unknown name, all 0.
---@param name string
---@return CallSnapshot
function statistics.snapshot(name) end

--- Every name that has cells, sorted.
---@return string[]
function statistics.names() end

--- How often a name was refused cells of its own.
---@return integer
function statistics.refused() end

return statistics
