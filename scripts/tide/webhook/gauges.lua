-- How many events are in which state, and how far processing is behind: measured now and then by the
-- main worker.

local counters = require "tide.state.counters"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local events = require "tide.webhook.events"

local M = {}

local INTERVAL_SECONDS = 5
-- Completed events are in no index of their own: all have to be counted. That takes no more than this
-- share of a reader's time.
local COUNT_ALL_SECONDS = 60
local COUNT_ALL_SHARE = 0.01

-- Each literally as its index has it.
local COUNTS = {
  pending = "SELECT count(*) AS n FROM webhook_events WHERE status = 'pending'",
  processing = "SELECT count(*) AS n FROM webhook_events WHERE status = 'processing'",
  failed = "SELECT count(*) AS n FROM webhook_events WHERE status = 'failed'",
}
local COUNT_ALL = "SELECT count(*) AS n FROM webhook_events"

counters.describe("webhook_events", "gauge", "Stored webhook events, by status.")
counters.describe("webhook_oldest_pending_seconds", "gauge",
  "How long the event that waits longest could have run already.")


local function count(sql)
  local rows = store.query(sql)
  return rows and rows[1].n
end


local function set(status, n)
  counters.gauge("webhook_events", ('status="%s"'):format(status)):set(n)
end


-- The sum of the states that have an index; nil without the store.
local function count_states()
  local sum = 0
  for status, sql in pairs(COUNTS) do
    local n = count(sql)
    if not n then
      return nil
    end
    set(status, n)
    sum = sum + n
  end
  return sum
end


local function measure_age(generation)
  local oldest = 0
  for name, integration in pairs(generation.integrations) do
    local rows = integration.webhooks and store.query(events.NEXT_DUE, name)
    local due = rows and rows[1] and time.parse(rows[1].next_attempt_at)
    oldest = math.max(oldest, due and time.now() - due or 0)
  end
  counters.gauge("webhook_oldest_pending_seconds"):set(oldest)
end


-- When all events are to be counted again, after a count that took so long.
local function next_count(took)
  return time.monotonic() + math.max(COUNT_ALL_SECONDS, took / COUNT_ALL_SHARE)
end


-- Measures for the service's life; its task. `current()` gives the generation.
function M.start(current)
  return task.keep("the counting of events", function()
    local count_all_at = 0
    while true do
      task.sleep(INTERVAL_SECONDS)
      local others = count_states()
      if others and time.monotonic() >= count_all_at then
        local started = time.monotonic()
        local all = count(COUNT_ALL)
        count_all_at = next_count(time.monotonic() - started)
        set("completed", math.max(0, (all or 0) - others))
      end
      measure_age(current())
    end
  end)
end


return M
