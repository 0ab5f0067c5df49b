-- `tidegate attach`: a prompt inside the running service.

local client = require "tide.client"
local command_line = require "tide.command_line"
local project = require "tide.project"

local M = {}

M.summary = "a prompt inside the running service"
M.usage = "attach [-c config.lua] [--role ROLE]"
M.options = {
  command_line.CONFIG,
  { name = "role", value = "ROLE", values = { "caller", "viewer", "operator" },
    help = "caller, viewer or operator: fewer rights than the owner's" },
}

local STOPPED = "the service has stopped"
local RESTARTED = "this console is gone: the service was started anew, or closed it\n"
  .. "here is a new one, without variables; what was typed did not run, or did not end"


-- Whether the service still knows the console: the status of its answer, nil when there is none.
local function ask(session, width)
  return (session.client:request("PATCH", session.path, { width = width }))
end


-- What becomes of a prompt whose console did not answer as it should (prompt.lua).
local function recover(service, session, layout)
  local status = ask(session, layout.width)
  if not status then
    return nil, STOPPED
  end
  if status < 400 then
    return true
  end
  local opened, message = require("tide.console.remote").open(service, layout)
  return opened, opened and RESTARTED or message
end


-- What to say of a console that has ended without being told to; nil when it was.
local function why_ended(service)
  return service:request("GET", "/health") ~= 200 and STOPPED or nil
end


function M.run(options)
  local service, message = client.need(project.locate(options.config))
  if not service then
    return 1, message
  end
  local prompt = require "tide.console.prompt"
  local layout = prompt.layout()
  layout.role = options.role
  local session
  session, message = require("tide.console.remote").open(service, layout)
  if not session then
    return 1, message
  end
  return prompt.run(session, {
    recover = function(lost) return recover(service, lost, layout) end,
    why_ended = function() return why_ended(service) end,
  })
end


return M
