-- One run of an event: finds its handler, runs it through the policies of a handler, and says what
-- becomes of the event.

local crypto = require "tide.crypto"
local json = require "tide.json"
local log = require "tide.log"
local time = require "tide.time"
local call = require "tide.call"
local errors = require "tide.errors"
local messages = require "tide.message"
local redact = require "tide.redact"
local script = require "tide.script"
local payloads = require "tide.webhook.payload"

local M = {}

local RUNS_KEPT = 20
local TRACEBACK_BYTES = 4096
local SPREAD = 0.2
-- The longest wait that can be configured; a handler cannot ask for more.
local ASKED_MAX_SECONDS = 604800


local function failed_for_good(code, message)
  return errors.new(code, message, { retryable = false })
end


-- The handler of an event: a function, false, or nil and an error that no further run would change.
local function find_handler(definition, event)
  local handler = definition:handler(event.type)
  if handler ~= nil then
    return handler
  end
  if event.type == "" then
    local from = definition.type_field
    return nil, failed_for_good("not_found", ("the event has no type%s, and there is no handler \"*\""):format(
      from and (": its payload has no field %q"):format(from) or ""))
  end
  return nil, failed_for_good("not_found", ("there is no handler for events of type %q"):format(event.type))
end


-- An event that could not be read when it came is read again: the provider may be another by now.
-- nil and the error when it cannot be read now either.
local function read_again(generation, definition, event)
  local payload, _, fault = payloads.decode(event.body, event.content_type)
  if fault then
    return nil, failed_for_good("invalid_input", fault)
  end
  local context = script.context(generation, definition.integration, definition.label, event.trace_id)
  local items, err = definition:extract(context, payload, event.headers)
  if not items then
    err.retryable = false
    return nil, err
  end
  if #items ~= 1 then
    return nil, failed_for_good("invalid_input", ("the request holds %d events; let its sender send it again"):format(
      #items))
  end
  event.type, event.payload, event.is_read = items[1].type, items[1].payload, true
  return true
end


-- Whether a body without a type is one event of an envelope, and no request that could not be read: that is
-- known by its bytes.
local function is_enveloped(definition, event)
  return definition.is_envelope and event.event_id ~= nil
    and event.event_id ~= crypto.hex(crypto.digest("sha256", event.body))
end


-- Makes sure of type and payload.
local function read(generation, definition, event)
  if event.type == "" and not is_enveloped(definition, event) then
    return read_again(generation, definition, event)
  end
  if event.payload == nil and not event.is_read then
    local payload, _, fault = payloads.decode(event.body, event.content_type)
    event.payload = payload
    if fault then
      return nil, failed_for_good("invalid_input", fault)
    end
    event.is_read = true
  end
  return true
end


-- What a handler gets: its own, to do with as it likes.
local function input_of(event)
  return {
    id = event.id, type = event.type, payload = event.payload, body = event.body, headers = event.headers,
    source = event.source, received_at = event.received_at, attempt = event.attempt, event_id = event.event_id,
    ordering_key = event.ordering_key,
  }
end


-- What is told of an error: a script may have written anything into it.
local function sound(err)
  err = errors.from(err)
  err.message = messages.clean(err.message)
  err.traceback = type(err.traceback) == "string" and err.traceback or nil
  return err
end


-- Runs an event once. `{ result (JSON or nil), transaction_result, err, started, duration_ms }`.
function M.run(generation, definition, event)
  local outcome = { started = time.now() }
  local begun = time.monotonic()
  local ready, err = read(generation, definition, event)
  local handler
  if ready then
    handler, err = find_handler(definition, event)
  end
  if handler then
    outcome.result, err, outcome.transaction_result = call.handle(generation, definition, event, handler,
      input_of(event))
  end
  outcome.err = err and sound(err)
  outcome.duration_ms = math.floor((time.monotonic() - begun) * 1000 + 0.5)
  return outcome
end


-- Deciding ----------------------------------------------------------------------------------------


-- Seconds until the next run of an event that has failed, nil when there is none.
function M.delay(values, event, err)
  if err.retryable == false then
    return nil
  end
  local planned = values.webhook_retry_seconds[(event.retry_count or 0) + 1]
  if planned == nil then
    return nil
  end
  local asked = tonumber(err.retry_after)
  if asked and asked >= 0 then
    return math.min(asked, ASKED_MAX_SECONDS)
  end
  return planned * (1 - SPREAD + 2 * SPREAD * math.random())
end


-- The runs that failed so far and this one, as JSON.
function M.attempt_log(event, outcome)
  local runs = event.attempt_log and json.decode(event.attempt_log) or json.array()
  local err = outcome.err
  runs[#runs + 1] = {
    number = event.attempt, started_at = time.format(outcome.started), duration_ms = outcome.duration_ms,
    error_type = err.code, error_message = redact.text(err.message),
    traceback = err.traceback and redact.text(messages.clean(err.traceback, TRACEBACK_BYTES)),
  }
  while #runs > RUNS_KEPT do
    table.remove(runs, 1)
  end
  return assert(json.encode(json.is_array(runs) and runs or json.array(runs)))
end


function M.log_failure(integration, event, err, delay)
  local words = delay and "a webhook event failed and is tried again" or "a webhook event failed for good"
  log[delay and "warn" or "error"](words, {
    integration = integration, source = event.source ~= "" and event.source or nil, event = event.id,
    event_type = event.type, attempt = event.attempt, trace_id = event.trace_id, error_type = err.code,
    error = redact.text(err.message), wait_seconds = delay,
  })
end


return M
