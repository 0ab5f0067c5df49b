-- Calls at a steady rate while the provider that they call is saved again and again, and while its configuration
-- is: what failed, how long calls took with and without, and how long a change took to show on every worker.

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
    ask = { input = true, run = function(ctx) return { version = %d, setting = ctx.config.max_retries } end },
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


-- Changes of one kind: they are numbered from 1 on, which is how it was at the start.
local function new_changes()
  return { number = 1, made = { -1 }, delays = { 0 } }
end


-- A call that began after a change and does not show it: the change was not in force there then.
local function note_shown(changes, began, shown)
  for number = shown + 1, changes.number do
    if began > changes.made[number] then
      changes.delays[number] = math.max(changes.delays[number], began - changes.made[number])
    end
  end
end


local function begin_change(changes)
  local number = changes.number + 1
  changes.made[number], changes.delays[number] = time.monotonic(), 0
  changes.number = number
  return number
end


-- As editors do, without waiting for the disk: that would hold up who calls, in the same process.
function Load:save()
  local number = begin_change(self.saves)
  local path = self.project.folder .. "/providers/work.lua"
  local file = assert(io.open(path .. ".new", "w"))
  file:write(PROVIDER:format(number, number))
  file:close()
  assert(os.rename(path .. ".new", path))
end


function Load:patch()
  local number = begin_change(self.patches)
  local status, body = self.service:request("PATCH", "/api/v1/integrations/work/config", {
    json = { max_retries = number },
  })
  assert(status == 200, json.encode(body))
end


function Load:change(what, count, interval)
  for _ = 1, count do
    what(self)
    task.sleep(interval)
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
    note_shown(self.saves, began, body.data.version)
    note_shown(self.patches, began, body.data.setting)
  end
end


-- Calls at `rate` a second as long as `goes_on()`; each in a task of its own, so that a slow one holds up no
-- other.
function Load:drive(rate, phase, goes_on)
  local started, made, running = time.monotonic(), 0, 0
  local function call()
    self:call(phase)
    running = running - 1
  end
  while goes_on() do
    local due = math.floor((time.monotonic() - started) * rate)
    for _ = made + 1, due do
      running = running + 1
      task.spawn(call)
    end
    made = due
    task.sleep(TICK_SECONDS)
  end
  support.wait("the last calls", function() return running == 0 end)
end


function Load:drive_for(rate, phase, seconds)
  local ending = time.monotonic() + seconds
  self:drive(rate, phase, function() return time.monotonic() < ending end)
end


-- Calls while `what` is done `count` times.
function Load:drive_through(rate, phase, what, count, interval)
  local changing = task.spawn(self.change, self, what, count, interval)
  self:drive(rate, phase, function() return changing:status() ~= "done" end)
  local ok, message = changing:join()
  assert(ok, message)
end


local function resident_of(service)
  local _, text = service:request("GET", "/metrics")
  return tonumber(text:match("\nprocess_resident_memory_bytes (%S+)"))
end


--- The resident memory of the process, in bytes, after each of `counts` (rising) reloads of its provider.
function M.memory(counts)
  local project = support.project()
  local ending <close> = setmetatable({}, { __close = function() project:close() end })
  project:write("providers/work.lua", PROVIDER:format(1, 1))
  project:write("config.lua", "return { watch = false }")
  local load = setmetatable({ project = project, saves = new_changes() }, Load)
  local service = project:serve { workers = 2 }
  local sizes = {}
  for index, count in ipairs(counts) do
    while load.saves.number <= count do
      load:save()
      local _, body = service:request("POST", "/api/v1/reload")
      assert(body.data.outcome == "ok", json.encode(body))
    end
    sizes[index] = resident_of(service)
  end
  return sizes
end


local function start(options)
  local project = support.project()
  project:write("providers/work.lua", PROVIDER:format(1, 1))
  project:write("config.lua", "return { integrations = { work = { max_retries = 1 } } }")
  local load = setmetatable({ project = project, saves = new_changes(), patches = new_changes(), calls = 0,
    failed = 0 }, Load)
  load.service = project:serve { workers = options.workers }
  return load
end


--- `options`: workers, rate (calls a second), seconds (without changes), saves (of the provider), patches (of its
--- configuration, at most 99), interval (seconds between two changes). { calls, failed, first_failure,
--- quiet_p50_ms, p50_ms, quiet_p99_ms, p99_ms, save_p50_ms, save_p99_ms, patch_p50_ms, patch_p99_ms, reloads }.
function M.run(options)
  local load = start(options)
  local ending <close> = setmetatable({}, { __close = function() load.project:close() end })
  load:drive_for(options.rate, nil, WARM_SECONDS)
  local quiet, busy = { seconds = {} }, { seconds = {} }
  load:drive_for(options.rate, quiet, options.seconds)
  load:drive_through(options.rate, busy, load.save, options.saves, options.interval)
  local _, status = load.service:request("GET", "/api/v1/status")
  load:drive_through(options.rate, nil, load.patch, options.patches, options.interval)
  return {
    calls = load.calls, failed = load.failed, first_failure = load.first_failure,
    quiet_p50_ms = milliseconds(quiet.seconds, 0.5), p50_ms = milliseconds(busy.seconds, 0.5),
    quiet_p99_ms = milliseconds(quiet.seconds, 0.99), p99_ms = milliseconds(busy.seconds, 0.99),
    save_p50_ms = milliseconds(load.saves.delays, 0.5), save_p99_ms = milliseconds(load.saves.delays, 0.99),
    patch_p50_ms = milliseconds(load.patches.delays, 0.5), patch_p99_ms = milliseconds(load.patches.delays, 0.99),
    reloads = status.data.generation.version - 1,
  }
end


return M
