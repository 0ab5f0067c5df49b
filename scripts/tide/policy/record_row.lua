-- What a call looks like as a row of integration_call_logs: everything that applies,
-- nothing that redaction takes out.

local http = require "tide.http"
local json = require "tide.json"
local text = require "tide.text"
local time = require "tide.time"
local redact = require "tide.redact"
local secrets = require "tide.state.secrets"

local M = {}

-- Larger bodies are not taken apart for the log; what is cut is still redacted by value.
local PARSED_BYTES_MAX = 262144
local ENCODE_OPTIONS = { max_bytes = PARSED_BYTES_MAX }
-- Widths of columns.
local CALLER_BYTES_MAX = 100
local METHOD_BYTES_MAX = 10

local COLUMNS = {
  "id", "created_at", "integration_name", "integration_type", "request_method", "request_url", "request_headers",
  "request_body", "response_status", "response_headers", "response_body", "duration_ms", "is_success",
  "error_message", "error_type", "user_id", "trace_id", "retry_count", "is_from_cache", "circuit_breaker_state",
  "operation", "caller", "is_mock", "is_stale", "is_fallback", "provider_version", "attempts",
}


local function insert_statement()
  local places = {}
  for index = 1, #COLUMNS do
    places[index] = "$" .. index
  end
  return string.format("INSERT INTO integration_call_logs (%s) VALUES (%s)", table.concat(COLUMNS, ", "),
    table.concat(places, ", "))
end

M.COLUMNS = COLUMNS
M.INSERT = insert_statement()


