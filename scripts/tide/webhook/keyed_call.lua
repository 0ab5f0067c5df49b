-- A handler's call of an operation that may not run again: made once for the event, however often the
-- handler runs. Its key is the operation and its input; a later run gets the first one's answer.

local crypto = require "tide.crypto"
local json = require "tide.json"
local errors = require "tide.errors"
local idempotency = require "tide.idempotency"
local retry = require "tide.policy.retry"

local M = {}

local CANONICAL = { canonical = true }
-- What is kept outlives the last run: its waits, spread and rounded up, and the runs between them.
local SLACK, SLACK_SECONDS = 1.5, 86400


-- Whether `call` is a handler's, and what it calls needs a key.
function M.is_needed(call, integration, operation)
  if not call.event or call.mock then
    return false
  end
  local called = call.generation.integrations[integration]
  called = called and called.provider and called.operations[operation]
  if not called then
    return false
  end
  if called.idempotent == nil then
    return not called.cacheable
  end
  return not called.idempotent
end


local function keep_seconds(call)
  local seconds = 0
  for _, wait in ipairs(call.settings.webhook_retry_seconds) do
    seconds = seconds + wait + call.settings.webhook_timeout_seconds
  end
  return seconds * SLACK + SLACK_SECONDS
end


local function problem_answer(err)
  local problem = errors.problem(err)
  return { status = problem.status, body = assert(json.encode(problem)) }
end


local function request_of(call, integration, operation)
  return {
    generation = call.generation, integration = integration, operation = operation,
    scope = "event:" .. call.event.id, trace_id = call.trace_id, keep_seconds = keep_seconds(call),
    problem = problem_answer, forgets_repeatable = true,
  }
end


-- The first run's answer: its result, or nil and its error.
local function replayed(answer)
  local kept = assert(json.decode(answer.body))
  if answer.status < 400 then
    return { json = assert(json.encode(kept.data)), meta = kept.meta }
  end
  return nil, errors.new(kept.code, kept.detail, { errors = kept.errors, status = kept.upstream_status })
end


-- As `call.run`: the result or nil and the error, and the call that was made, nil when none was.
function M.run(call, integration, operation, input, options)
  local text, message = json.encode(input, CANONICAL)
  if not text then
    return nil, errors.new("invalid_input", message, { pointer = "#" })
  end
  local result, err, inner
  options.idempotency_key = crypto.hex(crypto.digest("sha256", text))
  local once = call.generation.once or idempotency.run -- specs have no store
  local answer, refused = once(request_of(call, integration, operation), input, options,
    function(given, with)
      -- The key is this event's: to the operation it is a call like any other.
      with.idempotency_key = ("%s-%s"):format(call.event.id, with.idempotency_key:sub(1, 32))
      result, err, inner = call.run(call.generation, integration, operation, given, with)
      if not result then
        return nil, err
      end
      return { status = 200, body = '{"data":' .. result.json .. ',"meta":' .. assert(json.encode(result.meta)) .. "}",
        repeatable = retry.may_run_again(inner.work) }
    end)
  if inner then
    return result, err, inner
  end
  if answer then
    return replayed(answer)
  end
  return nil, refused
end


return M
