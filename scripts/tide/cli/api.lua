-- `tidegate api METHOD PATH`: any endpoint of the running service.

local http = require "tide.http"
local client = require "tide.client"
local command_line = require "tide.command_line"
local input = require "tide.input"
local output = require "tide.output"
local project = require "tide.project"

local M = {}

M.summary = "send a request to the running service"
M.usage = "api METHOD PATH [key=value | key:=JSON | key=@FILE ...] [--input JSON|@FILE|-] [-c config.lua] [--json]"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "input", value = "JSON", help = "the body: JSON, @FILE, or - for standard input" },
}

local WITH_QUERY = { GET = true, HEAD = true, DELETE = true }


local function send(service, method, path, values)
  if not next(values) then
    return service:request(method, path, not WITH_QUERY[method] and values or nil)
  end
  if WITH_QUERY[method] then
    return service:request(method, path .. (path:find("?", 1, true) and "&" or "?") .. http.encode_query(values))
  end
  return service:request(method, path, values)
end


function M.run(options)
  local method, path = (options[1] or ""):upper(), options[2]
  if not method:match("^%u+$") or not path or path:sub(1, 1) ~= "/" then
    return 2, "a method and a path such as /api/v1/status are needed"
  end
  local values, fault = input.read({ table.unpack(options, 3) }, options.input)
  if not values then
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
  return output.answer(options, send(service, method, path, values))
end


return M
