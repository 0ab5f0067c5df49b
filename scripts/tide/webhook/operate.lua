-- What operators do to stored events: run them again, one or many, and discard them; and how those go
-- that were kept long enough.
--
-- An event is changed only as it was seen (its state and the number of its runs), so that none is
-- taken from under the worker that has just claimed it; the audit row stands in the same condition.

local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local alerts = require "tide.alerts"
local audit = require "tide.audit"
local errors = require "tide.errors"
local events = require "tide.webhook.events"
local wake = require "tide.webhook.wake"

local M = {}

-- Rows of one transaction: acknowledgements, which share the writer, wait no longer than for these.
local CHUNK_ROWS = 200
M.CHUNK_ROWS = CHUNK_ROWS
M.ROWS_MAX = 1000000

local COLUMNS = "id, integration_name, ordering_key, status, attempts, next_attempt_at"
local FIND = "SELECT " .. COLUMNS .. " FROM webhook_events WHERE id = $1"
local SEEN = "id = $1 AND status = $2 AND attempts = $3"

-- At most one event of an ordering key is under way: what is retried beside it waits for its turn. The
-- states stand there as they do in the index on ordering keys, which would not be used otherwise.
local NEXT_ATTEMPT = "CASE WHEN ordering_key IS NOT NULL AND EXISTS (SELECT 1 FROM webhook_events AS other "
  .. "WHERE other.integration_name = webhook_events.integration_name "
  .. "AND other.ordering_key = webhook_events.ordering_key AND other.id <> webhook_events.id "
  .. "AND other.status IN ('pending', 'processing', 'failed') "
  .. "AND (other.status = 'processing' OR other.status = 'pending' AND other.next_attempt_at IS NOT NULL)) "
  .. "THEN NULL ELSE $4 END"
local RETRY = "UPDATE webhook_events SET status = 'pending', retry_count = 0, lease_until = NULL, next_attempt_at = "
  .. NEXT_ATTEMPT .. " WHERE " .. SEEN
local DISCARD = "DELETE FROM webhook_events WHERE " .. SEEN
-- The expression keeps the index on integrations out, where completed events are.
local ANY_FAILED = "SELECT 1 FROM webhook_events WHERE status = 'failed' AND integration_name || '' = $1 LIMIT 1"


local function unavailable(message, code)
  return errors.new(code == "overloaded" and code or "unavailable", message)
end


-- What follows from a change -----------------------------------------------------------------------


-- webhook_poisoned_key of an integration, of one that is gone too.
local function poisoned_of(generation, name)
  local integration = generation.integrations[name]
  return integration and integration.values and integration.values.webhook_poisoned_key or "skip"
end


-- Adds the statement that lets the next event run of each ordering key that these rows have.
local function add_unlocks(statements, rows, generation)
  local seen = {}
  for _, row in ipairs(rows) do
    local key = row.ordering_key and row.integration_name .. "\0" .. row.ordering_key
    if key and not seen[key] then
      seen[key] = true
      statements[#statements + 1] = events.unlock_idle_statement(row.integration_name, row.ordering_key,
        poisoned_of(generation, row.integration_name), time.format())
    end
  end
  return statements
end


-- The alert on failed events ends when none is left, and none has failed since this was looked at.
local function settle(integration)
  local now = time.format()
  local rows = store.query(ANY_FAILED, integration)
  if rows and #rows == 0 then
    local statement = alerts.resolve_statement("webhook_failed", integration, now)
    store.enqueue(table.unpack(statement, 1, statement.n + 1))
  end
end


local function settle_all(integrations)
  for name in pairs(integrations) do
    settle(name)
  end
end


-- One -----------------------------------------------------------------------------------------------


--- The event, as far as changing it needs; nil and an error.
function M.find(id)
  local rows, message, code = store.query(FIND, id)
  if not rows then
    return nil, unavailable(message, code)
  end
  if not rows[1] then
    return nil, errors.new("not_found", "there is no event with this id")
  end
  return rows[1]
end


local function note(action, row, by, new)
  return audit.statement_if("EXISTS (SELECT 1 FROM webhook_events WHERE id = $10 AND status = $11 AND attempts = $12)",
    { row.id, row.status, row.attempts }, action, row.id, { status = row.status, attempts = row.attempts }, new,
    { actor = by.actor, trace_id = by.trace_id, integration = row.integration_name })
end


-- Commits a change of one event, and what it lets run: true, or nil and an error.
local function change(row, generation, noted, statement)
  local results, message, code = store.transaction(add_unlocks({ noted, statement }, { row }, generation))
  if not results then
    return nil, unavailable(message, code)
  end
  if results[2].changes == 0 then
    return nil, errors.new("conflict", "the event has changed meanwhile: look at it again", { retry_after = 1 })
  end
  wake.all()
  if row.status == "failed" then
    settle(row.integration_name)
  end
  return true
end


-- Why an event may not be run again now; nil when it may.
local function retry_refusal(row, now)
  if row.status == "processing" then
    return "the event is being processed"
  end
  if row.status ~= "pending" then
    return nil
  end
  if row.next_attempt_at == nil then
    return "the event waits for an earlier one of its ordering key: retry or discard that one"
  end
  return row.next_attempt_at <= now and "the event is due already" or nil
end


