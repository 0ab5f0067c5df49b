-- Step 8 of a call, always: one row in integration_call_logs, the metrics, a log line for
-- a failure. Outermost, so that nothing that happens to a call goes unrecorded.

local task = require "tide.task"
local time = require "tide.time"
local log = require "tide.log"
local uuid = require "tide.uuid"
local store = require "tide.store"
local counters = require "tide.state.counters"
local statistics = require "tide.state.statistics"
local errors = require "tide.errors"
local redact = require "tide.redact"
local script = require "tide.script"
local record_row = require "tide.policy.record_row"

local M = {}

-- Failures of the caller's making, and refusals that the operator asked for, are no news.
local QUIET = { invalid_input = true, not_found = true, rejected = true, conflict = true, disabled = true }

counters.describe("calls_total", "counter", "Calls, by outcome: ok, cached, stale, fallback, or the code of the error.")
counters.describe("call_duration_seconds", "histogram", "Duration of calls, waits included.")


local function is_wanted(call, err)
  local wanted = call.settings.log_calls
  if wanted == "failed" then
    return err ~= nil
  end
  return wanted ~= "uncached" or not call.from_cache
end


-- Queues a row; where a spec looks on, it gets the row by column instead.
local function write(generation, ...)
  if generation.capture then
    return generation.capture(record_row.named(...))
  end
  store.enqueue(record_row.INSERT, ...)
end


local function write_row(call, err)
  if not is_wanted(call, err) then
    return
  end
  write(call.generation, record_row.parameters(record_row.build(call, err, uuid.v7(), time.now())))
end


local function write_log(call, err)
  log[QUIET[err.code] and "debug" or "warn"]("call failed", {
    integration = call.integration.name,
    operation = call.operation.name,
    trace_id = call.trace_id,
    error_type = err.code,
    error = redact.text(err.message),
    upstream_status = err.status,
    attempts = #call.work.attempts,
    duration_ms = call.duration_ms,
    mock = call.mock,
    caller = call.caller,
    where = err.where,
  })
end


local function outcome_of(call, err)
  if err then
    return err.code
  end
  return call.fallback and "fallback" or call.stale and "stale" or call.from_cache and "cached" or "ok"
end


local function record(call, series, err)
  call.on_close = nil
  local seconds = time.monotonic() - call.started
  call.duration_ms = math.floor(seconds * 1000 + 0.5)
  series.outcome(outcome_of(call, err)):add(1)
  series.duration:observe(seconds)
  series.statistics:record(err and err.code or "ok", seconds)
  write_row(call, err)
  if err then
    write_log(call, err)
  end
  if call.debug then
    call.trace = record_row.attempts(call, err)
  end
end


-- Recording must not make a call fail that has succeeded.
local function record_safely(call, series, err)
  local ok, problem = pcall(record, call, series, err)
  if not ok then
    log.error("a call could not be recorded", { trace_id = call.trace_id, error = tostring(problem) })
  end
end


local function series_of(operation)
  local labels = string.format('integration="%s",operation="%s"', operation.integration.name, operation.name)
  local outcomes = {}
  return {
    duration = counters.histogram("call_duration_seconds", labels),
    statistics = statistics.cell(operation.integration.name),
    outcome = function(outcome)
      local counter = outcomes[outcome]
      if counter == nil then
        counter = counters.counter("calls_total", string.format('%s,outcome="%s"', labels, outcome))
        outcomes[outcome] = counter
      end
      return counter
    end,
  }
end


function M.wrap(next, operation)
  local series = series_of(operation)
  series.cached = series.outcome("cached")
  operation.series = series

  -- The call's task was cancelled: by the call around it, or by the service's end.
  local function on_close(call)
    local code = time.monotonic() >= call.deadline and "timeout" or "cancelled"
    record_safely(call, series, script.locate(call, errors.new(code, call.label .. " was cancelled")))
  end

  return function(call)
    call.on_close = on_close
    local ok, data, err, traceback = task.guard(next, call)
    if not ok then
      log.error("internal error in a call", { trace_id = call.trace_id, error = tostring(data), traceback = traceback })
      data, err = nil, script.locate(call, errors.new("internal", "internal error"))
    end
    record_safely(call, series, err)
    return data, err
  end
end


return M
