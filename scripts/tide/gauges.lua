-- Metrics that are states of a worker and not events: set now and then, or once.

local counters = require "tide.state.counters"
local host = require "tide.host"
local task = require "tide.task"

local M = {}

local INTERVAL_SECONDS = 5

counters.describe("lua_memory_bytes", "Memory of the Lua state of each worker.")
counters.describe("build_info", "Constant 1; the version is a label.")
counters.describe("provider_info", "Constant 1 for each loaded provider; its version is a label.")


-- Measures this worker's own states every few seconds, until cancelled.
function M.start()
  local memory = counters.gauge("lua_memory_bytes", ('worker="%d"'):format(host.worker))
  return task.detach(function()
    while true do
      memory:set(collectgarbage("count") * 1024)
      task.sleep(INTERVAL_SECONDS)
    end
  end)
end


-- What does not change in a generation's life. One worker says it, as gauges are summed.
function M.describe_generation(generation)
  counters.gauge("build_info", ('version="%s"'):format(host.version)):set(1)
  for name, integration in pairs(generation.integrations) do
    if integration.provider then
      counters.gauge("provider_info", ('integration="%s",version="%s"'):format(name, integration.version)):set(1)
    end
  end
end


return M
