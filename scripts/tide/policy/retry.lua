-- Attempts: again after a failure that may pass, as long as repeating does no harm and
-- the deadline leaves room for the wait.

local task = require "tide.task"
local time = require "tide.time"
local log = require "tide.log"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local breaker = require "tide.policy.breaker"

local M = {}

counters.describe("retries_total", "counter", "Attempts after the first, by integration.")


-- Whether running once more could do something twice. `call.effects` counts the requests
-- that may have taken effect; those that were refused, or never sent, are not in it.
function M.may_run_again(call)
  local operation = call.operation
  if operation.idempotent == nil then
    return call.effects == 0 or operation.cacheable
  end
  return operation.idempotent or call.effects == 0
end


function M.may_retry(call, err)
  if err.inner or err.deadline then
    return false
  end
  return errors.may_retry(err, true) and M.may_run_again(call)
end


-- Seconds to wait after attempt `n` failed: exponential, spread, and never earlier than
-- the upstream asked for.
function M.delay(settings, n, err)
  local delay = math.min(settings.retry_max_delay_seconds, settings.retry_backoff_factor ^ (n - 1))
  delay = delay * (0.5 + math.random() / 2)
  return math.max(delay, err.retry_after or 0)
end


local function open_attempt(call, waited)
  local attempt = {
    number = #call.attempts + 1,
    started = time.monotonic(),
    started_at = time.now(),
    waited = waited,
    requests = {},
  }
  call.attempts[attempt.number] = attempt
  return attempt
end


local function note(call, n, err, delay)
  call.retries:add(1)
  log.info("attempt failed, trying again", {
    integration = call.integration.name,
    operation = call.operation.name,
    trace_id = call.trace_id,
    attempt = n,
    error_type = err.code,
    error = err.message,
    wait_seconds = delay,
  })
end


-- The error of the call whose attempt `n` ended with `err`: when a policy refused a further
-- attempt, what went wrong before says more.
local function refused_again(call, n, err)
  if n > 1 and err.policy == "breaker" then
    return call.attempts[n - 1].error
  end
  return err
end


function M.wrap(next, operation)
  local retries = counters.counter("retries_total", string.format('integration="%s"', operation.integration.name))

  return function(call)
    local last = 1 + call.settings.max_retries
    local waited = 0
    call.retries = retries
    for n = 1, last do
      local attempt = open_attempt(call, waited)
      local encoded, err = next(call)
      attempt.ended = time.monotonic()
      if err == nil then
        return encoded
      end
      attempt.error = err
      if n == last or not M.may_retry(call, err) then
        return nil, refused_again(call, n, err)
      end
      waited = M.delay(call.settings, n, err)
      if time.monotonic() + waited >= call.deadline then
        return nil, err
      end
      note(call, n, err, waited)
      breaker.release(call)
      task.sleep(waited)
    end
  end
end


return M
