-- Step 3 of a call: an answer that is kept. Looked up here, filled by policy/singleflight.lua.

local crypto = require "tide.crypto"
local json = require "tide.json"
local task = require "tide.task"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local script = require "tide.script"

local M = {}

-- Longer inputs are known by their beginning, which patterns see, and their hash.
local KEY_TEXT_MAX = 4096

counters.describe("cache_requests_total", "counter", "Look-ups in the cache, by result: hit, stale, negative, miss.")


-- Keys --------------------------------------------------------------------------------------------


-- What an answer depends on besides the input: 32 hexadecimal digits, made anew when the
-- integration's values are others.
local function variant_of(operation)
  local values = operation.integration.values
  local variant = operation.variant
  if variant == nil or variant.values ~= values then
    local text = json.encode({
      base_url = values.base_url, extra_config = values.extra_config, version = operation.cache.version,
    }, { canonical = true })
    variant = { values = values, text = crypto.hex(crypto.digest("sha256", text)):sub(1, 32) }
    operation.variant = variant
  end
  return variant.text
end


-- `OPERATION:canonical JSON`, NUL, the variant. nil for an input that JSON cannot hold (bytes).
-- Real and mock answers lie in spaces of their own.
function M.key(operation, input)
  local text = json.encode(input, { canonical = true })
  if text == nil then
    return nil
  end
  if #text > KEY_TEXT_MAX then
    text = text:sub(1, KEY_TEXT_MAX) .. "#" .. crypto.hex(crypto.digest("sha256", text))
  end
  return operation.name .. ":" .. text .. "\0" .. variant_of(operation)
end


-- Keys of inputs as they were written: checking and preparing an input that came before in the
-- same words gives the same key (kept.lua reads this).
local MEMO_ENTRIES_MAX = 1000
local MEMO_TEXT_MAX = 256
-- Of all operations of this worker: callers decide what they send.
local MEMO_TOTAL_MAX = 20000

local remembering = setmetatable({}, { __mode = "k" })
local remembered = 0


local function forget_all()
  for operation in pairs(remembering) do
    operation.memo = nil
    remembering[operation] = nil
  end
  remembered = 0
end


-- What is remembered of an operation, empty when its values are others or it is full.
local function memo_of(operation)
  local memo = operation.memo
  local values = operation.integration.values
  if memo == nil or memo.values ~= values or memo.count >= MEMO_ENTRIES_MAX then
    remembered = remembered - (memo and memo.count or 0)
    memo = { values = values, count = 0, keys = {} }
    operation.memo = memo
    remembering[operation] = true
  end
  return memo
end


local function remember(operation, text, key)
  if text == nil or key == nil or #text > MEMO_TEXT_MAX then
    return
  end
  if remembered >= MEMO_TOTAL_MAX then
    forget_all()
  end
  local memo = memo_of(operation)
  if memo.keys[text] == nil then
    memo.keys[text] = key
    memo.count = memo.count + 1
    remembered = remembered + 1
  end
end


-- Entries -----------------------------------------------------------------------------------------


local function ttl_of(operation)
  return operation.cache.ttl_seconds or operation.integration.values.cache_ttl_seconds
end


local NEGATIVE_FIELDS = { "code", "message", "status", "pointer" }


local function pack_error(err)
  local fields = {}
  for _, name in ipairs(NEGATIVE_FIELDS) do
    fields[name] = err[name]
  end
  return json.encode(fields)
end


local function unpack_error(call, text)
  local fields = json.decode(text)
  return script.locate(call, errors.new(fields.code, fields.message,
    { status = fields.status, pointer = fields.pointer }))
end


-- Keeps the outcome of a run that began in `epoch`.
function M.store(call, encoded, err, epoch)
  local values = call.settings
  if not values.cache_enabled or call.cache_key == nil then
    return
  end
  local space = call.cells.cache
  if err == nil then
    space:put(call.cache_key, encoded, ttl_of(call.operation), values.cache_keep_seconds, epoch)
  elseif err.code == "not_found" and values.cache_negative_seconds > 0 then
    space:put(call.cache_key, pack_error(err), values.cache_negative_seconds, 0, epoch, true)
  end
end


local function answer(call, value, age, is_negative)
  call.from_cache = true
  call.age_seconds = math.max(0, math.floor(age))
  if is_negative then
    return nil, unpack_error(call, value)
  end
  return value
end


-- The fresh answer, if there is one: its JSON, or nil and the error that was kept; nil, nil.
function M.fresh(call)
  local value, age, expires_in, is_negative = call.cells.cache:get(call.cache_key)
  if value == nil or expires_in <= 0 then
    return nil
  end
  return answer(call, value, age, is_negative)
end


-- Whatever is kept, however old, for when the third party fails.
function M.kept(call)
  if call.cache_key == nil or not call.settings.cache_enabled then
    return nil
  end
  local value, age, _, is_negative = call.cells.cache:get(call.cache_key)
  if value == nil or is_negative then
    return nil
  end
  call.stale = true
  return answer(call, value, age)
end


-- Invalidation ------------------------------------------------------------------------------------


-- Forgets the answer of `ctx.cache.forget(operation, input)`; false when none was kept.
function M.forget(call, name, input)
  local operation = call.integration.operations[name]
  local problem
  input, problem = M.prepare(call, operation, input)
  if problem then
    error(problem, 0)
  end
  local key = operation.cacheable and M.key(operation, input)
  return key and call.cells.cache:delete(key) or false
end


-- The policy --------------------------------------------------------------------------------------


function M.series(operation)
  local name = operation.integration.name
  local series = {}
  for _, result in ipairs({ "hit", "stale", "negative", "miss" }) do
    series[result] = counters.counter("cache_requests_total",
      string.format('integration="%s",result="%s"', name, result))
  end
  return series
end


-- One refresh of a key at a time in each worker; over the workers they share a flight.
local refreshing = {}

local function refresh(call)
  local id = call.operation.label .. call.cache_key
  if refreshing[id] then
    return
  end
  refreshing[id] = true
  local again = call.again
  task.detach(function()
    local ending <close> = setmetatable({}, { __close = function() refreshing[id] = nil end })
    again(call)
  end)
end


function M.wrap(next, operation)
  if not operation.cacheable then
    return next
  end
  local series = M.series(operation)
  operation.cache_hits = series.hit

  local function note(call, kind)
    call.cells.cache:count(kind)
    series[kind]:add(1)
    call.statistics:count(kind == "miss" and "cache_miss" or "cache_hit")
  end

  return function(call)
    local values = call.settings
    call.cache_key = M.key(operation, call.input)
    remember(operation, call.text, call.cache_key)
    if call.cache_key == nil or not values.cache_enabled or call.no_cache or call.background then
      return next(call)
    end
    local value, age, expires_in, is_negative = call.cells.cache:get(call.cache_key)
    if value ~= nil and expires_in > 0 then
      note(call, is_negative and "negative" or "hit")
      return answer(call, value, age, is_negative)
    end
    if value ~= nil and not is_negative and -expires_in < values.cache_stale_seconds then
      note(call, "stale")
      call.stale = true
      refresh(call)
      return answer(call, value, age)
    end
    note(call, "miss")
    return next(call)
  end
end


return M
