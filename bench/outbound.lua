-- Outbound calls: tidegate run bench/outbound.lua URL SECONDS CONCURRENCY
-- Keeps CONCURRENCY GET requests in flight and prints calls, failures and the CPU time that
-- the process used. bench/peers/outbound.js does the same with undici.

local host = require "tide.host"
local http = require "tide.http"
local task = require "tide.task"
local time = require "tide.time"

local WARM_UP_SECONDS = 0.5

local url, seconds, concurrency = ...


local function run(duration)
  local calls, failed = 0, 0
  local stop = time.monotonic() + duration
  local function caller()
    while time.monotonic() < stop do
      local response = http.request({ method = "GET", url = url, private = "allow" })
      if response and response.status == 200 and #response.body > 0 then
        calls = calls + 1
      else
        failed = failed + 1
      end
    end
  end
  local callers = {}
  for index = 1, tonumber(concurrency) do callers[index] = task.spawn(caller) end
  for _, one in ipairs(callers) do assert(one:join()) end
  return calls, failed
end


run(WARM_UP_SECONDS)
local before = host.process().cpu_seconds
local calls, failed = run(tonumber(seconds))
local cpu = host.process().cpu_seconds - before
print(("operations=%d failed=%d cpu_us=%.0f"):format(calls, failed, cpu * 1e6))
