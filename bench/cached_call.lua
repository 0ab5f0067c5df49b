-- A cached ctx.call with its row: tidegate run bench/cached_call.lua DIRECTORY SECONDS
-- Counts the CPU time of this thread alone; the rows of each batch are committed before the next,
-- so that none is dropped.

local host = require "tide.host"
local store = require "tide.store"
local time = require "tide.time"
local call = require "tide.call"
local generation = require "tide.generation"

local BATCH = 5000
local PROVIDER = "bench/cached/providers/bench.lua"
local TICKS_PER_SECOND = 100

local directory, seconds = ...


-- Seconds of CPU that the main thread has used so far, to a tick.
local function thread_cpu()
  local id = host.read_file("/proc/self/stat"):match("^(%d+)")
  local fields = host.read_file("/proc/self/task/" .. id .. "/stat"):match("^.*%) (.*)$")
  local user, system = fields:match("^" .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (tonumber(user) + tonumber(system)) / TICKS_PER_SECOND
end


local function migrate()
  local text = assert(host.asset("scripts/migrations/001_tables.sqlite.sql"))
  assert(store.migrate({ { number = 1, name = "tables", sql = text } }, "tidegate"))
end


local function build()
  local built, faults = generation.build {
    config = { script_timeout_ms = 600000, integrations = { bench = { rate_limit_enabled = false } } },
    files = { { name = "bench", path = PROVIDER, text = assert(host.read_file(PROVIDER)) } },
  }
  if not built then
    error(table.concat(faults, "\n"), 0)
  end
  return call.bind(built)
end


local function run_batch(built)
  local result, err = call.run(built, "bench", "many", { count = BATCH }, { caller = "bench" })
  if not result then
    error(err, 0)
  end
end


assert(store.open("sqlite:" .. directory .. "/cached_call.db"))
migrate()
local built = build()
run_batch(built)
assert(store.flush())
local cpu, operations, ending = 0, 0, time.monotonic() + tonumber(seconds)
local started = time.monotonic()
while time.monotonic() < ending do
  local before = thread_cpu()
  run_batch(built)
  cpu = cpu + thread_cpu() - before
  operations = operations + BATCH
  assert(store.flush())
end
assert(store.stats().dropped == 0)
print(("operations=%d failed=0 duration_us=%d cpu_us=%d"):format(operations, (time.monotonic() - started) * 1e6 // 1,
  cpu * 1e6 // 1))
