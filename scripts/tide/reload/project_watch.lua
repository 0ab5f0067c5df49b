-- Notices that files of a project changed: by what the kernel tells (tide.watch), and by looking at
-- them, twice a second where it tells nothing (network file systems, limits), every two seconds
-- elsewhere, as a safety net.

local log = require "tide.log"
local time = require "tide.time"
local watch = require "tide.watch"

local M = {}

local POLL_SECONDS <const> = 0.5
local SAFETY_SECONDS <const> = 2
-- While a change that was found by looking may go on.
local BUSY_SECONDS <const> = 0.05
-- A folder that appears is watched, then looked at again, in which another may have appeared.
local ROUNDS_MAX <const> = 4

local Watcher = {}
Watcher.__index = Watcher
Watcher.__close = function(watcher) watcher:close() end


--- Follows nothing yet.
---@param options? { events?: boolean, on_state?: fun(state: table) } events: as of tide.watch; on_state is called
--- whenever `state` has changed
function M.new(options)
  return setmetatable({ watch = watch.new(options), on_state = options and options.on_state, folders = "", polled = {},
    paths = {}, next_look = math.huge }, Watcher)
end


-- Keeps the reasons by folder, and says in the log which are new; whether any are others than before.
function Watcher:note_polled(list)
  local before, now, is_changed = self.polled, {}, false
  for _, polled in ipairs(list) do
    now[polled.folder] = polled.reason
    if before[polled.folder] ~= polled.reason then
      is_changed = true
      log.warn("changes of files in a folder are looked for twice a second, as the system does not tell of them",
        { folder = polled.folder, reason = polled.reason })
    end
  end
  for folder in pairs(before) do
    is_changed = is_changed or not now[folder]
  end
  self.polled = now
  return is_changed
end


function Watcher:note_state()
  local state = self:state()
  local folders = table.concat(state.folders, "\0")
  local is_changed = self:note_polled(state.polled) or folders ~= self.folders
  self.folders = folders
  if is_changed and self.on_state then
    self.on_state(state)
  end
end


-- Looks until all that is to be watched was watched before the look, so that no change is missed. False
-- when the watcher was closed meanwhile.
function Watcher:look()
  for _ = 1, ROUNDS_MAX do
    local paths
    repeat
      paths = self.paths
      local seen = self.watch:follow(paths)
      if not seen then
        return false
      end
      self.seen = seen
    until paths == self.paths -- another task may follow others meanwhile
    if not self.seen.is_new then
      break
    end
  end
  self.next_look = time.monotonic() + (#self.seen.refused > 0 and POLL_SECONDS or SAFETY_SECONDS)
  self:note_state()
  return true
end


--- Follows these files and folders, and no others: what changes from now on is told by `wait`. They may be
--- missing, or come later. Of a folder, every file counts whose name does not begin with a dot.
---@param paths string[] at most 1,024
function Watcher:follow(paths)
  self.paths = table.move(paths, 1, #paths, 1, {})
  self:look()
end


-- The kernel may have told of the same change meanwhile; it knows better when that is complete.
function Watcher:look_for_changes()
  local before = self.seen.signature
  if not self:look() then
    return false
  end
  if self.seen.signature ~= before and (self.is_changing or not self.watch:is_noted()) then
    self.watch:note()
    self.is_changing = true
    self.next_look = time.monotonic() + BUSY_SECONDS
  end
  return true
end


-- When to look, unless the kernel tells of something first: that settles soon, and is looked at then.
function Watcher:look_time()
  return (self.is_changing or not self.watch:is_noted()) and self.next_look or math.huge
end


--- Waits until something changed and has settled; what changed since `follow` or the last wait counts.
--- False when `seconds` passed, or another task closed the watcher.
---@param seconds number
---@return boolean
function Watcher:wait(seconds)
  local ending = time.monotonic() + seconds
  while true do
    local wait_seconds = math.min(ending, self:look_time()) - time.monotonic()
    local is_settled, closed = self.watch:wait(math.max(wait_seconds, 0))
    if is_settled then
      self.is_changing = false
      return self:look()
    end
    local now = time.monotonic()
    if closed or now >= ending then
      return false
    end
    if now >= self:look_time() and not self:look_for_changes() then
      return false
    end
  end
end


--- Where the kernel tells of changes, and where they are looked for, with the reason.
---@return { folders: string[], polled: { folder: string, reason: string }[] }
function Watcher:state()
  local seen = self.seen
  return { folders = seen and seen.folders or {}, polled = seen and seen.refused or {} }
end


--- A task that waits returns false.
function Watcher:close()
  self.watch:close()
end


return M
