-- Metrics that are states of a worker and not events: set now and then, or once.

local counters = require "tide.state.counters"
local host = require "tide.host"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"

local M = {}

local INTERVAL_SECONDS = 5

counters.describe("lua_memory_bytes", "gauge", "Memory of the Lua state of each worker.")
counters.describe("script_stops_total", "counter", "Scripts that were stopped, for want of CPU time or of memory.")
counters.describe("tls_handshakes_total", "counter", "Handshakes of clients of the API, by outcome.")
counters.describe("build_info", "gauge", "Constant 1; the version is a label.")


-- Says in the log that rows were lost since the last look: how many is `known`, then and now.
local function watch_store(known)
  local stats = store.stats()
  local lost = stats.dropped + stats.failed
  if lost > known then
    log.error("rows of the call log were lost", { rows = lost - known,
      error = stats.last_error or "the store did not keep up" })
  end
  return lost
end


-- What the engine counts itself: each look adds what is new since the last one.
local function new_stops()
  local stops = {
    time_stops = { counter = counters.counter("script_stops_total", 'reason="script_timeout"'), known = 0 },
    memory_stops = { counter = counters.counter("script_stops_total", 'reason="out_of_memory"'), known = 0 },
  }
  return function()
    local stats = task.stats()
    for name, stop in pairs(stops) do
      stop.counter:add(stats[name] - stop.known)
      stop.known = stats[name]
    end
  end
end


local function weak()
  return setmetatable({}, { __mode = "k" })
end


-- The same of listeners that speak TLS; `listeners()` are those that are open.
local function new_handshakes(listeners)
  local outcomes = {
    handshakes = { counter = counters.counter("tls_handshakes_total", 'outcome="ok"'), known = weak() },
    failed_handshakes = { counter = counters.counter("tls_handshakes_total", 'outcome="failed"'), known = weak() },
  }
  return function()
    for name, outcome in pairs(outcomes) do
      for _, listener in ipairs(listeners()) do
        local count, known = listener:stats()[name], outcome.known[listener] or 0
        outcome.counter:add(count - known)
        outcome.known[listener] = count
      end
    end
  end
end


local function nothing() end


-- Measures this worker's own states every few seconds, until cancelled; the main one, the store's;
-- those of `listeners`, if they speak TLS.
function M.start(listeners)
  local memory = counters.gauge("lua_memory_bytes", ('worker="%d"'):format(host.worker))
  local count_stops = new_stops()
  local count_handshakes = listeners and new_handshakes(listeners) or nothing
  if host.worker == 0 then
    counters.gauge("build_info", ('version="%s"'):format(host.version)):set(1)
  end
  return task.keep("the measuring of this worker", function()
    local lost = 0
    while true do
      memory:set(collectgarbage("count") * 1024)
      count_stops()
      count_handshakes()
      if host.worker == 0 then
        lost = watch_store(lost)
      end
      task.sleep(INTERVAL_SECONDS)
    end
  end)
end


return M
