-- /api/v1/alerts: what somebody should look at, newest first; and who has.

local json = require "tide.json"
local store = require "tide.store"
local time = require "tide.time"
local uuid = require "tide.uuid"
local audit = require "tide.audit"
local errors = require "tide.errors"
local exchange = require "tide.api.exchange"
local search = require "tide.api.search"
local shape = require "tide.api.shape"

local M = {}

local COLUMNS = { "id", "created_at", "updated_at", "kind", "severity", "integration_name", "message", "details",
  "occurrences", "resolved_at", "acknowledged_at", "acknowledged_by" }

local LIST = "SELECT " .. table.concat(COLUMNS, ", ") .. " FROM alerts"
local GET = LIST .. " WHERE id = $1"
local ACKNOWLEDGE = "UPDATE alerts SET acknowledged_at = $1, acknowledged_by = $2 WHERE id = $3 "
  .. "AND acknowledged_at IS NULL"


local function shown(row)
  row.details = row.details and json.decode(row.details)
  for _, name in ipairs(COLUMNS) do
    if row[name] == nil then
      row[name] = json.null
    end
  end
  return row
end


local SEARCH = search.new(LIST, {
  { "open", { ["true"] = "resolved_at IS NULL", ["false"] = "resolved_at IS NOT NULL" }, { "true", "false" } },
  { "acknowledged", { ["true"] = "acknowledged_at IS NOT NULL", ["false"] = "acknowledged_at IS NULL" },
    { "true", "false" } },
  { "kind", "kind =", search.text },
  { "severity", "severity =", search.text },
  { "integration", "integration_name =", search.text },
  { "from", "id >=", search.time },
  { "to", "id <", search.time },
})


local function list(current)
  return SEARCH:answer(current, shown)
end


-- The alert that the path names; nil and an error.
local function find(current)
  local id = current.params.id
  if not uuid.is_valid(id) then
    return nil, exchange.invalid("#/id", "the id of an alert is a UUID")
  end
  local rows, message, code = store.query(GET, id:lower())
  if not rows then
    return nil, search.unavailable(message, code)
  end
  local integrations = current.identity.integrations
  if not rows[1] or integrations and not integrations[rows[1].integration_name or ""] then
    return nil, errors.new("not_found", "there is no alert with this id")
  end
  return rows[1]
end


local function acknowledge(current)
  local row, err = find(current)
  if not row then
    return nil, err
  end
  local done, message, code = store.transaction({
    audit.statement_if("EXISTS (SELECT 1 FROM alerts WHERE id = $10 AND acknowledged_at IS NULL)", { row.id },
      "alert.ack", row.id, nil, { kind = row.kind, occurrences = row.occurrences },
      { actor = current.identity.name, trace_id = current.trace_id, integration = row.integration_name }),
    { ACKNOWLEDGE, time.format(), current.identity.name, row.id },
  })
  if not done then
    return nil, search.unavailable(message, code)
  end
  row, err = find(current)
  return row and { status = 200, json = { data = shown(row) } }, err
end


local ALERT = shape.object {
  id = "uuid", created_at = "time", updated_at = "time", kind = "text", severity = "text",
  integration_name = "text?", message = "text", details = "any", occurrences = "integer", resolved_at = "time?",
  acknowledged_at = "time?", acknowledged_by = "text?",
}

M.routes = {
  { "GET", "/api/v1/alerts", needs = "read", handler = list, doc = {
    summary = "What somebody should look at, newest first",
    query = SEARCH:describe {
      open = "Only those that last (true), or that are over.", acknowledged = "Only those that somebody has seen, "
        .. "or that nobody has.", kind = "Only of this kind.", severity = "Only of this severity.",
    },
    answers = shape.page(ALERT), problems = { "unavailable" },
  } },
  { "POST", "/api/v1/alerts/{id}/ack", needs = "operate", handler = acknowledge, doc = {
    summary = "Say that an alert was seen",
    answers = shape.data(ALERT), problems = { "not_found", "unavailable" },
  } },
}


return M
