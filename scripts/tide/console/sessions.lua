-- The consoles of a process: a bounded number, each under an id.

local task = require "tide.task"
local time = require "tide.time"
local uuid = require "tide.uuid"
local session = require "tide.console.session"

local M = {}

M.MAX = 16
-- A line whose output nobody has read for so long is cancelled.
M.UNREAD_SECONDS = 60

local SWEEP_SECONDS = 5

local Sessions = {}
Sessions.__index = Sessions


-- `options`: max and unread_seconds, for specs.
function M.new(options)
  options = options or {}
  return setmetatable({
    by_id = {}, count = 0, max = options.max or M.MAX,
    unread_seconds = options.unread_seconds or M.UNREAD_SECONDS,
    sweep_seconds = options.sweep_seconds or SWEEP_SECONDS,
  }, Sessions)
end


function Sessions:close_oldest()
  local oldest
  for id, entry in pairs(self.by_id) do
    if not oldest or entry.used_at < self.by_id[oldest].used_at then
      oldest = id
    end
  end
  self:close(oldest)
end


local function is_unread(entry, now, seconds)
  local own = entry.session
  local since = math.max(own.buffer.read_at, own.started_at or 0)
  return own.state == "running" and own.readers == 0 and now - since > seconds
end


-- Until cancelled.
function Sessions:sweep()
  while true do
    task.sleep(self.sweep_seconds)
    local now = time.monotonic()
    for _, entry in pairs(self.by_id) do
      if is_unread(entry, now, self.unread_seconds) then
        entry.session:cancel()
      end
    end
  end
end


--- Opens a console; where there are as many as may be, the one that was left alone longest is closed.
---@param options table as for session.new
---@return string id, table session
function Sessions:open(options)
  if self.count >= self.max then
    self:close_oldest()
  end
  local id = uuid.v4()
  local opened = session.new(options)
  self.by_id[id] = { session = opened, used_at = time.monotonic() }
  self.count = self.count + 1
  self.sweeper = self.sweeper or task.detach(self.sweep, self)
  return id, opened
end


---@return table|nil session
function Sessions:find(id)
  local entry = self.by_id[id]
  if not entry then
    return nil
  end
  entry.used_at = time.monotonic()
  return entry.session
end


function Sessions:close(id)
  local entry = self.by_id[id]
  if entry then
    self.by_id[id] = nil
    self.count = self.count - 1
    entry.session:close()
  end
  if self.count == 0 and self.sweeper then
    self.sweeper:cancel()
    self.sweeper = nil
  end
end


return M
