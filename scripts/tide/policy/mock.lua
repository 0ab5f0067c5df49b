-- Mock mode: the provider's `mock` in place of its `run`, with the configured delay and
-- error rate. Everything around it stays real.

local task = require "tide.task"
local time = require "tide.time"
local errors = require "tide.errors"
local script = require "tide.script"
local view = require "tide.view"
local run = require "tide.policy.run"
local breaker = require "tide.policy.breaker"
local limit = require "tide.policy.limit"

local M = {}

local SIMULATED = "simulated failure (mock_error_rate)"
-- What the third party's answer would have been.
local STATUSES = { upstream_error = 503, rate_limited = 429, upstream_auth = 401, not_found = 404, rejected = 422 }
local RETRY_AFTER_SECONDS = 1


-- Whether every member of `pattern` is in `value`.
local function includes(value, pattern)
  if type(pattern) ~= "table" then
    return value == pattern
  end
  if type(value) ~= "table" then
    return false
  end
  for key, item in pairs(pattern) do
    if not includes(value[key], item) then
      return false
    end
  end
  return true
end


-- The configured answer: the first of `mock_responses[operation]` whose `input` is part of
-- the call's.
local function configured(call)
  local responses = call.settings.mock_responses
  local list = responses and responses[call.operation.name]
  for _, response in ipairs(list or {}) do
    if includes(call.input, response.input or {}) then
      return response
    end
  end
end


local function from_response(response)
  return function()
    if response.error then
      error(errors.new(response.error.code or "upstream_error", response.error.message or "simulated failure"), 0)
    end
    return view.copy(response.data)
  end
end


local function simulated_failure(call)
  local rate = call.settings.mock_error_rate or 0
  if rate <= 0 or math.random() >= rate then
    return nil
  end
  local codes = call.settings.mock_error_codes
  local code = codes[math.random(#codes)] or "upstream_error"
  return script.locate(call, errors.new(code, SIMULATED, {
    status = STATUSES[code],
    retry_after = code == "rate_limited" and RETRY_AFTER_SECONDS or nil,
  }))
end


local function answer(call, mock)
  local delay = call.settings.mock_delay_ms or 0
  if delay > 0 then
    task.sleep(delay / 1000)
  end
  local failure = simulated_failure(call)
  if failure then
    return nil, failure
  end
  local response = configured(call)
  if response then
    return run.invoke(call, from_response(response))
  end
  if mock == nil then
    return nil, script.locate(call, errors.new("not_configured",
      call.label .. " has no mock: give the operation one, or set mock_responses"))
  end
  return run.invoke(call, mock)
end


-- Takes a token and the permit, as a request would, from cells of its own; an error when refused.
local function admit(call, attempt)
  local ok, err = pcall(function()
    attempt.token_wait = limit.take(call)
    breaker.admit(call, call.settings.timeout_seconds)
  end)
  if ok then
    return nil
  end
  if not errors.is(err) then
    error(err, 0)
  end
  return err
end


function M.wrap(next, operation)
  local mock = operation.definition.mock
  local url = string.format("mock://%s/%s", operation.integration.name, operation.name)

  return function(call)
    if not call.mock then
      return next(call)
    end
    local attempt = call.attempts[#call.attempts]
    local refused = admit(call, attempt)
    if refused then
      return nil, refused
    end
    local request = { method = "MOCK", url = url, started = time.monotonic(), started_at = time.now() }
    attempt.requests[1] = request
    local encoded, err = answer(call, mock)
    request.ended = time.monotonic()
    request.error = err and err.code
    call.exchange = { method = "MOCK", url = url, request_value = call.input, response_body = encoded }
    return encoded, err
  end
end


return M
