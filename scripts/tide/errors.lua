-- The one error value that crosses the framework, and how it is shown outside.

local message = require "tide.message"
local redact = require "tide.redact"

local M = {}

-- What each code means outside and to the policies.
--   status   HTTP status of our answer
--   retried  "never", "repeatable" (when the operation may run again), "upstream" (when the
--            upstream said so)
--   breaker  counts as a failure of the upstream
--   later    the same request may succeed later, and nothing was done: true, false, or
--            "repeatable" when that depends on the operation
--   wait     Retry-After in seconds when nothing better is known; nil: the header is not sent
--   internal scripts cannot raise it
local CODES = {
  invalid_input = { status = 400, title = "Invalid input" },
  unauthorized = { status = 401, title = "Unauthorized" },
  forbidden = { status = 403, title = "Forbidden" },
  no_such_operation = { status = 404, title = "No such integration or operation" },
  not_found = { status = 404, title = "Not found" },
  conflict = { status = 409, title = "Conflict" },
  outcome_unknown = { status = 409, title = "Outcome unknown" },
  idempotency_mismatch = { status = 422, title = "Idempotency key used for another input" },
  precondition_failed = { status = 412, title = "Changed in the meantime" },
  method_not_allowed = { status = 405, title = "Method not allowed" },
  unsupported_media_type = { status = 415, title = "Unsupported media type" },
  internal = { status = 500, title = "Internal error" },
  payload_too_large = { status = 413, title = "Payload too large" },
  rejected = { status = 422, title = "Rejected by the upstream" },
  rate_limited = { status = 429, title = "Rate limited",
    retried = "upstream", later = true, wait = 60 },
  circuit_open = { status = 503, title = "Circuit open", later = true, wait = 60 },
  disabled = { status = 503, title = "Integration disabled", later = true, wait = 60 },
  not_loaded = { status = 503, title = "Integration not loaded", later = true, wait = 60 },
  overloaded = { status = 503, title = "Overloaded", later = true, wait = 1 },
  unavailable = { status = 503, title = "Store unavailable", later = true, wait = 5 },
  not_configured = { status = 503, title = "Not configured" },
  upstream_auth = { status = 502, title = "The upstream refused our credentials" },
  upstream_error = { status = 502, title = "Upstream error",
    retried = "repeatable", breaker = true, later = "repeatable" },
  network_error = { status = 502, title = "Network error",
    retried = "repeatable", breaker = true, later = "repeatable" },
  timeout = { status = 504, title = "Timed out",
    retried = "repeatable", breaker = true, later = "repeatable" },
  script_error = { status = 500, title = "Script error" },
  script_timeout = { status = 500, title = "Script stopped: out of time" },
  out_of_memory = { status = 500, title = "Script stopped: out of memory" },
  -- How a task says that it was cancelled; callers see it when the service stops under them.
  cancelled = { status = 503, title = "Cancelled",
    later = "repeatable", wait = 1, internal = true },
}
for _, entry in pairs(CODES) do
  entry.retried = entry.retried or "never"
  entry.breaker = entry.breaker or false
  entry.later = entry.later or false
end

--- The table of codes, by code: status, title, retried, breaker, later, wait.
M.codes = CODES

local getmetatable_of = debug.getmetatable

local MAX_ERRORS = 100


local function text_of(err)
  local code, words = rawget(err, "code"), rawget(err, "message")
  return ("%s: %s"):format(type(code) == "string" and code or "script_error", message.clean(words))
end


-- `__metatable` keeps scripts from changing what all errors share.
local metatable = { __tostring = text_of, __name = "tide.error", __metatable = "tide.error" }


--- Whether `value` is an error made here.
---@param value any
---@return boolean
function M.is(value)
  return type(value) == "table" and getmetatable_of(value) == metatable
end


--- Makes an error. Every member of `fields` is kept on it: retryable, status (the upstream's),
--- retry_after, pointer, errors, integration, operation, trace_id, response, cause, …
---@param code string one of `errors.codes`
---@param words? string
---@param fields? table
---@return table
function M.new(code, words, fields)
  local entry = CODES[code]
  if not entry then
    error("unknown error code " .. message.clean(code, 100), 2)
  end
  if fields ~= nil and type(fields) ~= "table" then
    error("the fields of an error must be a table, got " .. type(fields), 2)
  end
  local err = {}
  for key, value in next, fields or {} do
    err[key] = value
  end
  err.code = code
  err.message = words == nil and entry.title or message.clean(words)
  return setmetatable(err, metatable)
end


-- What a raised value says, without running any of the script's code (`__tostring` may
-- loop or wait).
local function describe(value)
  if value == nil then
    return "nil was raised as an error"
  end
  if type(value) ~= "table" then
    return message.clean(value)
  end
  local words, code = rawget(value, "message"), rawget(value, "code")
  if type(words) == "string" then
    local prefix = type(code) == "string" and message.clean(code, 100) .. ": " or ""
    return prefix .. message.clean(words)
  end
  return "a table was raised as an error"
