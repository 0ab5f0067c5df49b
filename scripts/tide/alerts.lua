-- Alerts: what somebody should look at. Of one kind and integration one is open at a time; raised
-- again it counts, says the newest, and is unacknowledged again.

local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local time = require "tide.time"
local uuid = require "tide.uuid"
local counters = require "tide.state.counters"
local message = require "tide.message"
local redact = require "tide.redact"

local M = {}

local KIND_BYTES_MAX = 50
local MESSAGE_BYTES_MAX = 2048
local DETAILS_BYTES_MAX = 65536
local SEVERITIES = { info = true, warning = true, critical = true }

local RAISE = "INSERT INTO alerts (id, created_at, updated_at, kind, severity, integration_name, message, details) "
  .. "VALUES ($1, $2, $2, $3, $4, $5, $6, $7) "
  .. "ON CONFLICT (kind, COALESCE(integration_name, '')) WHERE resolved_at IS NULL DO UPDATE SET "
  .. "occurrences = alerts.occurrences + 1, updated_at = excluded.updated_at, severity = excluded.severity, "
  .. "message = excluded.message, details = excluded.details, acknowledged_at = NULL, acknowledged_by = NULL"
local RESOLVE = "UPDATE alerts SET resolved_at = $1, updated_at = $1 "
  .. "WHERE kind = $2 AND COALESCE(integration_name, '') = COALESCE($3, '') AND resolved_at IS NULL "
  .. "AND updated_at <= $4"

counters.describe("alerts_total", "counter", "Alerts raised, by kind.")


local function check(kind, severity)
  if type(kind) ~= "string" or not kind:match("^[%l%d_]+$") or #kind > KIND_BYTES_MAX then
    error("the kind of an alert is a word such as webhook_failed", 3)
  end
  if not SEVERITIES[severity] then
    error("the severity of an alert is info, warning or critical", 3)
  end
end


-- Half a secret would not be recognised: redacted first, then cut.
local function clean(words)
  return message.clean(redact.text(words), MESSAGE_BYTES_MAX)
end


local function encoded(details)
  if details == nil then
    return nil
  end
  local text = json.encode(redact.value(details))
  return text and #text <= DETAILS_BYTES_MAX and text or nil
end


--- The statement that raises an alert, for a transaction; after its commit comes `tell`.
---@param kind string a word
---@param severity "info"|"warning"|"critical"
---@param integration string|nil
---@param words string
---@param details? table
---@return table
function M.statement(kind, severity, integration, words, details)
  check(kind, severity)
  return { RAISE, uuid.v7(), time.format(), kind, severity, integration, clean(words), encoded(details), n = 7 }
end


--- The line in the log and the metric of an alert whose statement was committed by another.
function M.tell(kind, severity, integration, words, details)
  check(kind, severity)
  counters.counter("alerts_total", ('kind="%s"'):format(kind)):add(1)
  log.warn("alert: " .. clean(words), { alert = kind, severity = severity, integration = integration,
    details = details })
end


--- Raises an alert without waiting. A store that is away gets it when it is back, as long as its
--- queue has room.
function M.raise(kind, severity, integration, words, details)
  local statement = M.statement(kind, severity, integration, words, details)
  store.enqueue(table.unpack(statement, 1, statement.n + 1))
  M.tell(kind, severity, integration, words, details)
end


--- The statement that ends an alert whose reason is gone.
---@param kind string
---@param integration string|nil
---@param seen_at? string when that was seen: an alert that was raised again since goes on
---@return table
function M.resolve_statement(kind, integration, seen_at)
  local now = time.format()
  return { RESOLVE, now, kind, integration, seen_at or now, n = 4 }
end


return M
