-- What each worker runs: builds the generation from the sources that the main worker has
-- published, listens, and gives back the function that drains.

local call = require "tide.call"
local host = require "tide.host"
local task = require "tide.task"
local api = require "tide.api"
local gauges = require "tide.gauges"
local listeners = require "tide.listeners"
local live = require "tide.live"
local processor = require "tide.webhook.processor"

local M = {}

-- Publishes what was read of a project, for all workers. `terms` as live.pack.
function M.publish(sources, terms)
  return live.publish(sources, terms)
end


-- The generation of the published sources, in force; nil and its faults.
function M.build()
  local built, faults = live.build()
  return built and call.activate(built), faults
end


-- What answers the requests of a worker, one of `workers`; `processing` is its processor, if it has one.
function M.handler(own, workers, processing)
  return api.new({ live = own, workers = workers, processor = processing })
end


-- Starts this worker, one of `workers`, at the addresses that are published. Returns the function that drains.
function M.start(workers)
  local built, faults = live.build()
  if not built then
    error(table.concat(faults, "\n"), 0)
  end
  local own = live.new(built)
  local processing = processor.start(built)
  local open = listeners.new(M.handler(own, tonumber(workers), processing), built)
  local is_open, message = open:take()
  if not is_open then
    error(message, 0)
  end
  host.set_memory_limit(built.config.memory_limit_mb * 1024 * 1024)
  local tasks = {
    task.keep("the following of reloads", own.follow, own, function(present)
      host.set_memory_limit(present.config.memory_limit_mb * 1024 * 1024)
      open:adopt(present)
      processing:adopt(present)
    end),
    task.keep("the following of addresses", open.follow, open),
    gauges.start(built.config.tls and function() return open:list() end),
  }
  return function()
    open:drain()
    processing:stop()
    for _, running in ipairs(tasks) do
      running:cancel()
    end
  end
end


return M
