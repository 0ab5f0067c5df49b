-- The inbox: the events of a verified request become rows, in one commit, each once.

local store = require "tide.store"
local task = require "tide.task"
local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"
local alerts = require "tide.alerts"
local errors = require "tide.errors"
local script = require "tide.script"
local clean_headers = require "tide.webhook.clean_headers"
local column_text = require "tide.webhook.column_text"
local ending = require "tide.webhook.ending"
local events = require "tide.webhook.events"
local payloads = require "tide.webhook.payload"

local M = {}

-- What the bodies of an envelope's events are, whatever the envelope is.
local ENVELOPED = "application/json"


-- What is decided of an event when it comes: its state, and why.
local function settle(row, definition, item, now)
  local handler = definition:handler(item.type)
  if handler == false then
    row.status, row.processed_at, row.next_attempt_at = "completed", now, nil
  elseif handler == nil and item.type ~= "" then
    row.status, row.processed_at, row.next_attempt_at = "failed", now, nil
    row.error_type = "not_found"
    row.error_message = ("there is no handler for events of type %q"):format(item.type)
  end
end


-- What is stored of one event, besides what it shares with the others of its request.
local function new_row(receipt, item, shared)
  local body = item.body or receipt.request.body
  local key = receipt.definition:dedupe_key(item, receipt.request.body)
  return {
    id = uuid.v7(), event_type = item.type,
    event_id = column_text.of(item.id) or key:match("sha256:(.*)$"),
    ordering_key = item.key ~= "" and column_text.of(item.key) or nil,
    status = "pending", next_attempt_at = shared.created_at, attempts = 0,
    payload = (item.body or receipt.is_json) and body or nil, body = store.blob(body), key = key,
  }
end


-- Whose the functions of a provider are that read a request.
function M.call_of(receipt)
  local definition = receipt.definition
  receipt.call = receipt.call or script.context(receipt.generation, definition.integration, definition.label,
    receipt.trace_id)
  return receipt.call
end


-- The events of a receipt: what is stored of each, and what its handler sees. Whatever cannot be read
-- is one event without a type, which fails when it is processed and says why.
local function read_events(receipt)
  local definition, request = receipt.definition, receipt.request
  local payload, is_json, fault = payloads.decode(request.body, request.headers["content-type"], definition.members)
  receipt.is_json = is_json
  local items
  if not fault then
    items = definition:extract(definition.is_scripted and M.call_of(receipt), payload, request.headers)
  end
  if not items then
    receipt.is_broken = true
    items = { { type = "", payload = payload } }
  end
  return items
end


-- What all events of a request have in common.
local function shared_of(receipt, items)
  local definition, request = receipt.definition, receipt.request
  local integration, signed = definition.integration, definition.scheme.signature_header
  local now = time.now()
  local headers = clean_headers.of(request.headers, definition)
  return {
    at = now, created_at = time.format(now), expires_at = time.format(now + integration.values.webhook_dedupe_seconds),
    integration_name = integration.name, source = definition.source ~= "" and definition.source or nil,
    signature = signed and column_text.of(headers[signed]),
    signature_verified = definition.scheme.name ~= "none", trace_id = receipt.trace_id,
    content_type = items[1] and items[1].body and ENVELOPED or column_text.of(request.headers["content-type"]),
    provider_version = integration.version,
    headers = headers, headers_text = assert(json.encode(headers)),
    poisoned = integration.values.webhook_poisoned_key,
  }
end


local function copy(headers)
  local copied = {}
  for name, value in next, headers do
    copied[name] = value
  end
  return clean_headers.open(copied)
end


-- What a handler sees of an event that need not be read from the store. Of a payload of which only some
-- members were read, nothing; nor of an envelope's, as its events share nothing that a handler could change.
local function event_of(receipt, item, row, shared)
  local definition = receipt.definition
  return {
    id = row.id, type = item.type, payload = not definition.members and not item.body and item.payload or nil,
    body = item.body or receipt.request.body, headers = item.body and copy(shared.headers) or shared.headers,
    source = definition.source, received_at = shared.created_at, received = shared.at, event_id = row.event_id,
    trace_id = shared.trace_id, ordering_key = row.ordering_key, attempt = 1, retry_count = 0,
    content_type = shared.content_type,
  }
