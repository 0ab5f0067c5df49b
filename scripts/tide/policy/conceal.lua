-- Step 7 of a call: a failure of the third party, or of the script, is answered with what was
-- kept, else by the operation's `fallback`. `meta` and the row say so.

local task = require "tide.task"
local log = require "tide.log"
local redact = require "tide.redact"
local run = require "tide.policy.run"
local cache = require "tide.policy.cache"

local M = {}

-- A fallback may not wait; the time-out bounds what tries to.
local FALLBACK_SECONDS = 1

local CONCEALED = {
  circuit_open = true, rate_limited = true, overloaded = true, upstream_auth = true, upstream_error = true,
  network_error = true, timeout = true, script_error = true, script_timeout = true, out_of_memory = true,
}


-- What the fallback makes of it: encoded, or nil.
local function ask(call, fallback, err)
  local function answer(ctx, input)
    local data = fallback(ctx, input, err)
    if data == nil then
      error(err, 0)
    end
    return data
  end
  local ok, encoded, failure = task.timeout(FALLBACK_SECONDS, run.invoke, call, answer, "fallback")
  if ok and encoded ~= nil then
    return encoded
  end
  if failure ~= err then
    log.warn("the fallback failed too", {
      integration = call.integration.name, operation = call.operation.name, trace_id = call.trace_id,
      error = redact.text(type(failure) == "table" and failure.message or tostring(failure or "it waited")),
    })
  end
end


function M.wrap(next, operation)
  local fallback = operation.definition.fallback
  if fallback == nil and not operation.cacheable then
    return next
  end

  return function(call)
    local encoded, err = next(call)
    if err == nil or call.background or not CONCEALED[err.code] then
      return encoded, err
    end
    local kept = operation.cacheable and cache.kept(call)
    if kept then
      call.concealed = err
      return kept
    end
    local instead = fallback and ask(call, fallback, err)
    if instead then
      call.fallback = true
      call.concealed = err
      return instead
    end
    return nil, err
  end
end


return M
