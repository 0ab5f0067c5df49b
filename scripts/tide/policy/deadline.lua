-- Bounds a call in time. The deadline is an instant, handed down to whatever the call
-- does; here it is enforced, by cancelling all of it.

local task = require "tide.task"
local time = require "tide.time"
local errors = require "tide.errors"
local script = require "tide.script"

local M = {}


local function timed_out(call)
  local allowed = math.max(0, call.deadline - call.started)
  return script.locate(call, errors.new("timeout", string.format("%s did not finish in the %d ms that it had",
    call.label, math.floor(allowed * 1000 + 0.5)), { policy = "deadline", deadline = true }))
end


-- The attempt and the request that were under way end here.
local function close_attempt(call, err)
  local attempts = call.work.attempts
  local attempt = attempts[#attempts]
  if attempt == nil or attempt.ended then
    return
  end
  attempt.ended = time.monotonic()
  attempt.error = err
  for _, request in ipairs(attempt.requests) do
    if request.ended == nil then
      request.ended = attempt.ended
      request.error = "timeout"
    end
  end
end


-- The task ended without returning: the worker's memory ran out and it was the one that had
-- taken most, or the framework failed.
local function stopped(call, value, kind)
  if kind == "cancelled" then
    kind = "out_of_memory"
  end
  if kind == nil then
    error(value, 0)
  end
  return script.error_of(call, value, kind)
end


function M.wrap(next)
  return function(call)
    local remaining = call.deadline - time.monotonic()
    if remaining <= 0 then
      return nil, timed_out(call)
    end
    local ok, data, err = task.timeout(remaining, next, call)
    if ok then
      return data, err
    end
    local failure = ok == nil and timed_out(call) or stopped(call, data, err)
    close_attempt(call, failure)
    return nil, failure
  end
end


return M
