-- A token of both buckets, granted at once: tidegate run bench/bucket_bench.lua SECONDS

local bucket = require "tide.state.bucket"
local host = require "tide.host"
local task = require "tide.task"
local time = require "tide.time"

local BATCH = 200000
-- More than are taken.
local RATE = 1000000000

local seconds = tonumber((...))
local limiter = bucket.limiter("bench")


local function take(count)
  for _ = 1, count do
    if not limiter:take(0) then
      error("a token was refused", 0)
    end
  end
end


limiter:configure { per_minute = RATE, per_hour = RATE }
take(BATCH)
local operations, started = 0, time.monotonic()
local before = host.process().cpu_seconds
while time.monotonic() - started < seconds do
  take(BATCH)
  operations = operations + BATCH
  -- A turn of the loop, whose clock the buckets go by.
  task.sleep(0)
end
print(("operations=%d failed=0 duration_us=%d cpu_us=%d"):format(operations, (time.monotonic() - started) * 1e6 // 1,
  (host.process().cpu_seconds - before) * 1e6 // 1))
