-- Rows of integration_metrics: what came of each integration's calls in every five minutes,
-- counted by the wall clock. Kept by the main worker, over all workers.

local statistics = require "tide.state.statistics"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local uuid = require "tide.uuid"

local M = {}

M.WINDOW_MINUTES = 5

local WINDOW_SECONDS = M.WINDOW_MINUTES * 60

M.COLUMNS = {
  "id", "created_at", "integration_name", "metric_timestamp", "window_minutes", "total_calls", "successful_calls",
  "failed_calls", "cached_calls", "avg_response_time", "p50_response_time", "p95_response_time", "p99_response_time",
  "max_response_time", "error_rate", "timeout_count", "circuit_breaker_open_count", "rate_limited_count",
  "cache_hit_rate",
}

local Windows = {}
Windows.__index = Windows


local function insert_statement()
  local places = {}
  for index = 1, #M.COLUMNS do
    places[index] = "$" .. index
  end
  return ("INSERT INTO integration_metrics (%s) VALUES (%s)"):format(table.concat(M.COLUMNS, ", "),
    table.concat(places, ", "))
end

local INSERT = insert_statement()


-- Numbers -----------------------------------------------------------------------------------------


local function ratio(part, whole)
  return whole > 0 and part / whole or nil
end


-- To the microsecond: there is no more in a percentile.
local function milliseconds(seconds)
  return seconds and math.floor(seconds * 1e6 + 0.5) / 1000
end


local function whole(value)
  return value and math.floor(value + 0.5)
end


-- What a snapshot of `tide.state.statistics` comes to: calls, error_rate, cache_hit_rate (0 to 1),
-- p50_ms, p95_ms, p99_ms; nil where there is nothing to take it from. And its numbers.
function M.summarize(snapshot)
  local numbers = snapshot:get()
  return {
    calls = numbers.total,
    error_rate = ratio(numbers.failed, numbers.total),
    cache_hit_rate = ratio(numbers.cache_hits, numbers.cache_hits + numbers.cache_misses),
    p50_ms = milliseconds(snapshot:quantile(0.5)),
    p95_ms = milliseconds(snapshot:quantile(0.95)),
    p99_ms = milliseconds(snapshot:quantile(0.99)),
  }, numbers
end


-- An id that begins with the time of its window and not with that of its making, so that a range
-- of windows is a range of ids.
local function id_of(began)
  local digits = ("%012x"):format(math.floor(began * 1000 + 0.5))
  return digits:sub(1, 8) .. "-" .. digits:sub(9) .. uuid.v7():sub(14)
end


local function row_of(name, began, snapshot)
  local summary, numbers = M.summarize(snapshot)
  return {
    id = id_of(began),
    created_at = time.format(),
    integration_name = name,
    metric_timestamp = time.format(began),
    window_minutes = M.WINDOW_MINUTES,
    total_calls = numbers.total,
    successful_calls = numbers.successful,
    failed_calls = numbers.failed,
    cached_calls = numbers.cached,
    avg_response_time = numbers.avg_ms,
    p50_response_time = whole(summary.p50_ms),
    p95_response_time = whole(summary.p95_ms),
    p99_response_time = whole(summary.p99_ms),
    max_response_time = whole(numbers.max_ms),
    error_rate = summary.error_rate,
    timeout_count = numbers.timeouts,
    circuit_breaker_open_count = numbers.breaker_opened,
    rate_limited_count = numbers.rate_limited,
    cache_hit_rate = summary.cache_hit_rate,
  }
end


local function enqueue(row)
  local values = {}
  for index, name in ipairs(M.COLUMNS) do
    values[index] = row[name]
  end
  store.enqueue(INSERT, table.unpack(values, 1, #M.COLUMNS))
end


-- Windows -----------------------------------------------------------------------------------------


local function start_of(now)
  return now - now % WINDOW_SECONDS
end


-- Writes a row for each integration that had calls since its last one. What happened around calls
-- that have not ended yet is left for the window in which they do.
function Windows:close()
  for _, name in ipairs(statistics.names()) do
    local snapshot = statistics.snapshot(name)
    local seen = self.seen[name]
    local since = seen and snapshot:since(seen) or snapshot
    if since:get().total > 0 then
      self.write(row_of(name, self.began, since))
      self.seen[name] = snapshot
    end
  end
end


-- Closes each window when the wall clock has left it, be it by a jump.
function Windows:run()
  while true do
    local now = time.now()
    local ending = start_of(self.began) + WINDOW_SECONDS
    if now < self.began or now >= ending then
      self:close()
      self.began = start_of(now)
      ending = self.began + WINDOW_SECONDS
    end
    task.sleep(ending - now)
  end
end


-- The last window, as far as it has come.
function Windows:stop()
  self.task:cancel()
  self:close()
end


-- Counts from now on, until stopped; the first window begins now and ends with the five minutes.
-- `write(row)`: where rows go instead of the store (for specs).
function M.start(write)
  local windows = setmetatable({ began = time.now(), seen = {}, write = write or enqueue }, Windows)
  for _, name in ipairs(statistics.names()) do
    windows.seen[name] = statistics.snapshot(name)
  end
  windows.task = task.keep("the keeping of metrics", Windows.run, windows)
  return windows
end


return M
