-- `tidegate status`: the running service.

local client = require "tide.client"
local command_line = require "tide.command_line"
local output = require "tide.output"
local project = require "tide.project"
local status_text = require "tide.status_text"

local M = {}

M.summary = "the state of the running service"
M.usage = "status [-c config.lua] [--json]"
M.options = { command_line.CONFIG, command_line.JSON }


function M.run(options)
  local service, message = client.need(project.locate(options.config))
  if not service then
    return 1, message
  end
  local status, answer = service:request("GET", "/api/v1/status")
  return output.answer(options, status, answer, function(value) return status_text.text(value.data) end)
end


return M
