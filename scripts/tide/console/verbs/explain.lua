-- `.explain INTEGRATION OPERATION key=value …`: what would become of a call, without making it.

local config_text = require "tide.settings.text"
local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local values = require "tide.console.values"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "what would become of a call, without making it"
M.usage = ".explain INTEGRATION OPERATION [key=value | key:=JSON …]"
M.complete = candidates.call


function M.fetch(session, arguments)
  if not arguments[2] then
    verbs.misuse(M)
  end
  local input = values.input(session, arguments[1], arguments[2], arguments, 3)
  return session.api:ask("POST", inside.path("/api/v1/integrations/{}/{}/explain", arguments[1], arguments[2]), input)
    .data
end


function M.show(session, data)
  session:show((config_text.explanation(data):gsub("\n$", "")))
end


return M
