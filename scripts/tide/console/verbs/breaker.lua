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
  if mode then
    return session.api:ask("PUT", inside.path("/api/v1/integrations/{}/breaker", name), { mode = mode }).data
  end
  local data = session.api:ask("GET", inside.path("/api/v1/integrations/{}", name)).data
  return { state = data.circuit_breaker_state }
end


function M.show(session, data)
  session:write(printer.text(data, session:layout()) .. "\n")
end


function M.complete(session, arguments)
  if #arguments == 0 then
    return candidates.integrations(session)
  end
  return #arguments == 1 and MODES or {}
end


return M
