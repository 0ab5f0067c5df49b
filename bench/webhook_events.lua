-- What a database holds of an integration's events: tidegate run bench/webhook_events.lua DATABASE INTEGRATION [delays]
-- Prints the events by status; with "delays" (which reads every row) also the milliseconds from the receipt of an
-- event to the start of its last run: the median, the 99th percentile and the most.

local store = require "tide.store"

local ROWS_AT_ONCE = 50000
local DELAYS = [[
  SELECT CAST((julianday(started_at) - julianday(created_at)) * 86400000 + 0.5 AS INTEGER) AS ms, count(*) AS events
  FROM webhook_events WHERE rowid BETWEEN $1 AND $2 AND integration_name = $3 AND started_at IS NOT NULL
  GROUP BY ms]]

local path, integration, with_delays = ...


local function query(sql, ...)
  return assert(store.query(sql, ...))
end


-- The states that have an index; the others are completed.
local function count_states()
  local total = query("SELECT count(*) AS n FROM webhook_events INDEXED BY idx_webhook_events_integration_name "
    .. "WHERE integration_name = $1", integration)[1].n
  local counts = { completed = total }
  for _, status in ipairs { "pending", "processing", "failed" } do
    local sql = "SELECT count(*) AS n FROM webhook_events WHERE status = '%s' AND integration_name = $1"
    counts[status] = query(sql:format(status), integration)[1].n
    counts.completed = counts.completed - counts[status]
  end
  return counts
end


-- How many events had to wait for so many milliseconds.
local function count_delays()
  local last = query("SELECT max(rowid) AS n FROM webhook_events")[1].n or 0
  local delays, total = {}, 0
  for first = 1, last, ROWS_AT_ONCE do
    for _, row in ipairs(query(DELAYS, first, first + ROWS_AT_ONCE - 1, integration)) do
      delays[row.ms] = (delays[row.ms] or 0) + row.events
      total = total + row.events
    end
  end
  return delays, total
end


local function percentile(delays, total, part)
  local sorted, seen = {}, 0
  for ms in pairs(delays) do sorted[#sorted + 1] = ms end
  table.sort(sorted)
  for _, ms in ipairs(sorted) do
    seen = seen + delays[ms]
    if seen >= total * part then return ms end
  end
  return 0
end


assert(store.open("sqlite:" .. path))
local counts = count_states()
print(("pending=%d processing=%d completed=%d failed=%d"):format(counts.pending, counts.processing, counts.completed,
  counts.failed))
if with_delays then
  local delays, total = count_delays()
  print(("started=%d start_p50_ms=%d start_p99_ms=%d start_max_ms=%d"):format(total, percentile(delays, total, 0.5),
    percentile(delays, total, 0.99), percentile(delays, total, 1)))
end
