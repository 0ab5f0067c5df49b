-- Step 2 of a call: the circuit breaker. Before a run its state is only read. The permit is taken
-- when the first request is about to leave; policy/verdict.lua ends it. A call inside another of
-- the same integration shares the permit of the outermost.

local time = require "tide.time"
local errors = require "tide.errors"
local script = require "tide.script"

local M = {}

-- A request that is given up by its own time-out comes back within this of it.
local LEASE_MARGIN_SECONDS = 5


-- The state of a breaker as it is shown outside.
function M.info(cell)
  local info = cell:info()
  info.opened_at = info.opened_at and time.format(info.opened_at)
  return info
end


local function why_of(call)
  if call.cells.breaker:mode() == "open" then
    return "held open by an operator"
  end
  if call.circuit_breaker_state == "half_open" then
    return "half-open, and a probe is under way"
  end
  return "open: it failed too often"
end


local function circuit_open(call, retry_after)
  call.circuit_breaker_state = call.cells.breaker:state()
  return script.locate(call, errors.new("circuit_open",
    string.format("the circuit breaker of %s is %s", call.integration.name, why_of(call)),
    { policy = "breaker", retry_after = retry_after and math.max(1, math.ceil(retry_after)) }))
end


-- Called with each request that is about to leave: takes the permit unless the call, or the
-- one around it, has it. Raises `circuit_open`.
function M.admit(call, timeout_seconds)
  local holder = call.holder
  local lease = timeout_seconds + LEASE_MARGIN_SECONDS
  if holder.permit then
    holder.permit:extend(lease)
    return
  end
  local permit, retry_after = call.cells.breaker:permit(lease)
  if permit == nil then
    error(circuit_open(call, retry_after), 0)
  end
  holder.permit = permit
end


-- Gives the permit back without a verdict.
function M.release(call)
  local permit = call.permit
  if permit and call.holder == call then
    call.permit = nil
    permit:release()
  end
end


-- Refuses while the breaker is open. Whoever has a permit already is let through.
function M.wrap(next)
  return function(call)
    local blocks, retry_after, state = call.cells.breaker:blocks()
    call.circuit_breaker_state = state
    if blocks and not call.holder.permit then
      return nil, circuit_open(call, retry_after)
    end
    return next(call)
  end
end


return M
