-- Step 4 of a call: `max_concurrency`, a slot that is waited for like a token. A call inside
-- another of the same integration runs in the slot of the outermost.

local time = require "tide.time"
local errors = require "tide.errors"
local script = require "tide.script"

local M = {}


local function wait_of(call)
  if call.background then
    return 0
  end
  return math.max(0, math.min(call.settings.rate_limit_max_wait_seconds, call.deadline - time.monotonic()))
end


local function overloaded(call, retry_after)
  return script.locate(call, errors.new("overloaded", string.format("%d calls of %s run already (max_concurrency)",
    call.settings.max_concurrency, call.integration.name),
    { policy = "concurrency", retry_after = math.max(1, math.ceil(retry_after or 1)) }))
end


function M.wrap(next)
  return function(call)
    if call.settings.max_concurrency == nil or call.holder ~= call then
      return next(call)
    end
    local slot <close>, retry_after = call.cells.slots:enter(wait_of(call))
    if slot == nil then
      return nil, overloaded(call, retry_after)
    end
    return next(call)
  end
end


return M
