---@meta tide.state.breaker

--- Circuit breakers: one cell for each name, shared by all workers (framework).
---
--- Closed, every permit is granted. Open, none is, until `timeout_seconds` are over: then it is
--- half-open and grants `half_open_calls` permits at a time. So many successes close it, one
--- failure opens it anew. A permit of a half-open breaker is a probe's lease with a deadline: one
--- that does not come back by then is a failure, so a breaker sticks in no state. Verdicts of permits that
--- were taken before the last change of state are dropped. Time is the worker's clock
--- (`tide.time`); a cell takes no step back in time.
---
---     local permit, retry_after = cell:permit(timeout + 5)
---     if not permit then return nil, "open", retry_after end
---     local guard <close> = permit      -- given back without a verdict, unless there is one
---     local done = send()
---     permit[done and "success" or "failure"](permit, seconds)
local breaker = {}

---@alias breaker.State "closed"|"open"|"half_open"

--- "auto"; "open": refuses everything; "closed": grants everything and only counts; "observe":
--- the state changes and is shown as it would be in "auto", but nothing is refused.
---@alias breaker.Mode "auto"|"open"|"closed"|"observe"

---@class BreakerSettings
---@field enabled? boolean default true; false grants everything, unless an operator holds it open
---@field failure_threshold? integer failures in a row that open it, default 5
---@field timeout_seconds? number open before it is half-open, default 60
---@field half_open_calls? integer probes at a time, and successes that close it: default 1, at most 1,000
---@field window_seconds? number sliding window of the rates; none unless it is given
---@field failure_rate? number above 0 to 1: the share of failures, or of slow calls, that opens it; weighs from 10 verdicts in the window on
---@field slow_call_ms? number longer is slow; none unless it is given

---@class BreakerInfo
---@field state breaker.State
---@field mode breaker.Mode
---@field consecutive_failures integer
---@field calls integer verdicts in the window, as are failures and slow
---@field failures integer
---@field slow integer
---@field opened_at? number seconds since 1970: when it last opened
---@field retry_after? number seconds, while a permit would be refused
---@field probes_out integer leases that are out
---@field opened_total integer how often it opened
---@field refused_total integer

--- The cell of a name, the same in every worker; new ones are closed, in mode "auto" and with the
--- default settings. Raises beyond 4,096 names in the life of a process.
---@param name string 1 to 127 bytes without a zero byte
---@return BreakerCell
function breaker.cell(name) end

--- Waits for the next change of state or mode of any cell. One task of the process may wait; it
--- raises for a second one. Beyond 1,024 changes that nobody took, further ones are dropped.
---@return { name: string, from: breaker.State, to: breaker.State, mode: breaker.Mode, reason: string, at: number } change `from` and `to` are equal when only the mode changed; `at` in seconds since 1970
function breaker.next_change() end

--- How many changes were dropped.
---@return integer
function breaker.dropped() end


---@class BreakerCell
local BreakerCell = {}

--- What is counted, the state and the mode stay; another window forgets the old one's counts, and
--- `enabled = false` closes it.
---@param settings BreakerSettings
function BreakerCell:configure(settings) end

--- The state, and for how long a permit would be refused. Takes no lock while it is closed.
---@return breaker.State state, number|nil retry_after_seconds
function BreakerCell:state() end

--- Whether a permit would be refused now, for how long, and the state. Takes nothing.
---@return boolean blocks, number|nil retry_after_seconds, breaker.State state
function BreakerCell:blocks() end

--- The right to send, or nil and the seconds after which it makes sense to ask again. The lease
--- matters for a probe only.
---@param lease_seconds number above 0
---@return BreakerPermit|nil permit, number|nil retry_after_seconds
function BreakerCell:permit(lease_seconds) end

--- "auto" always closes it and forgets what was counted; "closed" closes, "open" opens it;
--- "observe" goes on from the state that it is in.
---@param mode breaker.Mode
function BreakerCell:set_mode(mode) end

---@return breaker.Mode
function BreakerCell:mode() end

---@return BreakerInfo
function BreakerCell:info() end

--- What survives a restart.
---@return { state: breaker.State, mode: breaker.Mode, consecutive_failures: integer, opened_ago_seconds: number? }
function BreakerCell:save() end

--- What `save` gave, so many seconds ago. It is open for what is left of `timeout_seconds`, as they
--- are configured now or later; half-open, it waits for new probes. No change is told of.
---@param saved table unknown words in it are taken for "closed" and "auto"
---@param elapsed_seconds? number by the wall clock
function BreakerCell:restore(saved, elapsed_seconds) end


--- The first verdict counts; later ones, and a release after one, have no effect. Dropped or closed
--- (`<close>`), it is released.
---@class BreakerPermit
local BreakerPermit = {}

--- The third party answered as one that lives.
---@param duration_seconds? number for the rate of slow calls
function BreakerPermit:success(duration_seconds) end

---@param duration_seconds? number
function BreakerPermit:failure(duration_seconds) end

--- Gives it back without a verdict.
function BreakerPermit:release() end

--- Moves the deadline of a probe's lease to so many seconds from now, never to an earlier time.
---@param lease_seconds number above 0
function BreakerPermit:extend(lease_seconds) end

return breaker
