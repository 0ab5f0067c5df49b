-- Provider code: run under its CPU budget; whatever it raises becomes an error table.

local task = require "tide.task"
local errors = require "tide.errors"
local log = require "tide.log"

local M = {}

local DEFAULT_BUDGET_MS = 1000
-- The framework's own files, which are never to blame for a misuse of ctx.
local FRAMEWORK = "scripts/tide/"


local function set_budget(call)
  task.budget(call.generation.config.script_timeout_ms or DEFAULT_BUDGET_MS, call.label)
end


-- The budget of whoever goes on after `call`'s script: the script around it (auth.fetch
-- runs inside run), the script that called ctx.call, or the framework, which has none.
local function restore_budget(call)
  if call.scripts_running > 0 then
    return set_budget(call)
  end
  if call.parent then
    return set_budget(call.parent)
  end
  task.budget(nil)
end


local function stopped(call, kind)
  if kind == "script_timeout" then
    local limit = call.generation.config.script_timeout_ms or DEFAULT_BUDGET_MS
    return errors.new(kind, string.format("%s ran for more than %d ms without waiting (script_timeout_ms)",
      call.label, limit))
  end
  return errors.new(kind, call.label .. " needed more memory than the worker has (memory_limit_mb)")
end


-- Fills in where an error happened, unless a call below has already said so.
function M.locate(call, err)
  err.integration = err.integration or call.integration.name
  err.operation = err.operation or call.operation.name
  err.trace_id = err.trace_id or call.trace_id
  return err
end


-- What a script raised, as an error table. A value that is none was a mistake in the
-- script: its traceback is for the log only.
function M.error_of(call, value, kind, traceback)
  if kind == "script_timeout" or kind == "out_of_memory" then
    return M.locate(call, stopped(call, kind))
  end
  if errors.is(value) then
    return M.locate(call, value)
  end
  local err = M.locate(call, errors.from(value, traceback))
  log.error("script error", {
    integration = call.integration.name,
    operation = call.operation.name,
    trace_id = call.trace_id,
    error = err.message,
    traceback = traceback,
  })
  return err
end


-- What `run` needs to know of a provider's function that no call is behind: one that reads a webhook.
function M.context(generation, integration, label, trace_id)
  return {
    generation = generation, integration = integration, operation = { name = "webhook" }, label = label,
    trace_id = trace_id, scripts_running = 0,
  }
end


-- Runs `fn(...)` of the provider: `true, first, second` or `false, err`. `return nil, err`
-- counts as raising `err`.
function M.run(call, fn, ...)
  call.scripts_running = call.scripts_running + 1
  set_budget(call)
  local ok, first, second, third = task.guard(fn, ...)
  call.scripts_running = call.scripts_running - 1
  restore_budget(call)
  if not ok then
    return false, M.error_of(call, first, second, third)
  end
  if first == nil and second ~= nil then
    return false, M.error_of(call, second)
  end
  return true, first, second
end


-- "FILE:LINE: " of the provider's own line that is running, however deep in the framework; "" when
-- there is none.
function M.place()
  for level = 3, 30 do
    local info = debug.getinfo(level, "Sl")
    if info == nil then
      break
    end
    if info.what ~= "C" and not info.source:find(FRAMEWORK, 1, true) then
      return string.format("%s:%d: ", info.short_src, info.currentline)
    end
  end
  return ""
end


-- Raises a misuse of ctx at the provider's own line.
function M.misuse(message)
  error(M.place() .. message, 0)
end


-- Raises where nothing may wait: inside a transaction of the running coroutine.
function M.may_wait(call, name)
  local open = call.in_transaction
  if open and open[coroutine.running()] then
    M.misuse(name .. ": inside a transaction only tx.query may wait")
  end
end


return M
