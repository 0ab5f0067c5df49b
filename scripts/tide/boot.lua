-- What each worker runs: builds the generation from the sources that the main worker has
-- published, listens, and gives back the function that drains.

local call = require "tide.call"
local generation = require "tide.generation"
local host = require "tide.host"
local server = require "tide.server"
local settings = require "tide.settings"
local task = require "tide.task"
local api = require "tide.api"
local gauges = require "tide.gauges"
local tokens = require "tide.tokens"
local processor = require "tide.webhook.processor"

local M = {}

local SOURCES = "sources"
local DRAIN_POLL_SECONDS = 0.005
-- As when config.lua is first read: its own limits are not known yet.
local CONFIG_BUDGET_MS = 1000


-- The bytes of the files, not what they evaluate to: every worker evaluates them itself.
local function pack_files(parts, kind, files)
  for _, file in ipairs(files) do
    parts[#parts + 1] = ("<s1s4s4s4"):pack(kind, file.name, file.path, file.text)
  end
end


-- Publishes what was read of a project, for all workers.
function M.publish(sources)
  local parts = { ("<s4s4"):pack(sources.config_path, sources.config_text) }
  pack_files(parts, "files", sources.files)
  pack_files(parts, "scripts", sources.scripts)
  pack_files(parts, "bundled", sources.bundled)
  return host.publish(SOURCES, table.concat(parts))
end


local function unpack_sources(bytes)
  local sources = { files = {}, scripts = {}, bundled = {} }
  local at
  sources.config_path, sources.config_text, at = ("<s4s4"):unpack(bytes)
  while at <= #bytes do
    local kind, name, path, text, after = ("<s1s4s4s4"):unpack(bytes, at)
    table.insert(sources[kind], { name = name, path = path, text = text })
    at = after
  end
  return sources
end


local function load_config(sources)
  task.budget(CONFIG_BUDGET_MS, "loading " .. sources.config_path)
  local config, fault = settings.load(sources.config_path, sources.config_text, host.getenv)
  task.budget(nil)
  return config, fault
end


-- The generation of the published sources, ready for calls; nil and its faults.
function M.build()
  local bytes, version = host.published(SOURCES)
  local sources = unpack_sources(bytes)
  local fault
  sources.config, fault = load_config(sources)
  if not sources.config then
    return nil, { fault }
  end
  sources.version, sources.getenv = version, host.getenv
  local built, faults = generation.build(sources)
  if not built then
    return nil, faults
  end
  return call.bind(built)
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
function M.handler(built, workers, processing)
  local configured, fault = tokens.configured(built.config.tokens)
  if not configured then
    error(fault, 0)
  end
  return api.new({ generation = built, tokens = tokens.new(configured), workers = workers,
    processor = processing })
end


-- Starts this worker, one of `workers`: serves `addresses` (one a line). Returns the function
-- that drains.
function M.start(addresses, workers)
  local built, faults = M.build()
  if not built then
    error(table.concat(faults, "\n"), 0)
  end
  host.set_memory_limit(built.config.memory_limit_mb * 1024 * 1024)
  local processing = processor.start(built)
  local handler = M.handler(built, tonumber(workers), processing)
  local listeners = {}
  for address in addresses:gmatch("[^\n]+") do
    if is_mine(address) then
      listeners[#listeners + 1] = listen(address, handler, built)
    end
  end
  local ticker = gauges.start(built.config.tls and listeners)
  return function()
    M.drain(listeners)
    processing:stop()
    ticker:cancel()
  end
end


return M
