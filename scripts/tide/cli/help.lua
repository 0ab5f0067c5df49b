-- `tidegate help`: the commands.

local host = require "tide.host"

local M = {}

M.summary = "this list"
M.usage = "help"
M.options = {}


function M.text()
  local cli = require "tide.cli" -- here, as it requires this one
  local lines = { "Tidegate " .. host.version .. ": a Lua-scriptable integration runtime", "",
    "usage: tidegate COMMAND [ARGUMENT ...]", "" }
  for _, name in ipairs(cli.names()) do
    lines[#lines + 1] = ("  %-10s %s"):format(name, cli.command(name).summary)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "tidegate COMMAND --help says more about one."
  return table.concat(lines, "\n") .. "\n"
end


function M.run()
  host.write("stdout", M.text())
  return 0
end


return M
