-- `tidegate logs`: the call log of the running service, newest first.

local http = require "tide.http"
local client = require "tide.client"
local command_line = require "tide.command_line"
local output = require "tide.output"
local project = require "tide.project"

local M = {}

M.summary = "the call log, newest first"
M.usage = "logs [ID | key=value ...] [-c config.lua] [--json]"
M.options = { command_line.CONFIG, command_line.JSON }


-- Filters as the API knows them: integration=acme success=false from=2026-01-15T09:00:00Z.
local function path_of(arguments)
  if #arguments == 1 and not arguments[1]:find("=", 1, true) then
    return "/api/v1/logs/" .. http.encode(arguments[1])
  end
  local query = {}
  for _, argument in ipairs(arguments) do
    local name, value = argument:match("^([%w_]+)=(.*)$")
    if not name then
      return nil, argument .. " is not key=value"
    end
    query[name] = value
  end
  return "/api/v1/logs" .. (next(query) and "?" .. http.encode_query(query) or "")
end


function M.run(options)
  local path, fault = path_of(options)
  if not path then
    return 2, fault
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  local service, message = client.need(opened)
  if not service then
    return 1, message
  end
  return output.answer(options, service:request("GET", path))
end


return M
