-- Calls at a steady rate while the provider that they call is saved again and again: what failed, how long
-- calls took with and without, and how long a save took to show on every worker.

local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"

local M = {}

local TICK_SECONDS = 0.002
local WARM_SECONDS = 1

local PROVIDER = [[
-- version %d
return {
  operations = {
    ask = { input = true, run = function(ctx, input) return { version = %d } end },
  },
}
]]


local Load = {}
Load.__index = Load


local function percentile(list, share)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * share))] or 0
end


local function milliseconds(list, share)
  return percentile(list, share) * 1000
end


function Load:save(version)
  self.saves[version] = time.monotonic()
  self.project:write("providers/work.lua", PROVIDER:format(version, version))
end


-- A call that began after a save and shows an older version: the save was not in force there then.
function Load:note_version(began, shown)
  for version = shown + 1, self.version do
    local saved = self.saves[version]
    if began > saved then
      self.delays[version] = math.max(self.delays[version] or 0, began - saved)
    end
  end
end


function Load:call(phase)
  local began = time.monotonic()
  local status, body = self.service:call("work", "ask")
  if phase then
    phase.seconds[#phase.seconds + 1] = time.monotonic() - began
  end
  self.calls = self.calls + 1
  if status ~= 200 then
    self.failed = self.failed + 1
    self.first_failure = self.first_failure or (status and json.encode(body) or tostring(body))
  else
    self:note_version(began, body.data.version)
  end
end


-- Calls at `rate` a second as long as `goes_on()`; each in a task of its own, so that a slow one holds up no
-- other.
function Load:drive(rate, phase, goes_on)
  local started, made = time.monotonic(), 0
  local list = {}
  while goes_on() do
    local due = math.floor((time.monotonic() - started) * rate)
    for _ = made + 1, due do
      list[#list + 1] = task.spawn(self.call, self, phase)
    end
    made = due
    task.sleep(TICK_SECONDS)
  end
  for _, running in ipairs(list) do
    running:join()
  end
end


function Load:drive_for(rate, phase, seconds)
  local ending = time.monotonic() + seconds
  self:drive(rate, phase, function() return time.monotonic() < ending end)
end


function Load:save_all(count, interval)
  for version = self.version + 1, self.version + count do
    self:save(version)
    self.version = version
    task.sleep(interval)
  end
end


-- The memory of all workers, in bytes.
function Load:memory()
  local _, text = self.service:request("GET", "/metrics")
  local sum = 0
  for value in text:gmatch("\ntidegate_lua_memory_bytes{[^}]*} (%S+)") do
    sum = sum + tonumber(value)
  end
  return sum, tonumber(text:match("\nprocess_resident_memory_bytes (%S+)"))
end


--- `options`: workers, rate (calls a second), seconds (without reloads), reloads, interval (seconds between two
--- saves). { calls, failed, first_failure, quiet_p99_ms, p99_ms, quiet_p50_ms, p50_ms, effect_p50_ms,
--- effect_p99_ms, effect_max_ms, reloads }.
function M.run(options)
  local project <close> = setmetatable(support.project(), { __index = getmetatable(support.project()).__index,
    __close = function(one) one:close() end })
  project:write("providers/work.lua", PROVIDER:format(1, 1))
  local load = setmetatable({ project = project, version = 1, saves = { -1 }, delays = {}, calls = 0, failed = 0 },
    Load)
  load.service = project:serve { workers = options.workers }
  load:drive_for(options.rate, nil, WARM_SECONDS)
  local quiet, busy = { seconds = {} }, { seconds = {} }
  load:drive_for(options.rate, quiet, options.seconds)
  local saver = task.spawn(load.save_all, load, options.reloads, options.interval)
  load:drive(options.rate, busy, function() return saver:status() ~= "done" end)
  local _, status = load.service:request("GET", "/api/v1/status")
  local delays = {}
  for version = 2, load.version do
    delays[#delays + 1] = load.delays[version] or 0
  end
  return {
    calls = load.calls, failed = load.failed, first_failure = load.first_failure,
    quiet_p50_ms = milliseconds(quiet.seconds, 0.5), p50_ms = milliseconds(busy.seconds, 0.5),
    quiet_p99_ms = milliseconds(quiet.seconds, 0.99), p99_ms = milliseconds(busy.seconds, 0.99),
    effect_p50_ms = milliseconds(delays, 0.5), effect_p99_ms = milliseconds(delays, 0.99),
    effect_max_ms = milliseconds(delays, 1), saves = #delays, reloads = status.data.generation.version - 1,
  }
end


return M
