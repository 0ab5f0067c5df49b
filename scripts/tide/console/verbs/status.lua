-- `.status`: the service itself.

local status_text = require "tide.status_text"

local M = {}

M.summary = "the service itself, and which version of each integration serves"
M.usage = ".status"


function M.fetch(session)
  return session.api:ask("GET", "/api/v1/status").data
end


function M.show(session, data)
  session:show((status_text.text(data):gsub("\n$", "")))
end


return M
