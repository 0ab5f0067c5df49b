-- Watches the first calls of a new version, where `reload_rollback` is on: says when too many of them fail by
-- the script's own fault. What then becomes of the version is the main worker's to do (reload/rollback.lua).

local trial = require "tide.state.trial"
local reload_request = require "tide.reload.request"

local M = {}

--- A version that a reload has put in force is on trial for so many calls; with so many errors it has failed.
M.CALLS, M.ERRORS = 20, 5

local OWN_FAULTS = { script_error = true, script_timeout = true, out_of_memory = true }


-- An error of a call that the script made is that call's, also where the script passed it on.
local function has_failed(call, err)
  return err ~= nil and OWN_FAULTS[err.code] and not err.inner and err.integration == call.integration.name
end


-- What was answered from the cache, shared or refused says nothing of the version.
local function note(call, err)
  local work = call.work
  if work.shared_attempts then
    return
  end
  local failed = has_failed(call, err or call.concealed) or false
  if not failed and (call.from_cache or #work.attempts == 0) then
    return
  end
  local integration = call.integration
  if trial.note(integration.name, integration.version, failed) == "failing" then
    reload_request.want(reload_request.ROLLBACK)
  end
end


--- The trial of a version that has failed, until it is stopped: { calls, errors }.
function M.failed(name, version)
  local state = trial.read(name)
  return state and not state.is_on and state.version == version and state.errors >= M.ERRORS and state or nil
end


function M.wrap(next, operation)
  if not operation.integration.values.reload_rollback then
    return next
  end
  return function(call)
    local encoded, err = next(call)
    note(call, err)
    return encoded, err
  end
end


return M
