-- Marks that a transaction of a webhook handler leaves of itself in the project's database, in the
-- same commit: (event, n-th transaction of its run, result). A later run of the event finds the mark
-- and does not repeat what is done.

local database = require "tide.database"
local time = require "tide.time"

local M = {}

local CHUNK = 500
-- Longest that one chunk may take.
local CHUNK_SECONDS = 5

M.FIND = "SELECT result FROM tidegate_transactions WHERE event_id = $1 AND number = $2"
M.ADD = "INSERT INTO tidegate_transactions (event_id, number, result, created_at) VALUES ($1, $2, $3, $4)"

local FORGET_BEFORE = ("DELETE FROM tidegate_transactions WHERE (event_id, number) IN (SELECT event_id, number "
  .. "FROM tidegate_transactions WHERE created_at < $1 LIMIT %d) RETURNING number"):format(CHUNK)


-- The mark that the next transaction of a handler's run is to leave: { event_id, number }.
function M.next(event)
  event.transactions = event.transactions + 1
  return { event_id = event.id, number = event.transactions }
end


-- The values of M.ADD.
function M.values(mark, result)
  return mark.event_id, mark.number, result, time.format()
end


-- Runs one deleting statement; how many marks went.
local function forget(opened, sql, value)
  local transaction, rows, code = opened:begin(CHUNK_SECONDS, sql, value)
  if not transaction then
    return nil, rows, code
  end
  local guard <close> = transaction
  local done, message
  done, message, code = transaction:commit()
  if not done then
    return nil, message, code
  end
  return #rows
end


-- Forgets the marks that were left before `instant` (as time.format gives it), in chunks. How many
-- there were; nil, message, code.
function M.forget_before(instant)
  local opened = database.shared()
  local total = 0
  local count = opened and CHUNK or 0
  while count == CHUNK do
    local message, code
    count, message, code = forget(opened, FORGET_BEFORE, instant)
    if not count then
      return nil, message, code
    end
    total = total + count
  end
  return total
end


return M
