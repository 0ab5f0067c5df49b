-- GET /api/v1/logs and /{id}: the rows of integration_call_logs, newest first.

local json = require "tide.json"
local store = require "tide.store"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local exchange = require "tide.api.exchange"
local search = require "tide.api.search"
local shape = require "tide.api.shape"

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


local SEARCH = search.new(LIST, {
  { "integration", "integration_name =", search.text },
  { "operation", "operation =", search.text },
  { "caller", "caller =", search.text },
  { "user_id", "user_id =", search.uuid },
  { "trace_id", "trace_id =", search.text },
  { "error_type", "error_type =", search.text },
  { "success", "is_success =", search.boolean },
  { "from", "id >=", search.time },
  { "to", "id <", search.time },
})


local function list(current)
  return SEARCH:answer(current, shown)
end


local function get(current)
  local id = current.params.id
  if not uuid.is_valid(id) then
    return nil, exchange.invalid("#/id", "the id of a log row is a UUID")
  end
  local rows, message, code = store.query(GET, id:lower())
  if not rows then
    return nil, search.unavailable(message, code)
  end
  local row = rows[1]
  if not row or not current:sees(row.integration_name) then
    return nil, errors.new("not_found", "there is no log row with this id")
  end
  return { status = 200, json = { data = shown(row, true) } }
end


local function row_with(details)
  local members = {
    id = "uuid", created_at = "time", integration_name = "text", integration_type = "text", operation = "text?",
    caller = "text?", user_id = "text?", trace_id = "text?", request_method = "text?", request_url = "text?",
    response_status = "integer?", duration_ms = "number?", is_success = "boolean?", error_type = "text?",
    error_message = "text?", retry_count = "integer?", is_from_cache = "boolean?", is_stale = "boolean?",
    is_fallback = "boolean?", is_mock = "boolean?", circuit_breaker_state = "text?", provider_version = "text?",
  }
  for _, name in ipairs(details) do
    members[name] = "any"
  end
  return shape.object(members)
end

M.routes = {
  { "GET", "/api/v1/logs", needs = "read", handler = list, doc = {
    summary = "The call log, newest first",
    query = SEARCH:describe {
      operation = "Only of this operation.", caller = "Only calls with the token of this name.",
      user_id = "Only calls for this user (`X-User-Id`).", trace_id = "Only of this trace.",
      error_type = "Only failures with this code.", success = "Only successes (true), or failures.",
    },
    answers = shape.page(row_with {}), problems = { "unavailable" },
  } },
  { "GET", "/api/v1/logs/{id}", needs = "read", handler = get, doc = {
    summary = "One call, with its requests and attempts",
    answers = shape.data(row_with(DETAILS)), problems = { "not_found", "unavailable" },
  } },
}


return M
