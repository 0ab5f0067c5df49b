-- The inbox: the events of a verified request become rows, in one commit, each once.

local store = require "tide.store"
local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"
local alerts = require "tide.alerts"
local errors = require "tide.errors"
local clean_headers = require "tide.webhook.clean_headers"
local events = require "tide.webhook.events"
local payloads = require "tide.webhook.payload"

local M = {}

-- Bytes of the columns.
local TYPE_MAX, TEXT_MAX = 100, 255


-- Storing -----------------------------------------------------------------------------------------


local function cut(text, length)
  if text == nil or #text <= length then
    return text
  end
  -- Not in the middle of a character.
  local at = utf8.offset(text, 0, length + 1)
  return text:sub(1, (at or length + 1) - 1)
end


-- Valid UTF-8 for the columns that are text, whatever a sender writes.
local function clean(text, length)
  if text == nil then
    return nil
  end
  if not utf8.len(text) or text:find("\0", 1, true) then
    text = text:gsub("[\0\128-\255]", "?")
  end
  return cut(text, length)
end


-- What is decided of an event when it comes: its state, and why.
local function settle(row, definition, item, now)
  local handler = definition:handler(item.type)
  if handler == false then
    row.status, row.processed_at, row.next_attempt_at = "completed", now, nil
  elseif handler == nil and item.type ~= "" then
    row.status, row.processed_at, row.next_attempt_at = "failed", now, nil
    row.error_type = "not_found"
    row.error_message = ("there is no handler for events of type %q"):format(clean(item.type, TYPE_MAX))
  end
  return handler
end


local function new_row(receipt, item, shared)
  local definition = receipt.definition
  local body = item.body or receipt.request.body
  local row = {
    id = uuid.v7(), created_at = shared.now, integration_name = definition.integration.name,
    source = definition.source ~= "" and definition.source or nil,
    event_type = clean(item.type, TYPE_MAX), event_id = clean(item.id, TEXT_MAX),
    ordering_key = clean(item.key, TEXT_MAX),
    status = "pending", next_attempt_at = shared.now, attempts = 0,
    signature = shared.signature, signature_verified = definition.scheme.name ~= "none",
    trace_id = receipt.trace_id, content_type = shared.content_type, headers = shared.headers_text,
    provider_version = definition.integration.version,
    payload = (item.body or receipt.is_json) and body or nil, body = store.blob(body),
    key = definition:dedupe_key(item, receipt.request.body), expires_at = shared.expires_at,
    poisoned = definition.integration.values.webhook_poisoned_key,
  }
  if row.event_id == nil then
    row.event_id = row.key:match("sha256:(.*)$")
  end
  return row
end


-- The events of a receipt: what is stored of each, and what its handler sees. Whatever cannot be read
-- is one event without a type, which fails when it is processed and says why.
local function read_events(receipt)
  local definition, request = receipt.definition, receipt.request
  local payload, is_json, fault = payloads.decode(request.body, request.headers["content-type"],
    definition.members)
  receipt.payload, receipt.is_json = payload, is_json
  local items
  if not fault then
    items = definition:extract(receipt.call, payload, request.headers)
  end
  if not items then
    receipt.is_broken = true
    items = { { type = "", payload = payload } }
  end
  return items
end


local function shared_of(receipt)
  local definition, request = receipt.definition, receipt.request
  local now = time.now()
  local name = definition.scheme.signature_header
  local shared = {
    now = time.format(now), at = now,
    expires_at = time.format(now + definition.integration.values.webhook_dedupe_seconds),
    signature = name and clean(request.headers[name], TEXT_MAX),
    content_type = clean(request.headers["content-type"], TEXT_MAX),
  }
  shared.headers = clean_headers.of(request.headers, definition)
  shared.headers_text = assert(json.encode(shared.headers))
  return shared
end


-- What a handler sees of an event that need not be read from the store.
local function event_of(receipt, item, row, shared)
  return {
    id = row.id, type = item.type, payload = receipt.definition.members == nil and item.payload or nil, body = item.body or receipt.request.body,
    headers = shared.headers, source = receipt.definition.source, received_at = row.created_at, received = shared.at,
    event_id = row.event_id, trace_id = row.trace_id, ordering_key = row.ordering_key, attempt = 1, retry_count = 0,
    content_type = row.content_type,
  }
end


local function find_original(row)
  local rows = store.query(events.FIND_KEY, row.integration_name, row.key)
  return rows and rows[1] and rows[1].event_row_id or row.id
end


-- Commits the rows: their ids, and which of them were known already; nil and an error.
local function commit(definition, rows)
  local statements = {}
  for index, row in ipairs(rows) do
    statements[2 * index - 1], statements[2 * index] = events.insert_statements(row)
  end
  local results, message, code = store.transaction(statements)
  if not results then
    return nil, errors.new(code == "overloaded" and code or "unavailable", "the event could not be stored: " .. message,
      { integration = definition.integration.name })
  end
  for index, row in ipairs(rows) do
    row.is_duplicate = results[2 * index].changes == 0
    if row.is_duplicate then
      row.original = find_original(row)
    end
  end
  return true
end


-- Failed for good in the moment that they came.
local function raise_alerts(rows)
  for _, row in ipairs(rows) do
    if row.status == "failed" and not row.is_duplicate then
      alerts.raise("webhook_failed", "warning", row.integration_name, row.error_message, { event = row.id })
    end
  end
end


-- An event may be claimed in the commit that stores it, if the lane has room.
local function reserve(lane, row, event)
  if row.status == "pending" and row.ordering_key == nil and lane:has_room(event) then
    row.status, row.attempts, row.next_attempt_at = "processing", 1, nil
    lane:reserve(event)
    return event
  end
  return nil
end


-- Gives the lane what was stored: events that are claimed, or the news that there are some to claim.
local function hand_over(lane, rows, reserved, is_stored)
  for index, row in ipairs(rows) do
    local event = reserved[index]
    if event then
      if is_stored and not row.is_duplicate then
        lane:push(event)
      else
        lane:drop(event)
      end
    elseif is_stored and row.status == "pending" and not row.is_duplicate then
      lane:note_pending()
    end
  end
end


-- Stores the events of a verified request; the rows, nil and an error. `lane` may be nil: then
-- others are told.
function M.store(receipt, lane)
  local definition = receipt.definition
  local items, shared = read_events(receipt), shared_of(receipt)
  local rows, reserved = {}, {}
  for index, item in ipairs(items) do
    local row = new_row(receipt, item, shared)
    if not receipt.is_broken then
      settle(row, definition, item, shared.now)
    end
    rows[index] = row
    reserved[index] = reserve(lane, row, event_of(receipt, item, row, shared))
  end
  if #rows == 0 then
    return rows
  end
  local done, err = commit(definition, rows)
  hand_over(lane, rows, reserved, done)
  if not done then
    return nil, err
  end
  raise_alerts(rows)
  return rows
end


-- The events of a receipt as a handler would get them, for who has no store (specs).
function M.events(receipt)
  local shared, list = shared_of(receipt), {}
  for index, item in ipairs(read_events(receipt)) do
    list[index] = event_of(receipt, item, new_row(receipt, item, shared), shared)
    list[index].key = receipt.definition:dedupe_key(item, receipt.request.body)
    list[index].is_broken = receipt.is_broken
  end
  return list
end


return M
