-- A provider's own test of itself, `self_test(ctx)`, which a new version has to pass before it serves. It runs
-- in mock mode: what it calls through `ctx.call` reaches no third party.

local call = require "tide.call"
local errors = require "tide.errors"

local M = {}

local SECONDS = 3


-- What failed, as "FILE:LINE: self_test: message" where the script said so.
local function fault_of(integration, err)
  local words = errors.is(err) and err.message or tostring(err)
  local place, rest = words:match("^([^\n]-:%d+): (.*)$")
  if not place then
    place, rest = integration.path, words
  end
  return ("%s: self_test failed: %s"):format(place, rest)
end


--- Runs the test of an integration of a generation that is not in force yet. True when it passed or there is
--- none; nil and the fault.
---@return true|nil, string? fault
function M.run(generation, integration)
  local test = integration.provider and integration.provider.self_test
  if not test then
    return true
  end
  local _, err = call.script(generation, integration, "self_test", test, { mock = true, total_seconds = SECONDS })
  if err then
    return nil, fault_of(integration, err)
  end
  return true
end


return M
