-- Waits, each with an end, for something that another task of this worker does.

local task = require "tide.task"
local time = require "tide.time"

local M = {}

local Bell = {}
Bell.__index = Bell


function M.new()
  return setmetatable({ rung = 0, waiting = {} }, Bell)
end


-- Wakes all who wait.
function Bell:ring()
  self.rung = self.rung + 1
  for waiting in pairs(self.waiting) do
    task.unpark(waiting)
  end
end


local function park(bell, seen)
  local current = task.current()
  local ending <close> = setmetatable({}, { __close = function() bell.waiting[current] = nil end })
  bell.waiting[current] = true
  while bell.rung == seen do
    task.park()
  end
end


-- Waits until `condition()` gives something true, at most `seconds`; what it gave. It is asked again whenever
-- the bell rings.
function Bell:wait(seconds, condition)
  local ending_at = time.monotonic() + seconds
  while true do
    local value = condition()
    local left = ending_at - time.monotonic()
    if value or left <= 0 then
      return value
    end
    task.timeout(left, park, self, self.rung)
  end
end


return M