--- Has an event run again, now or as soon as its ordering key allows.
---@param row table what `find` gave
---@param by { actor: string, trace_id: string? }
---@param generation table
---@return true|nil, table? err
function M.retry(row, by, generation)
  local now = time.format()
  local refusal = retry_refusal(row, now)
  if refusal then
    return nil, errors.new("conflict", refusal)
  end
  return change(row, generation, note("event.retry", row, by, { status = "pending" }),
    { RETRY, row.id, row.status, row.attempts, now })
end


--- Deletes an event. What keeps a resend of it from being stored again stays.
---@return true|nil, table? err
function M.discard(row, by, generation)
  if row.status == "processing" then
    return nil, errors.new("conflict", "the event is being processed")
  end
  return change(row, generation, note("event.discard", row, by, nil), { DISCARD, row.id, row.status, row.attempts })
end


-- Many ----------------------------------------------------------------------------------------------


local LEAST_ID = "00000000-0000-0000-0000-000000000000"


-- The conditions of a search as those of chunks: the text of a statement that gives the next one, and
-- the place of the id after which it begins.
local function search_statement(where)
  where:add("id >", LEAST_ID)
  return ("SELECT %s FROM webhook_events%s ORDER BY id LIMIT %d"):format(COLUMNS, where:text(), CHUNK_ROWS),
    #where.values
end


-- " WHERE …" of a chunk: $1 is the state, $2 the time, then come the ids. There are always as many of
-- them, so that there is one statement.
local function chunk_condition()
  local places = {}
  for index = 1, CHUNK_ROWS do
    places[index] = "$" .. index + 2
  end
  return " WHERE status = $1 AND id IN (" .. table.concat(places, ", ") .. ")"
end

local OF_CHUNK = chunk_condition()
-- Those with an ordering key wait until the next of their key is let run.
local RETRY_MANY = "UPDATE webhook_events SET status = 'pending', retry_count = 0, lease_until = NULL, "
  .. "next_attempt_at = CASE WHEN ordering_key IS NULL THEN $2 END" .. OF_CHUNK
local FORGET_MANY = "DELETE FROM webhook_events" .. OF_CHUNK


local function chunk_statement(sql, status, rows)
  local statement = { sql, status, time.format(), n = 2 + CHUNK_ROWS }
  for index = 1, CHUNK_ROWS do
    statement[index + 3] = (rows[index] or rows[1]).id
  end
  return statement
end


local function retry_chunk(rows, request)
  local statements = {
    chunk_statement(RETRY_MANY, request.status, rows),
    audit.statement("event.retry_many", nil, nil,
      { filters = request.filters, events = #rows, first = rows[1].id, last = rows[#rows].id },
      { actor = request.by.actor, trace_id = request.by.trace_id, integration = request.filters.integration }),
  }
  local results, message, code = store.transaction(add_unlocks(statements, rows, request.generation))
  if not results then
    return nil, unavailable(message, code)
  end
  wake.all()
  for _, row in ipairs(rows) do
    request.integrations[row.integration_name] = true
  end
  return results[1].changes
end


--- Has all events run again that `request.where` selects, which are all in the state `status`. Each is
--- seen once: what fails again meanwhile, or comes, is not taken a second time.
---@param request { where: table, status: string, filters: table, by: table, generation: table }
---@return { matched: integer, retried: integer }|nil, table? err
function M.retry_many(request)
  local where = request.where
  local statement, place = search_statement(where)
  local count = { matched = 0, retried = 0 }
  request.integrations = {}
  repeat
    local started = time.monotonic()
    local rows, message, code = store.query(statement, table.unpack(where.values))
    if not rows then
      return nil, unavailable(message, code)
    end
    if #rows > 0 then
      local retried, err = retry_chunk(rows, request)
      if not retried then
        return nil, err
      end
      count.matched, count.retried = count.matched + #rows, count.retried + retried
      where.values[place] = rows[#rows].id
      -- Half of the writer's time stays for others.
      task.sleep(time.monotonic() - started)
    end
  until #rows < CHUNK_ROWS or count.matched >= M.ROWS_MAX
  if request.status == "failed" then
    settle_all(request.integrations)
  end
  return count
end


--- How many events `retry_many` would take.
---@return integer|nil, table? err
function M.count(where)
  local rows, message, code = store.query(("SELECT count(*) AS n FROM (SELECT 1 FROM webhook_events%s LIMIT %d) "
    .. "AS found"):format(where:text(), M.ROWS_MAX), table.unpack(where.values))
  if not rows then
    return nil, unavailable(message, code)
  end
  return rows[1].n
end


--- Deletes events that were kept long enough.
---@param rows table[] at most CHUNK_ROWS: id, integration_name, ordering_key
---@param status string the state that they were seen in, and that those have which are deleted
---@param generation table
---@return true|nil, string? message
function M.forget(rows, status, generation)
  local statements = { chunk_statement(FORGET_MANY, status, rows) }
  if status ~= "failed" then
    local done, message = store.transaction(statements)
    return done and true, message
  end
  local done, message = store.transaction(add_unlocks(statements, rows, generation))
  if not done then
    return nil, message
  end
  wake.all()
  local integrations = {}
  for _, row in ipairs(rows) do
    integrations[row.integration_name] = true
  end
  settle_all(integrations)
  return true
end


return M
