-- Deletes what was kept long enough, for the service's life: in chunks, with a pause after each, so
-- that what waits for the store's writer waits for a chunk at most. The audit log is kept for ever.

local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local markers = require "tide.markers"
local row_id = require "tide.row_id"
local operate = require "tide.webhook.operate"

local M = {}

local PASS_SECONDS = 60
local CHUNK_ROWS = 500
local PAUSE_SECONDS = 0.02
local DAY_SECONDS = 86400
local ALERT_DAYS = 90


-- Rules -------------------------------------------------------------------------------------------
--
-- { what, days (a key of the configuration) or age (in days), step }: `step(before)` deletes one chunk
-- of what is older than an instant: how many rows it found, 0 at the end; nil and a message. `place` is
-- the same table for all chunks of a pass, to remember in.


-- A step that is one statement: `condition` finds the rows, $1 is what `argument` makes of the instant.
local function deletes(from, key, condition, argument)
  local sql = ("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s WHERE %s LIMIT %d)"):format(from, key, key, from,
    condition, CHUNK_ROWS)
  return function(before)
    local result, message = store.execute(sql, argument(before))
    return result and result.changes, message
  end
end


-- Events are looked for by a reader: the writer would stand still while it passes the many that stay.
local function deletes_events(status)
  local find = ("SELECT id, integration_name, ordering_key FROM webhook_events WHERE status = '%s' AND id < $1 "
    .. "AND id > $2 ORDER BY id LIMIT %d"):format(status, operate.CHUNK_ROWS)
  return function(before, place, generation)
    local rows, message = store.query(find, row_id.at(before), place.id or row_id.at(0))
    if not rows or #rows == 0 then
      return rows and 0, message
    end
    local done
    done, message = operate.forget(rows, status, generation)
    place.id = rows[#rows].id
    return done and #rows, message
  end
end


-- The marks of handlers' transactions go when every event is gone that they could be of. A day more, as
-- clocks are set back now and then.
local function delete_markers(before, place)
  if place.done then
    return 0
  end
  local rows, message = store.query("SELECT created_at FROM webhook_events ORDER BY id LIMIT 1")
  if not rows then
    return nil, message
  end
  local oldest = rows[1] and time.parse(rows[1].created_at) or before
  place.done = true
  return markers.forget_before(time.format(math.min(oldest, before) - DAY_SECONDS))
end


local RULES = {
  { what = "completed events", days = "event_retention_days", step = deletes_events("completed") },
  { what = "failed events", days = "failed_event_retention_days", step = deletes_events("failed") },
  { what = "ids of events", age = 0,
    step = deletes("webhook_dedupe", "integration, key", "expires_at < $1", time.format) },
  { what = "call logs", days = "log_retention_days",
    step = deletes("integration_call_logs", "id", "id < $1", row_id.at) },
  { what = "metrics", days = "log_retention_days",
    step = deletes("integration_metrics", "id", "metric_timestamp < $1", time.format) },
  { what = "marks of transactions", age = 0, step = delete_markers },
  { what = "alerts", age = ALERT_DAYS,
    step = deletes("alerts", "id", "COALESCE(resolved_at, acknowledged_at) < $1", time.format) },
}


-- Passing -----------------------------------------------------------------------------------------


-- Deletes all that a rule finds; how many rows; nil and a message.
local function apply(rule, generation, now)
  local before = now - (rule.age or generation.config[rule.days]) * DAY_SECONDS
  local deleted, place = 0, {}
  while true do
    local count, message = rule.step(before, place, generation)
    if not count then
      return nil, message
    end
    if count == 0 then
      return deleted
    end
    deleted = deleted + count
    task.sleep(PAUSE_SECONDS)
  end
end


--- Deletes what is too old now.
---@param generation table
function M.pass(generation)
  local now = time.now()
  for _, rule in ipairs(RULES) do
    local deleted, message = apply(rule, generation, now)
    if not deleted then
      log.warn("what is too old could not be deleted", { what = rule.what, error = message })
    elseif deleted > 0 then
      log.debug("deleted what is too old", { what = rule.what, rows = deleted })
    end
  end
end


--- Begins to delete; the task.
---@param live table what knows the generation as it is at each pass
function M.start(live)
  return task.keep("retention", function()
    while true do
      M.pass(live:current())
      task.sleep(PASS_SECONDS)
    end
  end)
end


return M
