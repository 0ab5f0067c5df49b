-- What each worker runs: builds the generation from the sources that the main worker has
-- published, listens, and gives back the function that drains.

local call = require "tide.call"
local host = require "tide.host"
local server = require "tide.server"
local task = require "tide.task"
local api = require "tide.api"
local gauges = require "tide.gauges"
local live = require "tide.live"
local processor = require "tide.webhook.processor"

local M = {}

local DRAIN_POLL_SECONDS = 0.005


-- Publishes what was read of a project, for all workers.
function M.publish(sources)
  return live.publish(sources)
end


-- The generation of the published sources, in force; nil and its faults.
function M.build()
  local built, faults = live.build()
  return built and call.activate(built), faults
end


-- Lets no connection in any more and returns when all are closed, each request answered.
function M.drain(listeners)
  for _, listener in ipairs(listeners) do
    listener:drain()
  end
  for _, listener in ipairs(listeners) do
    while listener:stats().connections > 0 do
      task.sleep(DRAIN_POLL_SECONDS)
    end
  end
end


-- A Unix socket has one listener: it cannot be shared as a port can.
local function is_mine(address)
  return not address:match("^unix:") or host.worker == 1
end


-- Of the API and of every webhook the largest; each has its own limit, looked at later.
local function largest_body(built)
  local most = built.config.max_request_bytes
  for _, integration in pairs(built.integrations) do
    if integration.webhooks then
      most = math.max(most, integration.values.webhook_max_bytes)
    end
  end
  return most
end


local function listen(address, handler, built)
  local config = built.config
  local listener, message = server.listen(address, handler, {
    reuse_port = not address:match("^unix:") or nil,
    tls = config.tls ~= nil and not address:match("^unix:"),
    max_body_bytes = largest_body(built),
  })
  if not listener then
    error(message, 0)
  end
  return listener
end


-- What answers the requests of a worker, one of `workers`; `processing` is its processor, if it has one.
function M.handler(own, workers, processing)
  return api.new({ live = own, workers = workers, processor = processing })
end


local function open_listeners(addresses, handler, built)
  local listeners = {}
  for address in addresses:gmatch("[^\n]+") do
    if is_mine(address) then
      listeners[#listeners + 1] = listen(address, handler, built)
    end
  end
  return listeners
end


-- What of a worker follows the configuration.
local function follow(built, listeners)
  host.set_memory_limit(built.config.memory_limit_mb * 1024 * 1024)
  for _, listener in ipairs(listeners) do
    listener:limit_body(largest_body(built))
  end
end


-- Starts this worker, one of `workers`: serves `addresses` (one a line). Returns the function
-- that drains.
function M.start(addresses, workers)
  local built, faults = live.build()
  if not built then
    error(table.concat(faults, "\n"), 0)
  end
  local own = live.new(built)
  local processing = processor.start(built)
  local handler = M.handler(own, tonumber(workers), processing)
  local listeners = open_listeners(addresses, handler, built)
  follow(built, listeners)
  local follower = task.detach(own.follow, own, function(present)
    follow(present, listeners)
    processing:adopt(present)
  end)
  local ticker = gauges.start(built.config.tls and listeners)
  return function()
    M.drain(listeners)
    follower:cancel()
    processing:stop()
    ticker:cancel()
  end
end


return M
