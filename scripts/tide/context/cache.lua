-- `ctx.cache`: the integration's own keys, in the memory that all workers share. Values are kept
-- as JSON, so that each look-up gives a fresh one.

local cache = require "tide.state.cache"
local crypto = require "tide.crypto"
local errors = require "tide.errors"
local flight = require "tide.state.singleflight"
local json = require "tide.json"
local sandbox = require "tide.engine.sandbox"
local script = require "tide.script"
local secrets = require "tide.secrets"
local view = require "tide.view"

local M = {}

local KEY_BYTES_MAX = 1024
local TTL_SECONDS_MAX = 3e9
-- What others need to know of an error that happened to one of them.
local SHARED_FIELDS = { "code", "message", "retryable", "status", "retry_after", "pointer", "sent", "inner" }


-- Arguments ---------------------------------------------------------------------------------------


local function check_text(name, what, value)
  if type(value) ~= "string" then
    script.misuse(string.format("ctx.cache.%s: the %s must be a string, got %s", name, what, type(value)))
  end
  if #value > KEY_BYTES_MAX then
    script.misuse(string.format("ctx.cache.%s: the %s is longer than %d bytes", name, what, KEY_BYTES_MAX))
  end
end


local function check_ttl(name, ttl, settings)
  if ttl == nil then
    return settings.cache_ttl_seconds
  end
  if type(ttl) ~= "number" or ttl ~= ttl or ttl <= 0 then
    script.misuse(string.format("ctx.cache.%s: ttl_seconds must be a number above 0", name))
  end
  return math.min(ttl, TTL_SECONDS_MAX)
end


local function encode(name, value)
  local bytes, message = json.encode(view.plain(value))
  if bytes == nil then
    error(errors.new("script_error", string.format("ctx.cache.%s: %s", name, message)), 0)
  end
  return bytes
end


-- Keys --------------------------------------------------------------------------------------------


-- The space of the integration's own keys; those of mock mode are apart.
local function space_of(call)
  local name = secrets.owner(call.integration) .. (call.mock and "/own/mock" or "/own")
  local space, message, code = cache.space(name)
  if space == nil then
    error(errors.new(code, message), 0)
  end
  return space, name
end


-- The bytes under a key, or nil; counted.
local function look_up(space, key)
  local bytes = space:get(key)
  space:count(bytes and "hit" or "miss")
  return bytes
end


local function get(call, key)
  check_text("get", "key", key)
  local bytes = look_up(space_of(call), key)
  return bytes and json.decode(bytes)
end


local function set(call, key, value, ttl)
  check_text("set", "key", key)
  ttl = check_ttl("set", ttl, call.settings)
  local space = space_of(call)
  if value == nil then
    space:delete(key)
    return true
  end
  return space:put(key, encode("set", value), ttl, 0)
end


local function delete(call, key)
  check_text("delete", "key", key)
  return space_of(call):delete(key)
end


local function delete_pattern(call, pattern)
  check_text("delete_pattern", "pattern", pattern)
  return space_of(call):delete_matching(pattern)
end


-- Computing once ----------------------------------------------------------------------------------


-- All who wait are given bytes: "v" and the value, "e" and the error, or "" for nil.
local function open(outcome)
  if outcome == "" then
    return nil
  end
  local content = json.decode(outcome:sub(2))
  if outcome:sub(1, 1) == "v" then
    return content
  end
  error(errors.new(content.code, content.message, content), 0)
end


local function close_error(err)
  local code = errors.codes[err.code] and err.code or "script_error"
  local fields = {}
  for _, name in ipairs(SHARED_FIELDS) do
    fields[name] = err[name]
  end
  fields.code = code
  return "e" .. (json.encode(fields) or json.encode { code = code })
end


local function run(fn)
  local value, err = fn()
  if value == nil and err ~= nil then
    error(err, 0)
  end
  return value == nil and "" or "v" .. encode("fetch", value)
end


-- What fn returned, or nil and its error, made while the traceback is there. An overrun of the
-- budget is not caught: it is this script's alone.
local function invoke(call, fn)
  local ok, outcome = sandbox.xpcall(run, function(raised)
    return script.error_of(call, raised, nil, debug.traceback(nil, 2))
  end, fn)
  if ok then
    return outcome
  end
  -- Without memory the function above was not asked.
  return nil, errors.is(outcome) and outcome or script.error_of(call, outcome, "out_of_memory")
end


-- Somebody may have computed the value since this caller missed it.
local function compute(call, space, key, ttl, fn)
  local bytes = space:get(key)
  if bytes then
    return "v" .. bytes
  end
  local epoch = space:epoch()
  local outcome, err = invoke(call, fn)
  if err then
    return close_error(err), err
  end
  if outcome ~= "" then
    space:put(key, outcome:sub(2), ttl, 0, epoch)
  end
  return outcome
end


-- Who asks after a delete does not get what was begun before it: the epoch is part of the flight.
local function flight_key(name, space, key)
  return crypto.digest("sha256", string.format("%s\0%d\0%s", name, space:epoch(), key))
end


local function fetch(call, key, ttl, fn)
  check_text("fetch", "key", key)
  ttl = check_ttl("fetch", ttl, call.settings)
  if type(fn) ~= "function" then
    script.misuse("ctx.cache.fetch: expects a function, got " .. type(fn))
  end
  script.may_wait(call, "ctx.cache.fetch")
  local space, name = space_of(call)
  local bytes = look_up(space, key)
  if bytes then
    return json.decode(bytes)
  end
  local own_error
  local ok, outcome, code = flight.run(flight_key(name, space, key), function()
    local computed
    computed, own_error = compute(call, space, key, ttl, fn)
    return computed
  end)
  if own_error or not ok then
    error(own_error or errors.new(code or "internal", outcome), 0)
  end
  return open(outcome)
end


-- The results of operations -----------------------------------------------------------------------


local function forget(call, operation, input)
  if type(operation) ~= "string" then
    script.misuse("ctx.cache.forget: expects the name of an operation, got " .. type(operation))
  end
  if call.integration.operations[operation] == nil then
    script.misuse(string.format("ctx.cache.forget: %s has no operation %q", call.integration.name, operation))
  end
  return call.forget(call, operation, input)
end


local MEMBERS = {
  get = get, set = set, delete = delete, delete_pattern = delete_pattern, fetch = fetch, forget = forget,
}


-- The `cache` member of a ctx; `purpose` as for context.new.
function M.new(call, _, purpose)
  local members = {}
  for name, member in pairs(MEMBERS) do
    members[name] = function(...)
      return member(call, ...)
    end
  end
  if purpose == "fallback" then
    members.fetch = function()
      script.misuse("ctx.cache.fetch: a fallback may not wait")
    end
  end
  return members
end


return M
