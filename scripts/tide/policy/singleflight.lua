-- Concurrent misses of one key, over all workers, share one run: a task of its own, which every
-- caller, the first too, leaves at its own deadline, and which ends when nobody waits any more.

local json = require "tide.json"
local log = require "tide.log"
local task = require "tide.task"
local singleflight = require "tide.state.singleflight"
local errors = require "tide.errors"
local script = require "tide.script"
local cache = require "tide.policy.cache"
local cells = require "tide.cells"
local crypto = require "tide.crypto"

local M = {}

local KEY_BYTES_MAX = 256
-- What begins a result: "=" data, "!" an error; then the number of attempts, and whether the run
-- found it in the cache.
local HEADER = "<c1I4B"
local FIELDS = {
  "code", "message", "status", "retry_after", "pointer", "errors", "integration", "operation", "policy", "retryable",
  "sent", "inner",
}


-- The outcome as bytes, for callers of other tasks and workers.
local function pack(work, encoded, err)
  local head = HEADER:pack(err and "!" or "=", #work.attempts, work.from_cache and 1 or 0)
  if err == nil then
    return head .. encoded
  end
  local fields = {}
  for _, name in ipairs(FIELDS) do
    fields[name] = err[name]
  end
  return head .. (json.encode(fields) or json.encode({ code = err.code, message = err.message }))
end


local function unpack_outcome(call, bytes)
  local kind, attempts, from_cache, at = HEADER:unpack(bytes)
  if call.work == call then
    call.work = setmetatable({ attempts = {}, effects = 0, exchange = false, shared_attempts = attempts },
      { __index = call })
  end
  call.from_cache = from_cache == 1
  local text = bytes:sub(at)
  if kind == "=" then
    return text
  end
  local fields = json.decode(text)
  return nil, errors.new(fields.code, fields.message, fields)
end


-- What a flight works on in the name of all: like the call that began it, but with attempts, a
-- permit and a deadline of its own.
local function new_work(call, flight)
  local work = {
    attempts = {}, effects = 0, scripts_running = 0, permit = false, from_cache = false, exchange = false,
    flight = flight,
  }
  setmetatable(work, {
    __index = function(_, name)
      if name == "deadline" then
        return flight:deadline()
      end
      return call[name]
    end,
  })
  work.work = work
  work.holder = call.holder == call and work or call.holder
  return work
end


-- Runs and keeps the result; unless another flight has done so since the caller looked.
local function fill(next, work, look)
  if look then
    local encoded, err = cache.fresh(work)
    if encoded ~= nil or err ~= nil then
      return encoded, err
    end
  end
  local epoch = work.cells.cache:epoch()
  local encoded, err = next(work)
  cache.store(work, encoded, err, epoch)
  return encoded, err
end


local function key_of(call)
  -- A refresh gives up where a caller would wait: nobody shares it.
  local kind = call.background and "\0refresh\0" or "\0"
  local key = cells.name(call.integration, call.mock) .. kind .. call.cache_key
  if #key > KEY_BYTES_MAX then
    key = crypto.digest("sha256", key)
  end
  return key
end


-- The same where the framework fails: nobody but the log learns how.
local function fill_safely(next, work)
  local ok, encoded, err, traceback = task.guard(fill, next, work, true)
  if ok then
    return encoded, err
  end
  log.error("internal error in a call", { trace_id = work.trace_id, error = tostring(encoded), traceback = traceback })
  return nil, script.locate(work, errors.new("internal", "internal error"))
end


local function share(call, next)
  local own
  local ok, bytes, code = singleflight.share(key_of(call), call.deadline, function(flight)
    local work = new_work(call, flight)
    call.work = work
    local encoded, err = fill_safely(next, work)
    own = { encoded = encoded, err = err }
    return pack(work, encoded, err)
  end)
  if own then
    call.from_cache, call.age_seconds = call.work.from_cache, call.work.age_seconds
    call.circuit_breaker_state = call.work.circuit_breaker_state
    return own.encoded, own.err
  end
  if ok then
    return unpack_outcome(call, bytes)
  end
  return nil, script.locate(call, errors.new(errors.codes[code] and code or "internal", bytes))
end


function M.wrap(next, operation)
  if not operation.cacheable then
    return next
  end
  return function(call)
    if call.cache_key == nil or not call.settings.cache_enabled then
      return next(call)
    end
    if call.no_cache then
      return fill(next, call, false)
    end
    return share(call, next)
  end
end


return M
