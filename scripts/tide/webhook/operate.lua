-- What operators do to stored events: run them again, one or many, and discard them.
--
-- An event is changed only as it was seen (its state and the number of its runs), so that none is
-- taken from under the worker that has just claimed it; the audit row stands in the same condition.

local store = require "tide.store"
local time = require "tide.time"
local audit = require "tide.audit"
local errors = require "tide.errors"

local M = {}

-- Rows of one transaction: acknowledgements, which share the writer, wait no longer than for these.
local CHUNK_ROWS = 500
M.ROWS_MAX = 1000000

local COLUMNS = "id, integration_name, ordering_key, status, attempts, next_attempt_at"
local FIND = "SELECT " .. COLUMNS .. " FROM webhook_events WHERE id = $1"
local SEEN = "id = $1 AND status = $2 AND attempts = $3"

-- At most one event of an ordering key is under way: what is retried beside it waits for its turn.
local NEXT_ATTEMPT = "CASE WHEN ordering_key IS NOT NULL AND EXISTS (SELECT 1 FROM webhook_events AS other "
  .. "WHERE other.integration_name = webhook_events.integration_name "
  .. "AND other.ordering_key = webhook_events.ordering_key AND other.id <> webhook_events.id "
  .. "AND (other.status = 'processing' OR other.status = 'pending' AND other.next_attempt_at IS NOT NULL)) "
  .. "THEN NULL ELSE $4 END"
local RETRY = "UPDATE webhook_events SET status = 'pending', retry_count = 0, lease_until = NULL, next_attempt_at = "
  .. NEXT_ATTEMPT .. " WHERE " .. SEEN
local DISCARD = "DELETE FROM webhook_events WHERE " .. SEEN


local function unavailable(message, code)
  return errors.new(code == "overloaded" and code or "unavailable", message)
end


-- The event, as far as changing it needs; nil and an error.
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


-- Commits a change of one event: true, or nil and an error.
local function change(action, row, by, new, ...)
  local results, message, code = store.transaction({ note(action, row, by, new), ... })
  if not results then
    return nil, unavailable(message, code)
  end
  if results[2].changes == 0 then
    return nil, errors.new("conflict", "the event has changed meanwhile: look at it again", { retry_after = 1 })
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
    return "the event waits for an earlier one of its ordering key"
  end
  return row.next_attempt_at <= now and "the event is due already" or nil
end


--- Has an event run again, now or as soon as its ordering key allows.
---@param row table what `find` gave
---@param by { actor: string, trace_id: string? }
---@return true|nil, table? err
function M.retry(row, by)
  local now = time.format()
  local refusal = retry_refusal(row, now)
  if refusal then
    return nil, errors.new("conflict", refusal)
  end
  return change("event.retry", row, by, { status = "pending" }, { RETRY, row.id, row.status, row.attempts, now })
end


--- Deletes an event. What keeps a resend of it from being stored again stays.
---@return true|nil, table? err
function M.discard(row, by)
  if row.status == "processing" then
    return nil, errors.new("conflict", "the event is being processed")
  end
  return change("event.discard", row, by, nil, { DISCARD, row.id, row.status, row.attempts })
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
local RETRY_MANY = "UPDATE webhook_events SET status = 'pending', retry_count = 0, lease_until = NULL, "
  .. "next_attempt_at = " .. NEXT_ATTEMPT:gsub("%$4", "$2") .. OF_CHUNK
local FORGET_MANY = "DELETE FROM webhook_events" .. OF_CHUNK


local function chunk_statement(sql, status, now, rows)
  local statement = { sql, status, now, n = 2 + CHUNK_ROWS }
  for index = 1, CHUNK_ROWS do
    statement[index + 3] = (rows[index] or rows[1]).id
  end
  return statement
end


local function retry_chunk(rows, status, by, filters)
  local results, message, code = store.transaction({
    chunk_statement(RETRY_MANY, status, time.format(), rows),
    audit.statement("event.retry_many", nil, nil,
      { filters = filters, events = #rows, first = rows[1].id, last = rows[#rows].id },
      { actor = by.actor, trace_id = by.trace_id, integration = filters.integration }),
  })
  if not results then
    return nil, unavailable(message, code)
  end
  return results[1].changes
end


--- Has all events run again that `where` selects, which are all in state `status`. Each is seen once:
--- what fails again meanwhile, or comes, is not taken a second time.
---@param where table conditions of a search, with nothing for the columns' order or number
---@param by { actor: string, trace_id: string? }
---@param filters table<string, string> what was asked for, for the audit log
---@return { matched: integer, retried: integer }|nil, table? err
function M.retry_many(where, status, by, filters)
  local statement, place = search_statement(where)
  local count = { matched = 0, retried = 0 }
  repeat
    local rows, message, code = store.query(statement, table.unpack(where.values))
    if not rows then
      return nil, unavailable(message, code)
    end
    if #rows > 0 then
      local retried, err = retry_chunk(rows, status, by, filters)
      if not retried then
        return nil, err
      end
      count.matched, count.retried = count.matched + #rows, count.retried + retried
      where.values[place] = rows[#rows].id
    end
  until #rows < CHUNK_ROWS or count.matched >= M.ROWS_MAX
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
---@param rows table[] at most a chunk of 500, with `id`
---@param status string the state that they were seen in, and that those have which are deleted
---@return true|nil, string? message
function M.forget(rows, status)
  local done, message = store.transaction({ chunk_statement(FORGET_MANY, status, time.format(), rows) })
  return done and true, message
end


return M
