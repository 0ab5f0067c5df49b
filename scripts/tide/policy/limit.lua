-- Step 6 of a call: one token of the minute's bucket and one of the hour's for each request to
-- the third party, waited for in arrival order; and pauses that the third party asks for.

local log = require "tide.log"
local time = require "tide.time"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local script = require "tide.script"

local M = {}

-- Reset times above these are instants, in seconds or milliseconds since 1970, and not spans.
local INSTANT_MIN = 1e9
local INSTANT_MS_MIN = 1e11

local WHY = {
  rate = "its calls per minute or hour are used up",
  pause = "it asked to be left alone",
  queue = "too many requests wait already",
  background = "no token is free",
}

counters.describe("rate_limited_total", "counter", "Requests to third parties that a limit refused.")


local function series_of(cells, name)
  if cells.rate_limited == nil then
    cells.rate_limited = counters.counter("rate_limited_total", string.format('integration="%s"', name))
  end
  return cells.rate_limited
end


local function refuse(call, retry_after, reason)
  local name = call.integration.name
  local seconds = math.max(1, math.ceil(retry_after))
  if not call.background then
    series_of(call.cells, name):add(1)
    call.statistics:count("rate_limited")
    log.warn("rate limit reached", {
      integration = name, operation = call.operation.name, trace_id = call.trace_id, reason = reason,
      retry_after = seconds, caller = call.caller,
    })
  end
  local message = string.format("the limit of %s is reached: %s", name, WHY[reason])
  error(script.locate(call, errors.new("rate_limited", message, { policy = "limit", retry_after = seconds })), 0)
end


-- Takes the tokens of one request and returns the seconds that it waited; raises `rate_limited`.
function M.take(call)
  local limiter = call.cells.limiter
  if call.background then
    if limiter:try() then
      return 0
    end
    refuse(call, limiter:state().estimate_seconds, "background")
  end
  local wait = math.min(call.settings.rate_limit_max_wait_seconds, call.deadline - time.monotonic())
  local granted, seconds, reason = limiter:take(math.max(0, wait))
  if not granted then
    refuse(call, seconds, reason)
  end
  return seconds
end


-- Nothing was sent.
function M.give_back(call)
  call.cells.limiter:give_back()
end


local function seconds_of(text)
  local value = tonumber(text and text:match("^%s*(%d+%.?%d*)%s*$"))
  if value and value >= INSTANT_MS_MIN then
    value = value / 1000
  end
  if value and value >= INSTANT_MIN then
    return math.max(0, value - time.now())
  end
  return value
end


-- What remains and the seconds until more does, of the headers `RateLimit` (both forms of the
-- IETF's drafts), `RateLimit-*` and `X-RateLimit-*`.
local function budget_of(headers)
  local combined = headers["ratelimit"]
  if combined then
    local remaining = combined:match("remaining=(%d+)") or combined:match(";%s*r=(%d+)")
    local reset = combined:match("reset=(%d+)") or combined:match(";%s*t=(%d+)")
    return tonumber(remaining), seconds_of(reset)
  end
  for _, prefix in ipairs({ "ratelimit-", "x-ratelimit-" }) do
    local remaining = headers[prefix .. "remaining"]
    if remaining then
      return tonumber(remaining:match("^%s*(%d+)")), seconds_of(headers[prefix .. "reset"])
    end
  end
end


-- Pauses all callers when the answer says when the next request will be taken.
function M.learn(call, response, retry_after)
  local status = response.status
  local seconds = (status == 429 or status == 503) and retry_after or nil
  local remaining, reset = budget_of(response.headers)
  if remaining == 0 and reset then
    seconds = math.max(seconds or 0, reset)
  end
  if seconds and seconds > 0 then
    call.cells.limiter:pause(seconds, call.settings.rate_limit_pause_max_seconds)
  end
end


return M
