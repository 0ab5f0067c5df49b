-- `tidegate repl`: the project's service in this process, at no address, with a prompt inside.

local command_line = require "tide.command_line"

local M = {}

M.summary = "a runtime of one's own at the prompt"
M.usage = "repl [-c config.lua]"
M.options = { command_line.CONFIG }

-- One worker processes webhook events; what is typed runs in the main one.
local WORKERS = 1


local function open_session(service, layout)
  local identity = { name = "console", role = "admin", rights = require("tide.tokens").ROLES.admin }
  return require("tide.console.session").new {
    instance = { live = service.live, workers = WORKERS }, identity = identity,
    width = layout.width, is_color = layout.is_color, project = service.project.config_path,
    on_line = require("tide.console.record").of(identity),
  }
end


-- The log, which is not to be seen here, and what it begins with.
local function notes_of(service)
  local notes = { "the log is in " .. service.project:file("log") }
  table.move(service.live:current().errors, 1, #service.live:current().errors, 2, notes)
  return notes
end


-- Why it does not start, for a person.
local function explain(message, code, config_path)
  if code ~= "locked" then
    return message
  end
  local located = require("tide.project").locate(config_path)
  return ("a service runs in %s (pid %s): use tidegate attach"):format(located.config.data_dir,
    message:match("pid (%d+)") or "unknown")
end


function M.run(options)
  local service, message, code = require("tide.service").start {
    config = options.config, workers = WORKERS, is_private = true,
  }
  if not service then
    return 1, explain(message, code, options.config)
  end
  local prompt = require "tide.console.prompt"
  local exit_code = prompt.run(open_session(service, prompt.layout()), { notes = notes_of(service) })
  service:stop("the end of the prompt")
  return exit_code
end


return M
