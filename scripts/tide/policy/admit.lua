-- Step 1 of a call: refuse what cannot run, validate the input, let the provider prepare it.

local json = require "tide.json"
local errors = require "tide.errors"
local script = require "tide.script"

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


function M.wrap(next, operation)
  local input = operation.input
  local prepare = operation.definition.prepare
  local label = operation.integration.name

  return function(call)
    if not call.settings.is_enabled then
      return refuse(call, "enabled", errors.new("disabled", label .. " is disabled (is_enabled = false)",
        { retry_after = RETRY_AFTER_SECONDS }))
    end
    local value = call.input == nil and {} or call.input
    if input then
      local problems
      value, problems = input:validate(value)
      if problems then
        return refuse(call, "validate", invalid_input(problems))
      end
    end
    if prepare then
      local ok, prepared = script.run(call, prepare, value, call.integration.settings)
      if not ok then
        return refuse(call, "prepare", prepared)
      end
      value = prepared == nil and value or prepared
    end
    call.input = value
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
