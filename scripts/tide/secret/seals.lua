-- Under which master keys stored secrets are sealed, and sealing them again under the first, so that the
-- others can be left out. Each row is written whole, in transactions of a few: whoever is stopped in the
-- middle leaves rows under either key, all of which open, and goes on with the rest when asked again.

local log = require "tide.log"
local store = require "tide.store"
local audit = require "tide.audit"
local errors = require "tide.errors"
local master_key = require "tide.secret.master_key"
local row_of = require "tide.secret.row"
local secrets = require "tide.secrets"

local M = {}

local ROWS = 20

-- In the order of the primary key, which a new writing of a row does not change.
local FIND = "SELECT " .. row_of.COLUMNS .. " FROM secrets WHERE key_id <> $1 "
  .. "AND (integration_name > $2 OR integration_name = $2 AND name > $3) ORDER BY integration_name, name LIMIT $4"


-- The statements that seal rows under the first key; those that cannot be opened stay as they are.
local function statements_of(keys, rows, by)
  local statements = {}
  for _, row in ipairs(rows) do
    local held = row_of.open(keys, row)
    statements[#statements + 1] = held
      and row_of.put_statement(keys, row.integration_name, row.name, held, row.updated_at)
  end
  local count = #statements
  if count > 0 then
    statements[count + 1] = audit.statement("secret.rekey", keys.id, nil, { secrets = count }, by)
  end
  return statements, count
end


local function unavailable(message)
  return nil, errors.new("unavailable", "the store does not take or give secrets now: " .. tostring(message))
end


-- Seals the rows after the one at `place`, which moves on. How many there were and how many were sealed; nil
-- and an error. Nobody else changes secrets meanwhile: what was read is what is written.
local function seal_some(keys, place, by)
  local guard <close>, busy = secrets.enter()
  if not guard then
    return nil, busy
  end
  local rows, message = store.query(FIND, keys.id, place.integration, place.name, ROWS)
  if not rows then
    return unavailable(message)
  end
  local statements, count = statements_of(keys, rows, by)
  local done = true
  if count > 0 then
    done, message = store.transaction(statements)
  end
  if not done then
    return unavailable(message)
  end
  if rows[1] then
    place.integration, place.name = rows[#rows].integration_name, rows[#rows].name
  end
  return #rows, count
end


local function seal_all(keys, by)
  local result = { key_id = keys.id, resealed = 0, left = 0 }
  local place = { integration = "", name = "" }
  repeat
    local found, sealed = seal_some(keys, place, by)
    if not found then
      return nil, sealed
    end
    result.resealed = result.resealed + sealed
    result.left = result.left + found - sealed
  until found == 0
  return result
end


--- Seals what is stored under other master keys of the environment under the first. { key_id, resealed,
--- left }, the last being those that none of the keys opens; nil and an error.
---@param by { actor: string, trace_id?: string }
---@param getenv? fun(name: string): string|nil
function M.renew(by, getenv)
  local keys, fault = master_key.load(getenv)
  if not keys then
    return nil, errors.new("not_configured", fault or ("there is no master key: set %s or %s"):format(
      master_key.VARIABLE, master_key.FILE_VARIABLE))
  end
  return seal_all(keys, by)
end


--- The same when the service starts or its keys have changed: without keys there is nothing to do, and what
--- happened is in the log.
function M.follow(getenv)
  if not master_key.load(getenv) then
    return
  end
  local result, err = M.renew({ actor = "service" }, getenv)
  if not result then
    log.warn("stored secrets stay under the master keys that they were stored under", { error = err.message })
  elseif result.resealed > 0 then
    log.info("stored secrets are under another master key now", { secrets = result.resealed, key_id = result.key_id })
  end
end


return M
