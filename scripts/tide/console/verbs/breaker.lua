-- `.breaker NAME [open|closed|auto|observe]`: a circuit breaker, and holding it.

local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local printer = require "tide.console.printer"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "a circuit breaker, and holding it open or closed"
M.usage = ".breaker NAME [open | closed | auto | observe]"

local MODES = { "auto", "closed", "observe", "open" }


function M.fetch(session, arguments)
  local name, mode = arguments[1], arguments[2]
  if not name or arguments[3] then
    verbs.misuse(M)
  end
  return session.api:ask(mode and "PUT" or "GET", inside.path("/api/v1/integrations/{}/breaker", name),
    mode and { mode = mode }).data
end


function M.show(session, data, arguments)
  session:write(printer.text(data, session:layout()) .. "\n")
  if data.is_mock_mode then
    session:show(("%s is in mock mode: its calls pass the mock's own breaker, not this one"):format(arguments[1]))
  end
end


function M.complete(session, arguments)
  if #arguments == 0 then
    return candidates.integrations(session)
  end
  return #arguments == 1 and MODES or {}
end


return M
