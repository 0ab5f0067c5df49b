-- `tidegate help`: the commands, or one of them.

local host = require "tide.host"
local command_line = require "tide.command_line"
local suggest = require "tide.suggest"

local M = {}

M.summary = "this list, or more about one command"
M.usage = "help [COMMAND]"
M.options = {}

--- Which commands belong together, in the order in which they are read. What is in none stands at the end.
M.GROUPS = {
  { "To begin", { "init", "new", "check", "test", "run" } },
  { "The service", { "serve", "status", "reload", "logs", "webhooks", "backup", "migrate" } },
  { "Calls and prompts", { "call", "api", "repl", "attach" } },
  { "What it works with", { "config", "secret", "token" } },
  { "About itself", { "docs", "completion", "help", "version" } },
}


--- The groups with the commands that there are, each { title, names }.
---@param names string[]
---@return table[]
function M.groups(names)
  local left, groups = {}, {}
  for _, name in ipairs(names) do
    left[name] = true
  end
  for _, group in ipairs(M.GROUPS) do
    local present = {}
    for _, name in ipairs(group[2]) do
      present[#present + 1] = left[name] and name or nil
      left[name] = nil
    end
    groups[#groups + 1] = #present > 0 and { group[1], present } or nil
  end
  local rest = {}
  for _, name in ipairs(names) do
    rest[#rest + 1] = left[name] and name or nil
  end
  groups[#groups + 1] = #rest > 0 and { "Others", rest } or nil
  return groups
end


function M.text()
  local cli = require "tide.cli" -- here, as it requires this one
  local lines = { "Tidegate " .. host.version .. ": a Lua-scriptable integration runtime", "",
    "usage: tidegate COMMAND [ARGUMENT ...]" }
  for _, group in ipairs(M.groups(cli.names())) do
    lines[#lines + 1] = "\n" .. group[1]
    for _, name in ipairs(group[2]) do
      lines[#lines + 1] = ("  %-10s %s"):format(name, cli.command(name).summary)
    end
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "tidegate help COMMAND says more about one."
  return table.concat(lines, "\n") .. "\n"
end


function M.run(options)
  local name = options[1]
  if not name then
    host.write("stdout", M.text())
    return 0
  end
  local cli = require "tide.cli"
  for _, known in ipairs(cli.names()) do
    if known == name then
      host.write("stdout", command_line.describe(cli.command(name)))
      return 0
    end
  end
  return 2, ("there is no command %s%s"):format(name, suggest.hint(name, cli.names()))
end


return M
