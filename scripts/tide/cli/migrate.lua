-- `tidegate migrate`: brings the tables up to date, as `serve` does when it starts.

local command_line = require "tide.command_line"
local output = require "tide.output"
local project = require "tide.project"

local M = {}

M.summary = "bring the tables of the store and of the project up to date"
M.usage = "migrate [-c config.lua] [--json]"
M.options = { command_line.CONFIG, command_line.JSON }


function M.run(options)
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  local applied, own = opened:open_locked()
  if not applied then
    return 1, own
  end
  output.print({ applied = applied, project = own }, options)
  return 0
end


return M
