-- tidegate run tools/reloads.lua: saves a provider again and again while it is called, and says what failed and how
-- long it took. Exit code 0 when no call failed.
-- Environment: WORKERS (2), RATE (2000 calls a second), SECONDS (10, without reloads), RELOADS (1000),
-- INTERVAL_MS (30).

local host = require "tide.host"
local reload_load = require "spec.support.reload_load"


local function number(name, default)
  return math.tointeger(tonumber(host.getenv(name) or default)) or error(name .. " must be a whole number", 0)
end


local result = reload_load.run {
  workers = number("WORKERS", 2), rate = number("RATE", 2000), seconds = number("SECONDS", 10),
  reloads = number("RELOADS", 1000), interval = number("INTERVAL_MS", 30) / 1000,
}
host.write("stdout", ("%d calls, %d failed, %d saves, %d reloads\n"):format(result.calls, result.failed, result.saves,
  result.reloads))
if result.first_failure then
  host.write("stderr", "the first that failed: " .. result.first_failure .. "\n")
end
host.write("stdout", ("a call: p50 %.2f ms without, %.2f with reloads; p99 %.2f without, %.2f with, %.2f times\n")
  :format(result.quiet_p50_ms, result.p50_ms, result.quiet_p99_ms, result.p99_ms, result.p99_ms / result.quiet_p99_ms))
host.write("stdout", ("from the save to its effect on every worker: p50 %.1f ms, p99 %.1f, at most %.1f\n"):format(
  result.effect_p50_ms, result.effect_p99_ms, result.effect_max_ms))
return result.failed == 0 and 0 or 1
