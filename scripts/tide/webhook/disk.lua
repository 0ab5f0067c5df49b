-- While the disk of the store is nearly full, events are received and not processed: what little
-- room there is belongs to those that cannot be had again.

local host = require "tide.host"
local log = require "tide.log"
local task = require "tide.task"

local M = {}

local NAME = "webhooks.disk"
local LOW_BYTES = 64 * 1024 * 1024
local LOW_SHARE = 0.05
-- Room that must be there before processing goes on, by what was too little.
local ENOUGH = 1.5
local LOOK_SECONDS = 1


-- Whether the main worker found too little room.
function M.is_low()
  return host.published(NAME) == "low"
end


local function floor_of(total)
  return math.min(LOW_BYTES, total * LOW_SHARE)
end


local function look(folder)
  local free, total = host.disk_space(folder)
  if not free then
    return
  end
  local was_low = M.is_low()
  local least = floor_of(total) * (was_low and ENOUGH or 1)
  local is_low = free < least
  if is_low ~= was_low then
    host.publish(NAME, is_low and "low" or "ok")
    log[is_low and "error" or "info"](is_low and "the disk is nearly full: webhook events are stored and not processed"
      or "the disk has room again: webhook events are processed", { folder = folder, free_bytes = free })
  end
end


-- Watches the folder of the store, for the service's life (main worker); its task.
function M.watch(folder)
  look(folder)
  return task.keep("the look at the disk", function()
    while true do
      task.sleep(LOOK_SECONDS)
      look(folder)
    end
  end)
end


return M
