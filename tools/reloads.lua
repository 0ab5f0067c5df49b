-- make reloads: saves a provider again and again while it is called, then changes its
-- configuration as often, and says what failed and how long it took. Exit code 0 when no call failed.
-- Environment: WORKERS (2), RATE (2000 calls a second), SECONDS (10, without changes), SAVES (1000), PATCHES (99),
-- INTERVAL_MS (30, between two changes); JSON=1 prints JSON. MEMORY=N: instead, what memory the process has after
-- 3 N / 5 reloads, in which the caches of the store fill, and after N more.

local host = require "tide.host"
local json = require "tide.json"
local reload_load = require "spec.support.reload_load"

local TEXT = [[
%d calls, %d failed; %d saves, %d reloads, %d changes of the configuration
a call: p50 %.2f ms without, %.2f with reloads; p99 %.2f without, %.2f with
from the save to its effect on every worker: p50 %.1f ms, p99 %.1f
from the change of the configuration to its effect: p50 %.1f ms, p99 %.1f
]]


local function number(name, default)
  return math.tointeger(tonumber(host.getenv(name) or default)) or error(name .. " must be a whole number", 0)
end


local function report_memory(count)
  local warm = count * 3 // 5
  local sizes = reload_load.memory { warm, warm + count }
  host.write("stdout", ("%.2f MB after %d reloads, %.2f MB after %d more: %+.2f %%\n"):format(sizes[1] / 1e6, warm,
    sizes[2] / 1e6, count, (sizes[2] / sizes[1] - 1) * 100))
  return 0
end


if host.getenv("MEMORY") then
  return report_memory(number("MEMORY"))
end

local options = {
  workers = number("WORKERS", 2), rate = number("RATE", 2000), seconds = number("SECONDS", 10),
  saves = number("SAVES", 1000), patches = number("PATCHES", 99), interval = number("INTERVAL_MS", 30) / 1000,
}
local result = reload_load.run(options)
if host.getenv("JSON") then
  host.write("stdout", json.encode(result) .. "\n")
else
  host.write("stdout", TEXT:format(result.calls, result.failed, options.saves, result.reloads, options.patches,
    result.quiet_p50_ms, result.p50_ms, result.quiet_p99_ms, result.p99_ms, result.save_p50_ms, result.save_p99_ms,
    result.patch_p50_ms, result.patch_p99_ms))
end
if result.first_failure then
  host.write("stderr", "the first that failed: " .. result.first_failure .. "\n")
end
return result.failed == 0 and 0 or 1
