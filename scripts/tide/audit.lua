-- The audit log: who changed what, when, from what to what. Secrets never.

local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"

local M = {}

local COLUMNS = "INSERT INTO audit_log (id, created_at, actor, action, subject, old_value, new_value, trace_id, "
  .. "integration_name) "
local PLACES = "$1, $2, $3, $4, $5, $6, $7, $8, $9"
local COUNT = 9
local INSERT = COLUMNS .. "VALUES (" .. PLACES .. ")"


local function encoded(value)
  return value and json.encode(value)
end


-- The statement that notes a change, for the transaction that makes it. `by` = { actor, trace_id, integration }.
function M.statement(action, subject, old, new, by)
  return { INSERT, uuid.v7(), time.format(), by.actor, action, subject, encoded(old), encoded(new), by.trace_id,
    by.integration, n = COUNT }
end


-- The same for a change that is made only under `condition`, whose values are $10 and on: to stand
-- before the change, under the condition that the change has.
function M.statement_if(condition, values, ...)
  local statement = M.statement(...)
  statement[1] = COLUMNS .. "SELECT " .. PLACES .. " WHERE " .. condition
  table.move(values, 1, #values, COUNT + 2, statement)
  statement.n = COUNT + #values
  return statement
end


return M