function M.parameters(row)
  local values = {}
  for index, name in ipairs(COLUMNS) do
    values[index] = row[name]
  end
  return table.unpack(values, 1, #COLUMNS)
end


-- The same again by column.
function M.named(...)
  local row = {}
  for index, name in ipairs(COLUMNS) do
    row[name] = (select(index, ...))
  end
  return row
end


local function header(list, name)
  for _, pair in ipairs(list or {}) do
    if pair[1]:lower() == name then
      return pair[2]
    end
  end
end


-- Most values hold nothing that could look like a credential: no pair, no user information, no
-- member of a JSON text, no scheme.
local function header_value(name, value, fields)
  if redact.is_sensitive(name, fields) then
    return redact.MARK
  end
  if value:find('[=@"]') or value:find("[Bb]earer") or value:find("[Bb]asic") then
    return redact.text(value)
  end
  return value
end


local headers_json

-- Header values are bytes: what is no text is shown as its length.
local function readable(list)
  local result = {}
  for index, pair in ipairs(list) do
    local value = text.is_utf8(pair[2]) and pair[2] or string.format("[%d bytes]", #pair[2])
    result[index] = { text.is_utf8(pair[1]) and pair[1] or "[name]", value }
  end
  return result
end


headers_json = function(list, fields)
  if list == nil then
    return nil
  end
  local object = {}
  for _, pair in ipairs(list) do
    local name = pair[1]:lower()
    local value = header_value(name, pair[2], fields)
    object[name] = object[name] and object[name] .. ", " .. value or value
  end
  local encoded = json.encode(object)
  if encoded == nil then
    return headers_json(readable(list), fields)
  end
  return secrets.redact(encoded)
end


-- JSON text of at most `limit` bytes of content; what is longer becomes a JSON string.
local function fit(encoded, limit)
  if #encoded <= limit then
    return encoded
  end
  return json.encode(text.truncate(encoded, limit))
end


local function text_json(body, limit)
  if not text.is_utf8(body) then
    return json.encode(string.format("[%d bytes]", #body))
  end
  -- Cut late enough for a value that lies across the end to be recognised.
  local clean = redact.text(text.truncate(body, limit + 4096))
  return json.encode(text.truncate(clean, limit))
end


-- Nearly every body holds nothing to redact, and finding that out is cheaper than the walk.
local function value_json(value, fields, limit)
  local encoded = json.encode(value, ENCODE_OPTIONS)
  if encoded == nil or not redact.is_clean_json(encoded, fields) then
    encoded = json.encode(redact.value(value, fields))
  end
  return encoded and fit(encoded, limit)
end


local function json_text_json(body, value, fields, limit)
  if redact.is_clean_json(body, fields) then
    return fit(body, limit)
  end
  return value_json(value, fields, limit)
end


-- A body as JSON: taken apart where it is JSON or a form, so that fields are redacted by
-- name; else as text.
local function body_json(body, content_type, fields, limit)
  if body == nil or body == "" then
    return nil
  end
  content_type = content_type or ""
  if #body > PARSED_BYTES_MAX then
    return text_json(body, limit)
  end
  if content_type:find("x-www-form-urlencoded", 1, true) then
    local form = http.decode_query(body)
    return form ~= nil and value_json(form, fields, limit) or text_json(body, limit)
  end
  local value = json.decode(body)
  if value == nil then
    return text_json(body, limit)
  end
  return json_text_json(body, value, fields, limit)
end


local function clean_url(exchange, fields)
  local clean = exchange.clean_url
  if clean == nil then
    clean = redact.url(exchange.url, fields)
    exchange.clean_url = clean
  end
  return clean
end


local function add_exchange(row, call)
  local exchange = call.work.exchange
  if not exchange then
    return
  end
  local values = call.settings
  local fields = values.redact_fields
  row.request_method = exchange.method:sub(1, METHOD_BYTES_MAX)
  row.request_url = clean_url(exchange, fields)
  row.request_headers = headers_json(exchange.headers, fields)
  row.response_status = exchange.status
  row.response_headers = headers_json(exchange.response_headers, fields)
  if not values.log_bodies then
    return
  end
  local limit = values.log_body_bytes
  if exchange.method == "MOCK" then
    row.request_body = value_json(exchange.request_value, fields, limit)
    row.response_body = body_json(exchange.response_body, "application/json", fields, limit)
    return
  end
  row.request_body = body_json(exchange.body, header(exchange.headers, "content-type"), fields, limit)
  row.response_body = body_json(exchange.response_body, header(exchange.response_headers, "content-type"), fields,
    limit)
end


local function milliseconds(from, to)
  return from and to and math.floor((to - from) * 1e6 + 0.5) / 1000 or nil
end


local function error_summary(err)
  return err and { code = err.code, message = redact.text(err.message), policy = err.policy } or nil
end


local function request_summary(request, fields)
  return {
    method = request.method,
    url = clean_url(request.exchange or request, fields),
    purpose = request.purpose,
    started_at = time.format(request.started_at),
    duration_ms = milliseconds(request.started, request.ended),
    status = request.status,
    timings = request.timings,
    reused = request.reused,
    error = request.error,
  }
end


-- The story of a call: per attempt its start, the wait before it, its requests, its error;
-- or the policy that refused it.
function M.attempts(call, err)
  local fields = call.settings.redact_fields
  local list = json.array()
  for index, attempt in ipairs(call.work.attempts) do
    local requests = json.array()
    for position, request in ipairs(attempt.requests) do
      requests[position] = request_summary(request, fields)
    end
    list[index] = {
      attempt = attempt.number,
      started_at = time.format(attempt.started_at),
      waited_ms = math.floor(attempt.waited * 1000 + 0.5),
      token_wait_ms = attempt.token_wait and math.floor(attempt.token_wait * 1000 + 0.5),
      duration_ms = milliseconds(attempt.started, attempt.ended),
      requests = requests,
      error = error_summary(attempt.error),
    }
  end
  if #list == 0 and (err or call.work.shared_attempts) then
    list[1] = { policy = err and err.policy, shared = call.work ~= call or nil, error = error_summary(err) }
  end
  return list
end


-- The row, by column. JSON columns are text; `nil` is NULL.
function M.build(call, err, id, now)
  local told = err or call.concealed
  local integration = call.integration
  local row = {
    id = id,
    created_at = time.format(now),
    integration_name = integration.name,
    integration_type = integration.type,
    operation = call.operation.name,
    duration_ms = call.duration_ms,
    is_success = err == nil,
    error_type = told and told.code,
    error_message = told and redact.text(told.message),
    user_id = call.user_id,
    caller = call.caller and text.truncate(call.caller, CALLER_BYTES_MAX),
    trace_id = call.trace_id,
    retry_count = math.max(0, #call.work.attempts - 1),
    is_from_cache = call.from_cache,
    is_stale = call.stale,
    is_fallback = call.fallback,
    is_mock = call.mock,
    circuit_breaker_state = call.circuit_breaker_state,
    provider_version = integration.version,
    attempts = json.encode(M.attempts(call, told)),
  }
  add_exchange(row, call)
  return row
end


-- Places of the columns.
M.PLACES = {}
for index, name in ipairs(COLUMNS) do
  M.PLACES[name] = index
end


-- The parameters of the row of a call that was answered from the cache, as far as they are the same
-- for all such calls of an operation.
function M.of_kept(operation, mock)
  local integration = operation.integration
  local row = {
    integration_name = integration.name, integration_type = integration.type, is_success = true, retry_count = 0,
    is_from_cache = true, operation = operation.name, is_mock = mock, is_stale = false, is_fallback = false,
    provider_version = integration.version, attempts = "[]",
  }
  return { M.parameters(row) }
end


return M
