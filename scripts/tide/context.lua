-- `ctx`: the one argument that carries the world to a provider's functions. Members are
-- made when they are first used; none can be set.

local task = require "tide.task"
local log = require "tide.log"
local json = require "tide.json"
local kept = require "tide.kept"
local uuid = require "tide.uuid"
local script = require "tide.script"
local secrets = require "tide.secrets"
local context_cache = require "tide.context.cache"
local context_db = require "tide.context.db"
local context_http = require "tide.context.http"
local keyed_call = require "tide.webhook.keyed_call"

local M = {}

local LEVELS = { "debug", "info", "warn", "error" }
local ALL_LIMIT = 8

-- Keys of a context's own table that scripts cannot name.
local CALL, ATTEMPT, PURPOSE = {}, {}, {}


local function logger(call)
  local members = {}
  for _, level in ipairs(LEVELS) do
    members[level] = function(message, fields)
      if type(message) ~= "string" then
        script.misuse("ctx.log: the message must be a string, got " .. type(message))
      end
      local all = {}
      for key, value in pairs(fields or {}) do
        all[key] = value
      end
      all.integration = call.integration.name
      all.operation = call.operation.name
      all.trace_id = call.trace_id
      log[level](message, all)
    end
  end
  return members
end


-- Names the call's own error as one that was retried and counted where it happened.
local function inner_error(err)
  err.inner = true
  return err
end


local CANONICAL = { canonical = true }


local function plain_call(call, integration, operation, input, options)
  return call.run(call.generation, integration, operation, input, options)
end


local function nested_call(call, integration, operation, input)
  if type(integration) ~= "string" or type(operation) ~= "string" then
    script.misuse("ctx.call: expects the names of an integration and an operation")
  end
  script.may_wait(call, "ctx.call")
  local text = json.encode(input, CANONICAL)
  if text then
    local data, meta = kept.data(call, integration, operation, text)
    if meta then
      return data, meta
    end
  end
  local run = keyed_call.is_needed(call, integration, operation) and keyed_call.run or plain_call
  local result, err, inner = run(call, integration, operation, input, {
    parent = call,
    text = text,
    trace_id = call.trace_id,
    caller = call.caller,
    user_id = call.user_id,
    deadline = call.deadline,
    mock = call.mock or nil,
  })
  if inner then
    call.effects = call.effects + inner.work.effects
  end
  if err then
    error(inner_error(err), 0)
  end
  return json.decode(result.json), result.meta
end


-- `return nil, err` raises in a branch as it does in `run`.
local function branch(fn)
  return function()
    local value, err = fn()
    if value == nil and err ~= nil then
      error(err, 0)
    end
    return value
  end
end


local function all(call, list, options)
  if type(list) ~= "table" then
    script.misuse("ctx.all: expects a list of functions, got " .. type(list))
  end
  script.may_wait(call, "ctx.all")
  local branches = {}
  for index, fn in ipairs(list) do
    if type(fn) ~= "function" then
      script.misuse(string.format("ctx.all: item %d is a %s, not a function", index, type(fn)))
    end
    branches[index] = branch(fn)
  end
  return task.all(branches, { limit = options and options.limit or ALL_LIMIT })
end


local function sleep(call, seconds)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    script.misuse("ctx.sleep: expects a number of seconds that is not negative")
  end
  script.may_wait(call, "ctx.sleep")
  task.sleep(seconds)
end


local function secret(call, name)
  if type(name) ~= "string" then
    script.misuse("ctx.secret: expects the name of a secret, got " .. type(name))
  end
  if not call.integration.declared_secrets[name] then
    script.misuse(string.format('ctx.secret: %q is not declared: add it to secrets = { "%s" }', name, name))
  end
  return secrets.value(call.integration, name)
end


local MEMBERS = {
  integration = function(call) return call.integration.name end,
  operation = function(call) return call.operation.name end,
  trace_id = function(call) return call.trace_id end,
  attempt = function(_, attempt) return attempt and attempt.number or 0 end,
  mock = function(call) return call.mock end,
  deadline = function(call) return call.deadline end,
  config = function(call) return call.integration.settings end,
  idempotency_key = function(call)
    call.idempotency_key = call.idempotency_key or uuid.v4()
    return call.idempotency_key
  end,
  secret = function(call) return function(name) return secret(call, name) end end,
  http = function(call, attempt, purpose) return context_http.new(call, attempt, purpose) end,
  cache = context_cache.new,
  db = context_db.new,
  log = logger,
  all = function(call) return function(list, options) return all(call, list, options) end end,
  sleep = function(call) return function(seconds) return sleep(call, seconds) end end,
  call = function(call)
    return function(integration, operation, input) return nested_call(call, integration, operation, input) end
  end,
}


-- Members that wait for something.
local WAITING = { http = true, call = true, all = true, sleep = true, db = true }


local function known_members()
  local names = {}
  for name in pairs(MEMBERS) do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, ", ")
end

local KNOWN = known_members()


-- The names of everything that a ctx has, each true.
function M.members()
  local names = {}
  for name in pairs(MEMBERS) do
    names[name] = true
  end
  return names
end


local VALUES = {
  __index = function(values, name)
    local make = MEMBERS[name]
    if WAITING[name] and rawget(values, PURPOSE) == "fallback" then
      script.misuse(string.format("ctx.%s: a fallback may not wait", name))
    end
    if make == nil then
      script.misuse(string.format("ctx has no member %q; it has %s", tostring(name), KNOWN))
    end
    local value = make(values[CALL], values[ATTEMPT], rawget(values, PURPOSE))
    values[name] = value
    return value
  end,
}


local function read_only(_, name)
  script.misuse("ctx is read-only: " .. tostring(name))
end


-- The context of the attempt that is under way. `purpose` is "auth" for `auth` and a token's
-- `fetch`, "fallback" for what may not wait.
function M.new(call, purpose)
  local attempt = call.attempts[#call.attempts]
  local values = setmetatable({ [CALL] = call, [ATTEMPT] = attempt, [PURPOSE] = purpose }, VALUES)
  return setmetatable({}, { __index = values, __newindex = read_only, __metatable = "ctx" })
end


return M
