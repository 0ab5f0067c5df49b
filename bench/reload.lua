-- The row of bench/run about changes under load: tools/reloads.lua, which calls at a steady rate while the provider
-- that it calls is saved again and again, and then its configuration.

local processes = require "processes"

local M = {}

local SAVES, RATE = 1000, 2000
local P99_GOAL, SAVE_GOAL_MS, PATCH_GOAL_MS = 1.5, 200, 100


local function number(text, name)
  return tonumber(text:match(('"%s":([%%d.e+-]+)'):format(name)))
    or processes.fail("tools/reloads.lua did not say %s: %s", name, text)
end


-- What it measured: numbers by name.
local function measure(host, seconds)
  local command = "env JSON=1 SAVES=%d RATE=%d SECONDS=%d %s run tools/reloads.lua"
  local text = processes.capture(command:format(SAVES, RATE, seconds, host))
  local result = {}
  for _, name in ipairs { "calls", "failed", "quiet_p99_ms", "p50_ms", "p99_ms", "save_p99_ms", "patch_p99_ms" } do
    result[name] = number(text, name)
  end
  return result
end


local function verdict_of(result)
  local ratio = result.p99_ms / result.quiet_p99_ms
  local is_good = result.failed == 0 and ratio <= P99_GOAL and result.save_p99_ms <= SAVE_GOAL_MS
    and result.patch_p99_ms <= PATCH_GOAL_MS
  return ("%d of %d calls failed (goal 0); p99 %.2f x that without reloads (goal %.1f x); from a save to its effect "
    .. "p99 %.0f ms (goal %d), from a PATCH %.0f ms (goal %d)%s"):format(result.failed, result.calls, ratio, P99_GOAL,
    result.save_p99_ms, SAVE_GOAL_MS, result.patch_p99_ms, PATCH_GOAL_MS, is_good and "" or ", MISSED"), is_good
end


--- { host }: the program.
function M.row(options)
  return {
    name = "reload", title = "Calls while their provider is reloaded",
    about = ("%d calls a second from another process while the called provider is saved %d times, one save in 30 ms, "
      .. "then its configuration is changed 99 times; 2 workers and the caller share all cores; an effect is the last "
      .. "call that began after the change and did not show it"):format(RATE, SAVES),
    run = function()
      local result = measure(options.host, options.seconds)
      local verdict, is_good = verdict_of(result)
      return { { "Calls while their provider is reloaded", "tidegate", "", RATE,
        ("%.2f / %.2f"):format(result.p50_ms, result.p99_ms), verdict } }, is_good
    end,
  }
end


return M
