-- How a run ends: what becomes of its event, stored.

local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local alerts = require "tide.alerts"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local redact = require "tide.redact"
local events = require "tide.webhook.events"
local process = require "tide.webhook.process"

local M = {}

local STORE_RETRY_SECONDS = 0.5

-- Failures of the store that pass.
local PASSING = { unavailable = true, overloaded = true, timeout = true }

counters.describe("webhook_runs_total", "counter", "Runs of webhook handlers, by outcome.")


local function count(lane, outcome)
  local counter = lane.outcomes[outcome]
  if counter == nil then
    counter = counters.counter("webhook_runs_total", ('integration="%s",outcome="%s"'):format(lane.name, outcome))
    lane.outcomes[outcome] = counter
  end
  counter:add()
end


-- Returns when the store has taken the statements: an event may not be left between two states.
local function commit_waiting(lane, statements)
  while true do
    local done, message, code = store.transaction(statements)
    if done then
      return
    end
    log.warn("the end of a webhook's run could not be stored yet", { integration = lane.name, error = message })
    if not PASSING[code] then
      return
    end
    task.sleep(STORE_RETRY_SECONDS)
  end
end


-- With the next of the same key, which may run from now on.
local function commit_ordered(lane, event, statement)
  commit_waiting(lane, { statement, events.unlock_statement(lane.name, event.ordering_key,
    lane.values.webhook_poisoned_key, time.format()) })
  lane.is_behind = true
end


-- The event is over. What has no ordering key need not wait: a run whose end is lost with the process runs
-- again.
local function commit(lane, event, statement)
  if event.ordering_key then
    commit_ordered(lane, event, statement)
  elseif not store.enqueue(table.unpack(statement, 1, statement.n + 1)) then
    commit_waiting(lane, { statement })
  end
end


-- A statement that ends a run, with the values that all of them begin with.
local function run_statement(sql, lane, event, outcome, ...)
  local statement = table.pack(sql, event.id, time.format(outcome.started), time.format(), outcome.duration_ms,
    lane:version(), outcome.transaction_result, ...)
  statement.n = statement.n - 1
  return statement
end


-- Whoever looks when it is due must see it: this waits for its commit.
local function try_again(lane, event, outcome, delay)
  local err = outcome.err
  local at = time.now() + delay
  commit_waiting(lane, { run_statement(events.RETRY, lane, event, outcome, err.code, redact.text(err.message),
    process.attempt_log(event, outcome), time.format(at)) })
  lane:wake_at(at)
end


local function give_up(lane, event, outcome)
  local err = outcome.err
  commit(lane, event, run_statement(events.FAIL, lane, event, outcome, err.code, redact.text(err.message),
    process.attempt_log(event, outcome)))
  alerts.raise("webhook_failed", "warning", lane.name, ("an event of type %q failed for good: %s"):format(event.type,
    err.message), { event = event.id, error_type = err.code })
end


-- Stores the outcome of a run (see process.run). A failed one is tried again, if there is a delay left
-- and nothing speaks against it.
function M.finish(lane, event, outcome)
  local err = outcome.err
  if not err then
    count(lane, "completed")
    commit(lane, event, run_statement(events.COMPLETE, lane, event, outcome, outcome.result))
    return
  end
  local delay = process.delay(lane.values, event, err)
  process.log_failure(lane.name, event, err, delay)
  if delay then
    count(lane, "retried")
    try_again(lane, event, outcome, delay)
  else
    count(lane, "failed")
    give_up(lane, event, outcome)
  end
end


-- A run that ended without an outcome: the worker's memory ran out, and it was the one that had most.
function M.cut_off(lane, event)
  M.finish(lane, event, {
    started = time.now(), duration_ms = 0,
    err = errors.new("out_of_memory", "the run was cut off: the worker had no memory left"),
  })
  lane:pump()
end


-- A claim that came to nothing because the service ends: the event waits as before. One whose run had begun
-- runs again.
function M.put_back(lane, event)
  if not store.enqueue(event.is_begun and events.INTERRUPT or events.RELEASE, event.id, time.format()) then
    log.warn("a claimed event could not be put back; it is taken again at the next start", { integration = lane.name,
      event = event.id })
  end
end


-- An event that was claimed in the commit that stores it, of which nobody knows whether it happened: the store
-- takes this after it. If it is there it waits like any other.
function M.give_back(lane, event)
  commit_waiting(lane, { { events.RELEASE, event.id, time.format() } })
  lane:drop(event)
  lane:note_pending()
end


return M
