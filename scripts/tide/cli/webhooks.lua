-- `tidegate webhooks`: the stored events of the running service: which there are, run again, discarded;
-- and one that is sent as its sender would send it.

local http = require "tide.http"
local client = require "tide.client"
local command_line = require "tide.command_line"
local output = require "tide.output"
local project = require "tide.project"
local suggest = require "tide.suggest"
local send_command = require "tide.webhook.send_command"

local M = {}

M.summary = "list, look into, retry and discard webhook events; send one"
M.usage = "webhooks list [key=value ...] | show ID | retry ID | retry key=value ... [--dry-run] | discard ID\n"
  .. "       tidegate webhooks send INTEGRATION[/SOURCE] --file FILE [--secret-file FILE] [--type TYPE]\n"
  .. "         [--header 'Name: value' ...] [--url URL]"
M.options = {
  command_line.CONFIG, command_line.JSON,
  { name = "dry-run", help = "retry: only say how many it would be" },
  { name = "file", value = "FILE", help = "send: the body, - for standard input" },
  { name = "type", value = "TYPE", help = "send: the event's type, where it is in a header" },
  { name = "header", value = "TEXT", list = true, help = "send: one more header, \"Name: value\"" },
  { name = "secret-file", value = "FILE", help = "send: what to sign with, instead of the project's secret" },
  { name = "secret", value = "TEXT", help = "the same, for development only: others see the command line" },
  { name = "url", value = "URL", help = "send: where to, instead of the service of this project" },
}
-- Of which action an option is.
local OPTION_OF = { dry_run = "retry", file = "send", type = "send", header = "send", secret_file = "send",
  secret = "send", url = "send" }

local EVENTS = "/api/v1/events"


-- The arguments from the second on as a query: status=failed integration=shop; nil and what is wrong.
local function query_of(options, given)
  local query = given or {}
  for index = 2, #options do
    local name, value = options[index]:match("^([%w_]+)=(.*)$")
    if not name then
      return nil, options[index] .. " is not key=value"
    end
    if query[name] then
      return nil, name .. " is given twice"
    end
    query[name] = value
  end
  return next(query) and "?" .. http.encode_query(query) or ""
end


-- The path of the one event that is named; nil and what is wrong.
local function event_path(options)
  if not options[2] or options[3] or not options[2]:match("^[%x-]+$") then
    return nil, "the id of one event is needed"
  end
  return EVENTS .. "/" .. options[2]
end


-- What each action asks of the service: method and path, or nil and what is wrong.
local actions = {}


function actions.list(options)
  local query, fault = query_of(options)
  return query and "GET", query and EVENTS .. query or fault
end


function actions.show(options)
  local path, fault = event_path(options)
  return path and "GET", path or fault
end


function actions.retry(options)
  if options[2] and options[2]:find("=", 1, true) then
    local query, fault = query_of(options, options.dry_run and { dry_run = "true" })
    return query and "POST", query and EVENTS .. "/retry" .. query or fault
  end
  local path, fault = event_path(options)
  if path and options.dry_run then
    path, fault = nil, "--dry-run is for many: retry status=failed --dry-run"
  end
  return path and "POST", path and path .. "/retry" or fault
end


function actions.discard(options)
  local path, fault = event_path(options)
  return path and "DELETE", path or fault
end


local NAMES = { "list", "show", "retry", "discard", "send" }


-- What is wrong with the choice of action and options; nil when it is sound.
local function usage_fault(options)
  local wanted = options[1]
  if wanted == nil then
    return "list, show, retry, discard or send?"
  end
  if wanted ~= "send" and not actions[wanted] then
    return ("webhooks does not %s%s"):format(wanted, suggest.hint(wanted, NAMES))
  end
  for _, option in ipairs(M.options) do
    local name = option.name:gsub("-", "_")
    if options[name] ~= nil and (OPTION_OF[name] or wanted) ~= wanted then
      return ("--%s is for %s"):format(option.name, OPTION_OF[name])
    end
  end
end


function M.run(options)
  local fault = usage_fault(options)
  if fault then
    return 2, fault
  end
  if options[1] == "send" then
    return send_command.run(options)
  end
  local method, path = actions[options[1]](options)
  if not method then
    return 2, path
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  local service, message = client.need(opened)
  if not service then
    return 1, message
  end
  local status, answer = service:request(method, path)
  return output.answer(options, status, status == 204 and { discarded = options[2] } or answer)
end


return M
