-- GET /api/v1/logs and /{id}: the rows of integration_call_logs, newest first.

local json = require "tide.json"
local store = require "tide.store"
local time = require "tide.time"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local exchange = require "tide.api.exchange"

local M = {}

local SUMMARY = {
  "id", "created_at", "integration_name", "integration_type", "operation", "caller", "user_id", "trace_id",
  "request_method", "request_url", "response_status", "duration_ms", "is_success", "error_type", "error_message",
  "retry_count", "is_from_cache", "is_stale", "is_fallback", "is_mock", "circuit_breaker_state", "provider_version",
}
local DETAILS = { "request_headers", "request_body", "response_headers", "response_body", "attempts" }
local BOOLEANS = { "is_success", "is_from_cache", "is_stale", "is_fallback", "is_mock" }


local function columns(...)
  local names = {}
  for _, list in ipairs({ ... }) do
    table.move(list, 1, #list, #names + 1, names)
  end
  return table.concat(names, ", ")
end

local LIST = "SELECT " .. columns(SUMMARY) .. " FROM integration_call_logs"
local GET = "SELECT " .. columns(SUMMARY, DETAILS) .. " FROM integration_call_logs WHERE id = $1"


local function decoded(text)
  local value = json.decode(text)
  if value == nil then
    return text
  end
  return value
end


-- A row as it is shown: every column, booleans and JSON as such.
local function shown(row, has_details)
  for _, name in ipairs(SUMMARY) do
    if row[name] == nil then
      row[name] = json.null
    end
  end
  for _, name in ipairs(BOOLEANS) do
    if row[name] ~= json.null then
      row[name] = row[name] == 1 or row[name] == true
    end
  end
  for _, name in ipairs(has_details and DETAILS or {}) do
    row[name] = row[name] ~= nil and decoded(row[name]) or json.null
  end
  return row
end


-- The least id of an instant: ids begin with the time, so that a range of times is a range of
-- ids, which have an index.
local function id_at(seconds)
  local milliseconds = ("%012x"):format(math.max(0, math.floor(seconds * 1000)))
  return ("%s-%s-7000-8000-000000000000"):format(milliseconds:sub(1, 8), milliseconds:sub(9))
end


local function read_text(value)
  if #value > 255 then
    return nil, "must be at most 255 bytes"
  end
  return value
end


local function read_boolean(value)
  if value == "true" or value == "1" then
    return true
  end
  if value == "false" or value == "0" then
    return false
  end
  return nil, "must be true or false"
end


local function read_uuid(value)
  if not uuid.is_valid(value) then
    return nil, "must be a UUID"
  end
  return value:lower()
end


local function read_time(value)
  local seconds = time.parse(value)
  if not seconds then
    return nil, "must be a time such as 2026-01-15T09:00:00Z"
  end
  return id_at(seconds)
end


-- In this order, so that the same filters always make the same statement.
local FILTERS = {
  { "integration", "integration_name =", read_text },
  { "operation", "operation =", read_text },
  { "caller", "caller =", read_text },
  { "user_id", "user_id =", read_uuid },
  { "trace_id", "trace_id =", read_text },
  { "error_type", "error_type =", read_text },
  { "success", "is_success =", read_boolean },
  { "from", "id >=", read_time },
  { "to", "id <", read_time },
  { "cursor", "id <", read_uuid },
}
local PARAMETERS = { limit = true }
for _, filter in ipairs(FILTERS) do
  PARAMETERS[filter[1]] = true
end


local Where = {}
Where.__index = Where


function Where:add(condition, value)
  self.values[#self.values + 1] = value
  self.conditions[#self.conditions + 1] = ("%s $%d"):format(condition, #self.values)
end


-- Only the integrations that a token is bound to.
function Where:bind(integrations)
  local places = {}
  for name in pairs(integrations) do
    self.values[#self.values + 1] = name
    places[#places + 1] = "$" .. #self.values
  end
  self.conditions[#self.conditions + 1] = ("integration_name IN (%s)"):format(table.concat(places, ", "))
end


function Where:text()
  if #self.conditions == 0 then
    return ""
  end
  return " WHERE " .. table.concat(self.conditions, " AND ")
end


local function conditions_of(query, identity)
  local where = setmetatable({ conditions = {}, values = {} }, Where)
  for _, filter in ipairs(FILTERS) do
    local name = filter[1]
    if query[name] then
      local value, problem = filter[3](query[name])
      if value == nil then
        return nil, exchange.invalid("#/" .. name, name .. " " .. problem)
      end
      where:add(filter[2], value)
    end
  end
  if identity.integrations then
    where:bind(identity.integrations)
  end
  return where
end


local function unavailable(message, code)
  if code == "timeout" or code == "too_large" then
    return errors.new("unavailable", message .. ": narrow the search, or lower limit")
  end
  return errors.new("unavailable", message)
end


local function list(current)
  local query, err = current:query(PARAMETERS)
  local limit, where
  if query then
    limit, err = exchange.limit_of(query)
  end
  if limit then
    where, err = conditions_of(query, current.identity)
  end
  if not where then
    return nil, err
  end
  where.values[#where.values + 1] = limit + 1
  local statement = ("%s%s ORDER BY id DESC LIMIT $%d"):format(LIST, where:text(), #where.values)
  local rows, message, code = store.query(statement, table.unpack(where.values))
  if not rows then
    return nil, unavailable(message, code)
  end
  for _, row in ipairs(rows) do
    shown(row)
  end
  return exchange.list(rows, limit, function(row) return row.id end)
end


local function get(current)
  local id = current.params.id
  if not uuid.is_valid(id) then
    return nil, exchange.invalid("#/id", "the id of a log row is a UUID")
  end
  local rows, message, code = store.query(GET, id:lower())
  if not rows then
    return nil, unavailable(message, code)
  end
  local row = rows[1]
  if not row or current:refuse_integration(row.integration_name) then
    return nil, errors.new("not_found", "there is no log row with this id")
  end
  return { status = 200, json = { data = shown(row, true) } }
end


M.routes = {
  { "GET", "/api/v1/logs", needs = "read", handler = list },
  { "GET", "/api/v1/logs/{id}", needs = "read", handler = get },
}


return M
