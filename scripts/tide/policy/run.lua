-- The innermost policy: one attempt, the provider's own `run`.

local json = require "tide.json"
local errors = require "tide.errors"
local context = require "tide.context"
local script = require "tide.script"
local view = require "tide.view"

local M = {}


local function mismatch(operation, problems)
  local first = problems[1]
  return errors.new("script_error", string.format("the result does not match the output schema of %s: %s at %s",
    operation.name, first.detail, first.pointer))
end


-- Checks what the script returned and encodes it, once. Runs inside the script's
-- budget, as the size of the result is the script's doing.
local function checked(operation, data)
  if data == nil then
    data = json.null
  end
  if operation.output then
    local value, problems = operation.output:validate(data)
    if value == nil then
      error(mismatch(operation, problems), 0)
    end
    data = value
  end
  data = view.plain(data)
  local text, message = json.encode(data)
  if text == nil then
    error(errors.new("script_error", "the result cannot be written as JSON: " .. message), 0)
  end
  return text
end


-- Runs `fn(ctx, input)` as the attempt that is under way. Each attempt gets an input of its
-- own: a script that changes it must not change what the next one sees. `purpose` as for
-- context.new.
function M.invoke(call, fn, purpose)
  local operation = call.operation
  local ctx = context.new(call, purpose)
  local ok, result = script.run(call, function()
    local data, failure = fn(ctx, view.copy(call.input))
    if data == nil and failure ~= nil then
      error(failure, 0)
    end
    return checked(operation, data)
  end)
  if not ok then
    return nil, result
  end
  return result
end


function M.wrap(_, operation)
  local run = operation.definition.run
  return function(call)
    return M.invoke(call, run)
  end
end


return M
