-- What the circuit breaker hears of a call: the outcome of its last attempt, once. Around the
-- attempts, so that the permit ends however they do.

local time = require "tide.time"
local errors = require "tide.errors"
local breaker = require "tide.policy.breaker"

local M = {}

-- Answers that a working upstream gives.
local ALIVE = { not_found = true, rejected = true, conflict = true, invalid_input = true }


-- How long the third party took in the last attempt.
local function duration_of(call)
  local attempt = call.attempts[#call.attempts]
  local seconds = 0
  for _, request in ipairs(attempt and attempt.requests or {}) do
    seconds = seconds + ((request.ended or time.monotonic()) - request.started)
  end
  return seconds
end


local function is_failure(err)
  return errors.codes[err.code].breaker and not err.inner and not err.deadline
end


-- The verdict of a call that has ended. A failure inside a shared permit is the inner call's;
-- a success is the outermost's to give.
local function judge(call, err)
  local holder = call.holder
  local permit = holder.permit
  if not permit then
    return
  end
  if err and is_failure(err) then
    holder.permit = nil
    permit:failure(duration_of(call))
  elseif holder == call and (err == nil or ALIVE[err.code] and not err.inner) then
    holder.permit = nil
    permit:success(duration_of(call))
  else
    breaker.release(call)
  end
end


-- A call that is cut off at its own total is one that failed if an attempt before had failed; the
-- shorter deadline of a caller says nothing.
local function is_worn_out(call)
  if time.monotonic() - call.started < call.settings.total_timeout_seconds then
    return false
  end
  for _, attempt in ipairs(call.attempts) do
    if attempt.error and is_failure(attempt.error) then
      return true
    end
  end
  return false
end


-- Cancelled in the middle.
local LEFT = {
  __close = function(self)
    local call = self.call
    if call.holder == call and call.permit and is_worn_out(call) then
      call.permit:failure(duration_of(call))
      call.permit = nil
    end
    breaker.release(call)
  end,
}


function M.wrap(next)
  return function(call)
    local ending <close> = setmetatable({ call = call }, LEFT)
    local encoded, err = next(call)
    judge(call, err)
    return encoded, err
  end
end


return M
