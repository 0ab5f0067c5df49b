-- `tidegate COMMAND …`: finds the command, reads its options, shows what it says.
--
-- A command is a module `tide.cli.NAME`: `summary`, `usage`, `run(arguments) -> exit code,
-- message`, and `options` (see command_line.lua), without which it takes its arguments as they
-- are. Exit codes: 0 done, 1 the operation failed, 2 wrong usage.

local host = require "tide.host"
local log = require "tide.engine.log"
local command_line = require "tide.command_line"
local output = require "tide.output"
local suggest = require "tide.suggest"
local task = require "tide.engine.task"

local M = {}

local WRONG_USAGE = 2


-- The names of all commands, sorted.
function M.names()
  local names = {}
  for _, asset in ipairs(host.assets("scripts/tide/cli/")) do
    names[#names + 1] = asset:match("/([%w_]+)%.lua$")
  end
  return names
end


function M.command(name)
  return require("tide.cli." .. name)
end


local function complain(message)
  host.write("stderr", "tidegate: " .. message .. "\n")
end


local function find(name)
  local names = M.names()
  for _, known in ipairs(names) do
    if known == name then
      return M.command(name)
    end
  end
  return nil, ("there is no command %s%s; tidegate help lists them"):format(name, suggest.hint(name, names))
end


local function asks_for_help(arguments)
  for _, argument in ipairs(arguments) do
    if argument == "--" then
      return false
    end
    if argument == "--help" or argument == "-h" then
      return true
    end
  end
  return false
end


-- What a command raises is a fault of this program: it is said with its place.
local function run_safely(command, options)
  local ok, code, message, traceback = task.guard(command.run, options)
  if ok then
    return code, message
  end
  if code == output.LOST then
    return 1, code
  end
  return 1, ("internal error: %s\n%s"):format(tostring(code), traceback or "")
end


-- A command whose usage has nothing but options takes no arguments: the first that was given all the same.
local function surplus(command, parsed)
  local name = command.usage:gsub("%[%-[^%]]*%]", ""):match("^(%S+)%s*$")
  return name and parsed[1] and ("%s takes no argument %s"):format(name, parsed[1])
end


local ALIASES = { ["--help"] = "help", ["-h"] = "help", ["--version"] = "version", ["-V"] = "version" }


-- A command without options says what it takes as its first argument asks for it; `test` leaves that to busted.
local function run(command, arguments)
  if command.options or (arguments[1] == "--help" and not command.has_help) then
    if asks_for_help(arguments) then
      host.write("stdout", command_line.describe(command))
      return 0
    end
    local parsed, fault = command_line.parse(command.options, arguments)
    fault = fault or surplus(command, parsed)
    if fault then
      return WRONG_USAGE, fault
    end
    return run_safely(command, parsed)
  end
  return command.run(arguments)
end


--- Runs the command that `arguments` name and returns the exit code.
---@param arguments string[]
---@return integer
function M.main(arguments)
  local name = arguments[1]
  if not name then
    host.write("stderr", M.command("help").text())
    return WRONG_USAGE
  end
  name = ALIASES[name] or name
  local command, unknown = find(name)
  if not command then
    complain(unknown)
    return WRONG_USAGE
  end
  -- Results have stdout for themselves; `serve` turns the log on again.
  log.set_level("off")
  local code, message = run(command, { table.unpack(arguments, 2) })
  if message then
    complain(message)
  end
  if code == WRONG_USAGE then
    host.write("stderr", command_line.usage(command) .. "\n")
  end
  return code
end


return M
