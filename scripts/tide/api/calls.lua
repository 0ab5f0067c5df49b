-- POST /api/v1/integrations/{name}/{operation}: a call.

local json = require "tide.json"
local uuid = require "tide.uuid"
local call = require "tide.call"
local kept = require "tide.kept"
local idempotency = require "tide.idempotency"
local exchange = require "tide.api.exchange"

local M = {}

local TIMEOUT_MS_MAX = 86400000
local KEY_BYTES_MAX = 255


local function read_timeout(text)
  local timeout = text:match("^%d+$") and math.tointeger(tonumber(text))
  if not timeout or timeout < 1 or timeout > TIMEOUT_MS_MAX then
    return nil, exchange.invalid("#", "X-Timeout-Ms must be a whole number of milliseconds, 1 to 86400000")
  end
  return timeout
end


local function read_user(text)
  if not uuid.is_valid(text) then
    return nil, exchange.invalid("#", "X-User-Id must be a UUID")
  end
  return text:lower()
end


local function read_mock(text)
  if text ~= "0" and text ~= "1" then
    return nil, exchange.invalid("#", "X-Mock must be 1, or 0")
  end
  return text == "1"
end


-- Quoted, as the IETF draft has it, or bare.
local function read_key(text)
  local key = text:match('^"(.*)"$') or text
  if key == "" or #key > KEY_BYTES_MAX or key:find("[^\x20-\x7e]") then
    return nil, exchange.invalid("#", "Idempotency-Key must be 1 to 255 printable ASCII characters")
  end
  return key
end


local HEADERS = {
  { "x-timeout-ms", "timeout_ms", read_timeout },
  { "x-user-id", "user_id", read_user },
  { "x-mock", "mock", read_mock },
  { "idempotency-key", "idempotency_key", read_key },
}


local function options_of(current)
  local request, identity = current.request, current.identity
  local options = {
    trace_id = current.trace_id,
    span_id = current.span_id,
    trace_flags = current.trace_flags,
    trace_state = current.trace_state,
    caller = identity.name,
    debug = identity.rights.operate and request:header("x-debug") == "1" or nil,
  }
  for _, header in ipairs(HEADERS) do
    local text = request:header(header[1])
    if text then
      local value, err = header[3](text)
      if err then
        return nil, err
      end
      options[header[2]] = value
    end
  end
  local control = request:header("cache-control")
  options.no_cache = control and control:lower():find("no-cache", 1, true) ~= nil or nil
  return options
end


-- Tokens of config.lua have no id; names are never taken for ids.
local function scope_of(current)
  if current.request.peer_uid then
    return "local"
  end
  return current.identity.id or "name:" .. current.identity.name
end


local function keyed(current)
  local generation = current.generation
  return {
    generation = generation, integration = current.params.name, operation = current.params.operation,
    scope = scope_of(current), trace_id = current.trace_id,
    keep_seconds = generation.config.idempotency_hours * 3600,
    problem = function(err)
      local answer = current:problem(err)
      answer.body = assert(json.encode(answer.json))
      return answer
    end,
  }
end


local function perform(current, input, options)
  local result, err = call.run(current.generation, current.params.name, current.params.operation, input,
    options)
  if not result then
    return nil, err
  end
  -- The data is spliced in as it was encoded once.
  return { status = 200, body = '{"data":' .. result.json .. ',"meta":' .. assert(json.encode(result.meta)) .. "}" }
end


-- The answer of a call that need not go through the policies.
local function short_way(current, text, options)
  if text == nil or options.idempotency_key then
    return nil
  end
  local params = current.params
  local body = kept.answer(current.generation, params.name, params.operation, text, options)
  return body and { status = 200, body = body }
end


local function run(current)
  local err = current:refuse_integration(current.params.name)
  if err then
    return nil, err
  end
  local options, input
  options, err = options_of(current)
  if not options then
    return nil, err
  end
  local text = current:json_text()
  local answer = short_way(current, text, options)
  if answer then
    return answer
  end
  options.text = text
  input, err = current:json_object()
  if not input then
    return nil, err
  end
  if options.idempotency_key then
    return idempotency.run(keyed(current), input, options, function(...) return perform(current, ...) end)
  end
  return perform(current, input, options)
end


-- Description -------------------------------------------------------------------------------------


-- `needs`: the right without which a header has no effect; `cached`: it has one only where answers are kept.
local TAKEN = {
  { name = "Idempotency-Key", schema = { type = "string", minLength = 1, maxLength = KEY_BYTES_MAX },
    description = "Repeating the call with the same key gives the same answer and does nothing twice." },
  { name = "X-Timeout-Ms", schema = { type = "integer", minimum = 1, maximum = TIMEOUT_MS_MAX },
    description = "Ends the call earlier than `total_timeout_seconds` would." },
  { name = "X-Mock", schema = { type = "string", enum = { "0", "1" } },
    description = "1: the provider's mock answers, no third party is reached." },
  { name = "X-User-Id", schema = { type = "string", format = "uuid" }, description = "For whom; it is logged." },
  { name = "X-Debug", needs = "operate", schema = { type = "string", enum = { "1" } },
    description = "1: `meta.trace`, or `trace` of an error, says what the call did." },
  { name = "Cache-Control", cached = true, schema = { type = "string" },
    description = "`no-cache` asks for a fresh answer." },
  { name = "traceparent", schema = { type = "string" }, description = "The caller's span (W3C Trace Context)." },
  { name = "tracestate", schema = { type = "string" }, description = "Passed on with it." },
}

-- Whatever may become of a call, besides what all requests with a token and a body may get.
local PROBLEMS = {
  "no_such_operation", "not_found", "conflict", "outcome_unknown", "idempotency_mismatch", "rejected",
  "rate_limited", "circuit_open", "disabled", "not_loaded", "overloaded", "unavailable", "not_configured",
  "upstream_auth", "upstream_error", "network_error", "timeout", "script_error", "script_timeout", "out_of_memory",
  "cancelled",
}

M.routes = {
  { "POST", "/api/v1/integrations/{name}/{operation}", needs = "call", handler = run, doc = {
    of = "operation", takes = "input", gives = "output", headers = TAKEN, problems = PROBLEMS,
  } },
}


return M