end


--- The error for whatever was raised: an error as it is, anything else a `script_error`.
---@param value any
---@param traceback? string kept in the field `traceback`, for the log
---@param kind? string "script_timeout" or "out_of_memory", as `task.guard` tells
---@return table
function M.from(value, traceback, kind)
  if kind and CODES[kind] then
    return M.new(kind, value ~= nil and describe(value) or nil, { traceback = traceback })
  end
  if M.is(value) then
    if not CODES[rawget(value, "code")] then
      -- A script has overwritten it.
      return M.new("script_error", describe(value), { traceback = traceback, cause = value })
    end
    if traceback and rawget(value, "traceback") == nil then
      rawset(value, "traceback", traceback)
    end
    return value
  end
  if type(value) == "table" and rawget(value, "code") == "cancelled" then
    return M.new("cancelled",
      describe({ message = rawget(value, "message") or "the task was cancelled" }))
  end
  local cause = type(value) == "table" and value or nil
  return M.new("script_error", describe(value), { traceback = traceback, cause = cause })
end


--- Whether the policies may try again after `err`.
---@param err table
---@param repeatable boolean the operation may run again
---@return boolean
function M.may_retry(err, repeatable)
  local entry = CODES[err.code]
  if not entry or err.retryable == false then
    return false
  end
  if entry.retried == "repeatable" then
    -- Nothing was sent: nothing can have taken effect.
    return repeatable or err.sent == false
  end
  return entry.retried == "upstream" and (err.status ~= nil or err.response ~= nil)
end


--- Whether the same request may succeed later and repeating it does no harm.
---@param err table
---@param repeatable? boolean the operation may run again
---@return boolean
function M.is_retryable(err, repeatable)
  local entry = CODES[err.code] or CODES.script_error
  if type(err.retryable) == "boolean" then
    return err.retryable
  end
  if entry.later == "repeatable" then
    return repeatable == true or err.sent == false
  end
  return entry.later or (err.code == "conflict" and err.retry_after ~= nil)
end


-- A JSON pointer from what a script wrote: "#/a", "/a" or just "a".
local function pointer_of(value)
  if type(value) ~= "string" then
    return nil
  end
  value = message.clean(value, 1024)
  if value:match("^#") then
    return value
  end
  if value:match("^/") or value == "" then
    return "#" .. value
  end
  return "#/" .. value:gsub("~", "~0"):gsub("/", "~1")
end


local function faults_of(err, detail)
  if type(err.errors) == "table" then
    local list = {}
    for _, fault in ipairs(err.errors) do
      if type(fault) == "table" and #list < MAX_ERRORS then
        list[#list + 1] = {
          detail = redact.text(message.clean(fault.detail, 1024)),
          pointer = pointer_of(fault.pointer),
        }
      end
    end
    if #list > 0 then
      return list
    end
  end
  local pointer = pointer_of(err.pointer)
  if pointer or err.code == "invalid_input" then
    return { { detail = detail, pointer = pointer or "#" } }
  end
  return nil
end


local function text_field(value)
  if type(value) ~= "string" then
    return nil
  end
  return redact.text(message.clean(value, 255))
end


local function integer_field(value)
  if type(value) ~= "number" or value ~= value or math.abs(value) > 2 ^ 53 then
    return nil
  end
  return math.tointeger(math.ceil(value))
end


--- Seconds to wait before the same request is worth a try, for `Retry-After`; nil where none is
--- sent.
---@param err table
---@return integer|nil
function M.retry_after(err)
  local entry = CODES[err.code]
  local asked = integer_field(err.retry_after)
  if asked then
    return math.max(asked, 0)
  end
  return entry and entry.wait or nil
end


--- The RFC 9457 document of `err`: nothing of the upstream's answer, nothing that redaction would
--- remove.
---@param err any
---@param extra? table what the error does not know itself: trace_id, integration, operation,
--- attempts, upstream_status, policy, and `repeatable` (the operation may run again)
---@return table
function M.problem(err, extra)
  err = M.from(err)
  extra = extra or {}
  local entry = CODES[err.code]
  local detail = redact.text(message.clean(err.message))
  local repeatable = extra.repeatable
  if repeatable == nil then
    repeatable = err.repeatable
  end
  return {
    type = "urn:tidegate:error:" .. err.code,
    title = entry.title,
    status = entry.status,
    detail = detail,
    code = err.code,
    retryable = M.is_retryable(err, repeatable),
    trace_id = text_field(extra.trace_id or err.trace_id),
    errors = faults_of(err, detail),
    integration = text_field(extra.integration or err.integration),
    operation = text_field(extra.operation or err.operation),
    attempts = integer_field(extra.attempts or err.attempts),
    upstream_status = integer_field(extra.upstream_status or err.status),
    policy = text_field(extra.policy or err.policy),
    retry_after = M.retry_after(err),
    -- What the call did (X-Debug), redacted where it was made.
    trace = err.trace,
  }
end


return M