end


local function find_original(integration, row)
  local rows = store.query(events.FIND_KEY, integration, row.key)
  return rows and rows[1] and rows[1].event_row_id or row.id
end


-- Commits the rows: their ids, and which of them were known already; nil and an error.
local function commit(rows, shared)
  local statements = {}
  for index, row in ipairs(rows) do
    statements[2 * index - 1], statements[2 * index] = events.insert_statements(row, shared)
  end
  local results, message, code = store.transaction(statements)
  if not results then
    return nil, errors.new(code == "overloaded" and code or "unavailable", "the event could not be stored: " .. message,
      { integration = shared.integration_name })
  end
  for index, row in ipairs(rows) do
    row.is_duplicate = results[2 * index].changes == 0
    if row.is_duplicate then
      row.original = find_original(shared.integration_name, row)
    end
  end
  return true
end


-- Failed for good in the moment that they came.
local function raise_alerts(integration, rows)
  for _, row in ipairs(rows) do
    if row.status == "failed" and not row.is_duplicate then
      alerts.raise("webhook_failed", "warning", integration, row.error_message, { event = row.id })
    end
  end
end


-- An event may be claimed in the commit that stores it, if the lane has room: the event, or nil.
local function reserve(lane, receipt, item, row, shared)
  local size = #(item.body or receipt.request.body)
  if row.status ~= "pending" or row.ordering_key ~= nil or not lane:has_room(size) then
    return nil
  end
  row.status, row.attempts, row.next_attempt_at = "processing", 1, nil
  local event = event_of(receipt, item, row, shared)
  lane:reserve(event)
  return event
end


-- Gives the lane what was stored: events that are claimed, or the news that there are some to claim.
local function hand_over(lane, rows, reserved)
  for index, row in ipairs(rows) do
    local event = reserved[index]
    if event and row.is_duplicate then
      lane:drop(event)
    elseif event then
      lane:push(event)
    elseif row.status == "pending" and not row.is_duplicate then
      lane:note_pending()
    end
  end
end


-- The commit has failed, or nobody saw what became of it: it may have happened all the same.
local function give_back(lane, rows, reserved)
  for index in pairs(rows) do
    if reserved[index] then
      task.detach(ending.give_back, lane, reserved[index])
    end
  end
  lane:note_pending()
end


-- Sees to it that what a lane has reserved is not forgotten, however the storing ends.
local function watch(lane, rows, reserved)
  return setmetatable({ is_stored = false }, { __close = function(guard)
    local finish = guard.is_stored and hand_over or give_back
    finish(lane, rows, reserved)
  end })
end


-- Stores the events of a verified request; the rows, nil and an error. `lane` runs those of the
-- integration in this worker.
function M.store(receipt, lane)
  local items = read_events(receipt)
  local shared, rows, reserved = shared_of(receipt, items), {}, {}
  if #items == 0 then
    return rows
  end
  local guard <close> = watch(lane, rows, reserved)
  for index, item in ipairs(items) do
    local row = new_row(receipt, item, shared)
    if not receipt.is_broken then
      settle(row, receipt.definition, item, shared.created_at)
    end
    rows[index] = row
    reserved[index] = reserve(lane, receipt, item, row, shared)
  end
  local done, err = commit(rows, shared)
  if not done then
    return nil, err
  end
  guard.is_stored = true
  raise_alerts(shared.integration_name, rows)
  return rows
end


-- The events of a receipt as a handler would get them, for who has no store (specs).
function M.events(receipt)
  local items, list = read_events(receipt), {}
  local shared = shared_of(receipt, items)
  for index, item in ipairs(items) do
    list[index] = event_of(receipt, item, new_row(receipt, item, shared), shared)
    list[index].key = receipt.definition:dedupe_key(item, receipt.request.body)
    list[index].is_broken = receipt.is_broken
  end
  return list
end


return M
