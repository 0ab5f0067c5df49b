-- How a reload is asked for, on any worker, and what came of it: through publications, as the main worker does
-- it (reload/reloader.lua).

local host = require "tide.host"
local json = require "tide.json"
local time = require "tide.time"

local M = {}

-- Who asks publishes who it is; the result has the version of the last request that it answers.
local WANTED = "reload.wanted"
local RESULT = "reload.result"
local FAULTS = "reload.faults"
local WATCHED = "reload.watched"

local RESULT_SECONDS = 30
local LOOK_SECONDS = 60

--- Who asks by SIGHUP.
M.SIGNAL = { actor = "signal" }
--- A version that fails while it is new.
M.ROLLBACK = { actor = "rollback" }


-- Asking ------------------------------------------------------------------------------------------


--- Asks for a reload; the number of the request. `by` = { actor, trace_id }.
---@return integer
function M.want(by)
  return host.publish(WANTED, json.encode(by))
end


--- Asks for a reload and waits for it: { outcome, version, changed, added, removed, errors }; nil and a message
--- when it does not end in time.
---@return table|nil result, string? message
function M.ask(by)
  local number = M.want(by)
  local deadline = time.monotonic() + RESULT_SECONDS
  while true do
    local seen = host.changes()
    local bytes, answered = host.published(RESULT)
    if answered and answered >= number then
      return assert(json.decode(bytes))
    end
    if time.monotonic() >= deadline then
      return nil, ("the reload has not ended within %d seconds"):format(RESULT_SECONDS)
    end
    host.wait_changes(seen, math.max(0, deadline - time.monotonic()))
  end
end


--- Why the project as it is on disk is not in force: each "FILE:LINE: message".
---@return string[]
function M.faults()
  local bytes = host.published(FAULTS)
  return bytes and assert(json.decode(bytes)) or {}
end


--- Where changes of the project's files are told of by the kernel, and where they are looked for instead.
---@return { folders: string[], polled: { folder: string, reason: string }[] }
function M.watched()
  local bytes = host.published(WATCHED)
  return bytes and assert(json.decode(bytes)) or { folders = json.array(), polled = json.array() }
end


-- Answering, in the main worker -------------------------------------------------------------------


--- Says what keeps the project from being taken; nothing: an empty list.
function M.set_faults(faults)
  host.publish(FAULTS, json.encode(json.array(faults)))
end


--- Says what `watched` gives.
function M.set_watched(state)
  host.publish(WATCHED, json.encode { folders = json.array(state.folders), polled = json.array(state.polled) })
end


--- Answers requests with `reload(by) -> result`, one after the other, until cancelled. Those that come
--- meanwhile are answered by one more.
function M.serve(reload)
  local answered = 0
  while true do
    local seen = host.changes()
    local bytes, number = host.published(WANTED)
    if number and number > answered then
      answered = number
      host.publish(RESULT, json.encode(reload(assert(json.decode(bytes)))), number)
    end
    host.wait_changes(seen, LOOK_SECONDS)
  end
end


return M
