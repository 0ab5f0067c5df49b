-- `acme.webhook(source, payload)` of specs: a request signed as its sender would, received, and each
-- event in it run once. What the store does in a service, a table does here.

local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"
local secrets = require "tide.secrets"
local inbox = require "tide.webhook.inbox"
local process = require "tide.webhook.process"
local receive = require "tide.webhook.receive"
local sender = require "tide.webhook.sender"

local M = {}

local OPTIONS = {
  headers = "table", secrets = "table", attempt = "number", type = "string", content_type = "string", now = "number",
  method = "string",
}


local function check_options(options)
  for name, value in pairs(options) do
    if OPTIONS[name] == nil or type(value) ~= OPTIONS[name] then
      error(("webhook: there is no option %s that is a %s"):format(tostring(name), type(value)), 0)
    end
  end
end


-- What the scheme signs with: the secrets of the spec, or those that the options name.
local function signing_secrets(definition, given)
  local values = {}
  for field, name in pairs(definition.scheme.secret_names) do
    local value = given and given[name] or secrets.value(definition.integration, name)
    values[field] = value
  end
  return values
end


-- A request as the server would hand it over.
local function request_of(signed, method)
  local by_name = {}
  for name, value in pairs(signed.headers) do
    by_name[name:lower()] = value
  end
  local target = signed.url:match("^%a+://[^/]+(.*)$")
  return {
    method = method, target = target, path = target:match("^[^?]*"), query = target:match("%?(.*)$"),
    body = signed.body, peer = "127.0.0.1:50000",
    header = function(_, name) return by_name[name] end,
    header_table = function() return by_name end,
  }
end


local function shown(event)
  return {
    id = event.id, type = event.type, event_id = event.event_id, payload = event.payload,
    ordering_key = event.ordering_key, attempts = 0, status = "pending",
  }
end


-- How an event stands after a run, as GET /api/v1/events/{id} would show it.
local function note(record, event, outcome, values)
  record.attempts = event.attempt
  record.type, record.payload = event.type, event.payload
  local err = outcome.err
  if not err then
    record.status = "completed"
    record.processing_result = outcome.result and json.decode(outcome.result)
    return
  end
  record.error_type, record.error_message, record.error = err.code, err.message, err
  record.retry_after = process.delay(values, event, err)
  record.status = record.retry_after and "pending" or "failed"
end


-- An event that is sent again because a run failed is the same one.
local function keep_id(runtime, event)
  event.id = runtime.event_ids[event.key] or event.id
  runtime.event_ids[event.key] = event.id
end


local function run_event(runtime, definition, event, attempt)
  keep_id(runtime, event)
  local record = shown(event)
  if runtime.seen[event.key] then
    record.status, record.duplicate = runtime.seen[event.key].status, true
    return record
  end
  runtime.seen[event.key] = record
  event.attempt = attempt or 1
  event.retry_count = event.attempt - 1
  note(record, event, process.run(runtime.generation, definition, event), definition.integration.values)
  if record.status ~= "completed" then
    -- It is not done: sent again, it runs again.
    runtime.seen[event.key] = nil
  end
  return record
end


-- Sends `payload` (a table, or the body as text) to `source` ("" or nil for the only one): the event as
-- it stands after one run, with the answer's `response`; `events` when the request held several. A
-- request that is refused raises its error. Options: headers, secrets (by name, instead of the spec's:
-- for schemes with two keys the private one), attempt, type, content_type, now, method.
function M.send(runtime, source, payload, options)
  options = options or {}
  check_options(options)
  local definition, err = receive.find(runtime.generation, runtime.name, source or "")
  if not definition then
    error(err, 0)
  end
  local body = type(payload) == "string" and payload or assert(json.encode(payload))
  local signed = sender.request(definition, body, signing_secrets(definition, options.secrets), {
    headers = options.headers, type = options.type, content_type = options.content_type,
    now = options.now or time.now(),
  })
  local request = request_of(signed, options.method or "POST")
  local receipt
  receipt, err = receive.open(runtime.generation, definition,
    receive.signed_request(runtime.generation.config, definition, request), uuid.trace_id(), request.peer)
  if not receipt then
    error(err, 0)
  end
  if receipt.answer then
    return { response = receipt.answer }
  end
  local records = {}
  for index, event in ipairs(inbox.events(receipt)) do
    records[index] = run_event(runtime, definition, event, options.attempt)
  end
  if definition.is_envelope then
    return { events = records, response = { status = 200 } }
  end
  records[1].response = definition.respond or { status = 200 }
  return records[1]
end


return M
