-- The audit log: who changed what, when, from what to what. Secrets never.

local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"

local M = {}

local INSERT = "INSERT INTO audit_log (id, created_at, actor, action, subject, old_value, new_value, trace_id, "
  .. "integration_name) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"


-- The statement that notes a change, for the transaction that makes it. `by` = { actor, trace_id, integration }.
function M.statement(action, subject, old, new, by)
  return { INSERT, uuid.v7(), time.format(), by.actor, action, subject, old and json.encode(old),
    new and json.encode(new), by.trace_id, by.integration, n = 9 }
end


return M
