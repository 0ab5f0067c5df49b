-- What outlives a generation: the cache space, the limiter, the breaker and the slots of an
-- integration. They live in C under its name, one of each for all workers; mock mode has its own.

local breaker = require "tide.state.breaker"
local bucket = require "tide.state.bucket"
local cache = require "tide.state.cache"
local slots = require "tide.state.slots"
local secrets = require "tide.secrets"

local M = {}


-- The name of an integration's cells.
function M.name(integration, mock)
  local owner = secrets.owner(integration)
  return mock and owner .. "/mock" or owner
end


-- The name of the slots and the breaker of an integration's webhook handlers.
function M.handlers_name(integration)
  return secrets.owner(integration) .. "/webhooks"
end


local function configure(cells, values)
  local limited = values.rate_limit_enabled
  cells.limiter:configure {
    per_minute = limited and values.rate_limit_calls_per_minute or nil,
    per_hour = limited and values.rate_limit_calls_per_hour or nil,
    burst = limited and values.rate_limit_burst or nil,
    queue = values.rate_limit_queue,
  }
  cells.breaker:configure {
    enabled = values.circuit_breaker_enabled,
    failure_threshold = values.circuit_breaker_failure_threshold,
    timeout_seconds = values.circuit_breaker_timeout_seconds,
    half_open_calls = values.circuit_breaker_half_open_calls,
    window_seconds = values.circuit_breaker_window_seconds,
    failure_rate = values.circuit_breaker_failure_rate,
    slow_call_ms = values.slow_call_ms,
  }
  cells.slots:configure(values.max_concurrency, values.rate_limit_queue)
  cells.values = values
end


local function open(integration, mock)
  local name = M.name(integration, mock)
  return {
    breaker = breaker.cell(name),
    cache = cache.space(name),
    limiter = bucket.limiter(name),
    slots = slots.of(name),
  }
end


-- Makes sure that an integration can have its cells, of which the process has only so many, before it is in
-- force. Those that are there stay as they are. True, or nil and a message.
function M.reserve(integration)
  local ok, message = pcall(function()
    integration.cells = { real = open(integration, false) }
    if integration.provider.webhooks then
      local name = M.handlers_name(integration)
      breaker.cell(name)
      slots.of(name)
    end
  end)
  return ok or nil, message
end


-- { breaker, cache, limiter, slots } of an integration, configured as its values say now.
function M.of(integration, mock)
  local both = integration.cells
  if both == nil then
    both = {}
    integration.cells = both
  end
  local kind = mock and "mock" or "real"
  local cells = both[kind]
  if cells == nil then
    cells = open(integration, mock)
    both[kind] = cells
  end
  if cells.values ~= integration.values then
    configure(cells, integration.values)
  end
  return cells
end


return M
