-- Processing in one worker: a lane for each integration that takes webhooks.

local host = require "tide.host"
local task = require "tide.task"
local lane = require "tide.webhook.lane"
local disk = require "tide.webhook.disk"
local wake = require "tide.webhook.wake"

local M = {}

local WAKE_SECONDS = 0.1
local DRAIN_POLL_SECONDS = 0.005

local Processor = {}
Processor.__index = Processor


-- Starts to process the events of a generation's integrations.
function M.start(generation)
  local processor = setmetatable({ generation = generation, lanes = {}, ending = {}, wakes = wake.count(),
    paused = false }, Processor)
  processor:open_lanes()
  processor.watcher = task.keep("the look-out for due events", processor.watch, processor)
  return processor
end


function Processor:open_lanes()
  for name, integration in pairs(self.generation.integrations) do
    if integration.webhooks and not self.lanes[name] then
      self.lanes[name] = lane.new(self, name)
      task.detach(self.lanes[name].begin, self.lanes[name])
    end
  end
end


-- An integration that is gone claims no more; its pending events stay. Runs that are under way go on.
function Processor:close_lanes()
  for one in pairs(self.ending) do
    self.ending[one] = one:is_busy() or nil
  end
  for name, one in pairs(self.lanes) do
    local integration = self.generation.integrations[name]
    if not (integration and integration.webhooks) then
      self.lanes[name] = nil
      self.ending[one] = true
      one:stop()
    end
  end
end


-- Goes on with another generation. May wait.
function Processor:adopt(generation)
  self.generation = generation
  self:close_lanes()
  self:open_lanes()
  self:each(function(one) one:pump() end)
end


function Processor:lane(name)
  return self.lanes[name]
end


function Processor:is_paused()
  return self.paused
end


function Processor:each(visit)
  for _, one in pairs(self.lanes) do
    visit(one)
  end
end


-- Events that became due by hand, and a disk that has room again.
function Processor:watch()
  while true do
    local paused, wakes = disk.is_low(), wake.count()
    if wakes ~= self.wakes or (self.paused and not paused) then
      self.wakes, self.paused = wakes, paused
      self:each(function(one) one:set_alarm() end)
    end
    self.paused = paused
    task.sleep(WAKE_SECONDS)
  end
end


-- Ends processing: returns when no handler runs any more.
function Processor:stop()
  self.watcher:cancel()
  self:each(function(one) one:stop() end)
  for _, one in pairs(self.lanes) do
    self.ending[one] = true
  end
  for one in pairs(self.ending) do
    while one:is_busy() do
      task.sleep(DRAIN_POLL_SECONDS)
    end
  end
end


-- For `status`: what this worker holds.
function Processor:state()
  local held, running = 0, 0
  self:each(function(one)
    held, running = held + one.held, running + one.running
  end)
  return { worker = host.worker, held = held, running = running }
end


return M
