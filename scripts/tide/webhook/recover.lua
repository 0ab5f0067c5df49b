-- Events that were being processed when an earlier process ended. The lock on the data directory says
-- that there is no other owner: before the first worker starts, they are pending again. Their
-- attempts were counted when they were claimed, so that one that ends the process does not do so
-- for ever.

local log = require "tide.log"
local store = require "tide.store"
local time = require "tide.time"
local alerts = require "tide.alerts"
local events = require "tide.webhook.events"

local M = {}

local ROUNDS_MAX = 1000
-- So often an event is taken again at once. One that was there each time that the process ended is
-- then set apart from its neighbours by ever longer waits.
local AT_ONCE = 3


local function give_up(row, now)
  local words = ("the process ended %d times while the event was processed"):format(row.attempts)
  alerts.raise("webhook_failed", "warning", row.integration_name, words, { event = row.id })
  return { events.GIVE_UP, row.id, now, words, n = 3 }
end


local function take_back(row, values, now)
  local crashes = row.retry_count + 1
  local planned = values.webhook_retry_seconds
  local delay = crashes > AT_ONCE and planned[crashes - AT_ONCE + 1] or 0
  return { events.TAKE_BACK, row.id, time.format(now + delay * (0.8 + 0.4 * math.random())), n = 2 }
end


local function statements_of(row, generation, now)
  local integration = generation.integrations[row.integration_name]
  local values = integration and integration.values or generation.config.defaults
  local planned = values.webhook_retry_seconds or {}
  if row.retry_count < math.max(#planned, AT_ONCE) then
    return { take_back(row, { webhook_retry_seconds = planned }, now) }
  end
  local statements = { give_up(row, time.format(now)) }
  if row.ordering_key then
    statements[2] = events.unlock_statement(row.integration_name, row.ordering_key,
      values.webhook_poisoned_key or "skip", time.format(now))
  end
  return statements
end


local function take_all(rows, generation)
  local statements, now = {}, time.now()
  for _, row in ipairs(rows) do
    local own = statements_of(row, generation, now)
    table.move(own, 1, #own, #statements + 1, statements)
  end
  return store.transaction(statements)
end


local function poisoned_of(generation, name)
  local integration = generation.integrations[name]
  return integration and integration.values and integration.values.webhook_poisoned_key or "skip"
end


-- Lets the first of each ordering key run where none is under way: what held it up may hold it up no
-- longer, as the settings are others now.
local function unlock_keys(generation)
  local name, key = "", ""
  for _ = 1, ROUNDS_MAX do
    local rows, message = store.query(events.WAITING_KEYS, name, key)
    if not rows or #rows == 0 then
      return rows and true, message
    end
    local statements, now = {}, time.format()
    for index, row in ipairs(rows) do
      name, key = row.integration_name, row.ordering_key
      statements[index] = events.unlock_idle_statement(name, key, poisoned_of(generation, name), now)
    end
    local done
    done, message = store.transaction(statements)
    if not done then
      return nil, message
    end
  end
  return true
end


-- Makes them pending; how many, or nil and a message.
function M.run(generation)
  local count = 0
  for _ = 1, ROUNDS_MAX do
    local rows, message = store.query(events.LEFT_BEHIND)
    if not rows then
      return nil, message
    end
    if #rows == 0 then
      break
    end
    local done
    done, message = take_all(rows, generation)
    if not done then
      return nil, message
    end
    count = count + #rows
  end
  if count > 0 then
    log.warn("webhook events that were being processed when the process ended are taken again", { events = count })
  end
  local done, message = unlock_keys(generation)
  return done and count, message
end


return M
