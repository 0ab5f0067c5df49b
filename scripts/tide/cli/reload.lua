-- `tidegate reload`: the running service reads its files again.

local client = require "tide.client"
local command_line = require "tide.command_line"
local output = require "tide.output"
local project = require "tide.project"

local M = {}

M.summary = "make the running service read its files again"
M.usage = "reload [-c config.lua] [--json]"
M.options = { command_line.CONFIG, command_line.JSON }


function M.run(options)
  -- The service is found also when config.lua, as it is now, is wrong: it says so itself.
  local service, message = client.need(project.locate(options.config))
  if not service then
    return 1, message
  end
  local status, answer = service:request("POST", "/api/v1/reload")
  local code, words = output.answer(options, status, answer)
  if code == 0 and #answer.data.errors > 0 then
    return 1, table.concat(answer.data.errors, "\n")
  end
  return code, words
end


return M
