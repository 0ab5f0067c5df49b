-- Step 1 of a call: refuse what cannot run, validate the input, let the provider prepare it.

local json = require "tide.json"
local errors = require "tide.errors"
local script = require "tide.script"
local cache = require "tide.policy.cache"

local M = {}

local CALL_DEPTH_MAX = 8
local RETRY_AFTER_SECONDS = 30


local function refuse(call, policy, err)
  err.policy = policy
  return nil, script.locate(call, err)
end


local function invalid_input(problems)
  local first = problems[1]
  return errors.new("invalid_input", first.detail, { pointer = first.pointer, errors = problems })
end


local function identity(call)
  return call.label .. ":" .. (json.encode(call.input, { canonical = true }) or "")
end


-- A chain of calls that comes back to where it was would go on until its deadline.
local function circular(call)
  call.identity = identity(call)
  local ancestor = call.parent
  while ancestor do
    ancestor.identity = ancestor.identity or identity(ancestor)
    if ancestor.identity == call.identity then
      return true
    end
    ancestor = ancestor.parent
  end
  return false
end


local function nesting_error(call)
  if call.depth > CALL_DEPTH_MAX then
    return errors.new("script_error", string.format("calls are nested more than %d deep", CALL_DEPTH_MAX))
  end
  if circular(call) then
    return errors.new("script_error", "call cycle: " .. call.label .. " was reached again with the same input")
  end
end


-- The input as the operation wants it: checked, defaults filled in, prepared; or nil, an error
-- and the step that refused it.
local function prepare_input(call, operation, value)
  local input, prepare = operation.input, operation.definition.prepare
  if value == nil then
    value = {}
  end
  if input then
    local problems
    value, problems = input:validate(value)
    if problems then
      return nil, invalid_input(problems), "validate"
    end
  end
  if prepare == nil then
    return value
  end
  local ok, prepared = script.run(call, prepare, value, operation.integration.settings)
  if not ok then
    return nil, prepared, "prepare"
  end
  if prepared == nil then
    return value
  end
  return prepared
end

-- For keys of another operation's answers (ctx.cache.forget).
cache.prepare = prepare_input


function M.wrap(next, operation)
  local name = operation.integration.name

  return function(call)
    if not call.settings.is_enabled then
      return refuse(call, "enabled", errors.new("disabled", name .. " is disabled (is_enabled = false)",
        { retry_after = RETRY_AFTER_SECONDS }))
    end
    if not call.prepared then
      local value, err, step = prepare_input(call, operation, call.input)
      if err then
        return refuse(call, step, err)
      end
      call.input = value
    end
    if call.parent then
      local err = nesting_error(call)
      if err then
        return refuse(call, "nesting", err)
      end
    end
    return next(call)
  end
end


return M
