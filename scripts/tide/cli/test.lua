--- `tidegate test [busted's arguments]`: specs inside the host, primitives and all.
---
--- busted runs in one task without a CPU budget, so that specs may wait. After each `it` what
--- it started is cancelled and no operation may be open; an `it` that takes longer than
--- TEST_SECONDS fails. The log is silent unless TIDEGATE_TEST_LOG names a level.

local log = require "tide.engine.log"
local task = require "tide.task"

local TEST_SECONDS <const> = 10

local M = {}

M.summary = "run specs inside the host"
M.usage = "test [busted's arguments]"
M.has_help = true -- busted's

-- Raised in place of os.exit, which would end the process with its threads.
local exit_mark = {}


local function exit_instead(code)
  if code == true or code == nil then code = 0 end
  if code == false then code = 1 end
  error(setmetatable({ code = code }, exit_mark), 0)
end


-- What an `it` left open, once what it started has been cancelled.
-- Only if there is something, it may be garbage: to collect all that the specs before hold takes long.
local function leftovers(before)
  local left = task.stats().live_operations - before
  if left > 0 then
    collectgarbage()
    collectgarbage()
    left = task.stats().live_operations - before
  end
  return left
end


-- Runs each test as a child of its own, whose end cancels what the test started. A failure
-- to end in time, or to close everything, is reported as the test's own.
local function bound_tests(core)
  local safe = core.safe

  local function report(element, message)
    return safe("it", function() error(message, 0) end, element)
  end

  function core.safe(descriptor, run, element)
    if descriptor ~= "it" then return safe(descriptor, run, element) end
    local before = task.stats().live_operations
    local outcome = table.pack(task.real_timeout(TEST_SECONDS, safe, descriptor, run, element))
    if outcome[1] == nil then
      core.context.pop()
      return report(element, "the test took longer than " .. TEST_SECONDS .. " s")
    end
    if not outcome[1] then return report(element, tostring(outcome[2])) end
    local left = leftovers(before)
    if left > 0 then return report(element, left .. " operations were left open by the test") end
    return table.unpack(outcome, 2, outcome.n)
  end
end


-- The runner makes its core itself; it is caught where it is handed to the module "busted".
local function catch_core()
  local busted = require "busted"
  package.loaded["busted"] = setmetatable({}, {
    __index = busted,
    __call = function(_, core)
      local api = busted(core)
      bound_tests(core)
      return api
    end,
  })
end


local function default_arguments(arguments)
  local list = { table.unpack(arguments) }
  local has_path = false
  for _, argument in ipairs(list) do
    if argument:sub(1, 1) ~= "-" then has_path = true end
  end
  if not has_path then list[#list + 1] = "spec" end
  return list
end


function M.run(arguments)
  local real_exit = os.exit
  os.exit = exit_instead -- luacheck: ignore
  local list = default_arguments(arguments)
  list[0] = "tidegate test"
  arg = list -- luacheck: ignore
  catch_core()
  log.set_level(os.getenv("TIDEGATE_TEST_LOG") or "off")
  local ok, err = task.guard(function() require "busted.runner" { standalone = false } end)
  os.exit = real_exit -- luacheck: ignore
  if ok then return 0 end
  if getmetatable(err) == exit_mark then return err.code end
  return 1, tostring(err)
end


return M
