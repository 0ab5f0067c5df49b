-- Consoles in a service that a spec has started, and in this process.

local client = require "tide.client"
local remote = require "tide.console.remote"
local time = require "tide.time"

local M = {}

local SECONDS_MAX = 9


-- The service of a project (spec.support.service), as the command line sees it.
function M.client(project)
  return assert(client.find { file = function() return project.folder .. "/var/tidegate.sock" end })
end


-- A console in the service of `project`.
function M.open(project, options)
  return assert(remote.open(M.client(project), options or {}))
end


-- Everything that a line prints until it is done; whether it failed.
function M.drain(session)
  local parts, ending = {}, time.monotonic() + SECONDS_MAX
  while true do
    local text, state, failed = session:read(1)
    assert(text, state)
    parts[#parts + 1] = text
    if state == "done" then
      return table.concat(parts), failed
    end
    assert(time.monotonic() < ending, "the line does not end; it printed " .. #table.concat(parts) .. " bytes")
  end
end


-- Runs a line to its end: what it printed, without the last line break, and whether it failed.
function M.run(session, text)
  local state, message = session:start(text)
  if not state then
    return message, true
  end
  assert(state == "running", state)
  local printed, failed = M.drain(session)
  return (printed:gsub("\n$", "")), failed
end


return M
