--- Structured concurrency: the engine's tasks, and what is made of them.
--- See docs/api/task.lua.

local engine = require "tide.engine.task"

local DEFAULT_LIMIT <const> = 8
-- What is kept running is begun again after so long.
local AGAIN_SECONDS <const> = 1

local M = {}

for name, value in pairs(engine) do M[name] = value end


-- An overrun of a child's budget must stay recognisable when it is raised in the parent.
local function raise(outcome)
  local err, kind = outcome[2], outcome[3]
  local errors = require "tide.errors" -- here, as the command line needs tasks and no errors
  if kind and not errors.is(err) then
    err = errors.new(kind == "cancelled" and "internal" or kind, tostring(err))
  end
  error(err, 0)
end


-- Starts `run` as a child that reports its outcome, however it ends, and wakes the parent.
local function start(parent, run, report)
  return engine.spawn(function()
    local outcome = { false, "the task was cancelled", "cancelled", n = 3 }
    local ending <close> = setmetatable({}, {
      __close = function()
        report(outcome)
        engine.unpark(parent)
      end,
    })
    outcome = table.pack(engine.guard(run))
  end)
end


-- A list of children that are cancelled when the variable that holds it is closed.
local Children <const> = {
  __close = function(children)
    for _, child in ipairs(children) do child:cancel() end
  end,
}


--- Runs each function of `list`, at most `options.limit` at a time; their first results in
--- order. If one raises, its siblings are cancelled and the error is raised.
function M.all(list, options)
  if type(list) ~= "table" then error("task.all takes a list of functions", 2) end
  local limit = options and options.limit or DEFAULT_LIMIT
  if math.type(limit) ~= "integer" or limit < 1 then error("limit must be a positive integer", 2) end
  local results, next_index, failed = {}, 1, nil
  local running = math.min(limit, #list)

  local function work()
    while next_index <= #list do
      local index = next_index
      next_index = index + 1
      results[index] = list[index]()
    end
  end

  local function report(outcome)
    running = running - 1
    if not outcome[1] and not failed then failed = outcome end
  end

  local parent = engine.current()
  do
    local children <close> = setmetatable({}, Children)
    for i = 1, running do children[i] = start(parent, work, report) end
    while running > 0 and not failed do engine.park() end
  end
  if failed then raise(failed) end
  return results
end


--- The first to end wins: its results are returned, or its error is raised; the others are
--- cancelled.
function M.race(list)
  if type(list) ~= "table" or #list == 0 then
    error("task.race takes a list of functions that is not empty", 2)
  end
  local parent, winner = engine.current(), nil
  local function report(outcome) winner = winner or outcome end
  do
    local children <close> = setmetatable({}, Children)
    for i, run in ipairs(list) do children[i] = start(parent, run, report) end
    while not winner do engine.park() end
  end
  if not winner[1] then raise(winner) end
  return table.unpack(winner, 2, winner.n)
end


local function bounded(milliseconds, label, run, ...)
  engine.budget(milliseconds, label)
  return engine.guard(run, ...)
end


local function outcome_of(joined, ...)
  if joined then return ... end
  local err, kind = ...
  if kind == "cancelled" then
    return false, "it needed more memory than the worker has (memory_limit_mb)", "out_of_memory"
  end
  return false, err, kind
end


--- Runs `fn(...)` within a budget, as a child: whatever becomes of it, the caller goes on.
function M.bounded(milliseconds, label, fn, ...)
  local child <close> = engine.spawn(bounded, milliseconds, label, fn, ...)
  return outcome_of(child:join())
end


-- Why what was to go on has ended, if by a fault.
local function log_end(what, joined, ok, err, _, traceback)
  if joined and ok then return false end
  local log = require "tide.log" -- which needs tasks itself
  log.error(what .. " stopped: internal error; it is begun again", {
    error = tostring(joined and err or ok), traceback = traceback })
  return true
end


--- Runs `fn(...)` in a task of its own, begun again should it fail.
function M.keep(what, fn, ...)
  local arguments = table.pack(...)
  return engine.detach(function()
    local child
    repeat
      if child then engine.sleep(AGAIN_SECONDS) end
      child = engine.spawn(engine.guard, fn, table.unpack(arguments, 1, arguments.n))
    until not log_end(what, child:join())
  end)
end


return M
