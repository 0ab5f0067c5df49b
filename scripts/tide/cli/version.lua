-- `tidegate version`.

local host = require "tide.host"
local command_line = require "tide.command_line"
local output = require "tide.output"

local M = {}

M.summary = "the version of this binary"
M.usage = "version [--json]"
M.options = { command_line.JSON }


function M.run(options)
  if options.json then
    output.print({ version = host.version, lua = _VERSION }, options)
  else
    host.write("stdout", "tidegate " .. host.version .. "\n")
  end
  return 0
end


return M
