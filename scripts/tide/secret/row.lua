-- One stored secret as a row of the table `secrets`: how its values are sealed, and opened again.

local store = require "tide.store"
local time = require "tide.time"
local master_key = require "tide.secret.master_key"
local secrets = require "tide.secrets"

local M = {}

M.COLUMNS = "integration_name, name, updated_at, key_id, value_encrypted, previous_encrypted, previous_expires_at"

local PUT = "INSERT INTO secrets (integration_name, name, created_at, updated_at, key_id, value_encrypted, "
  .. "previous_encrypted, previous_expires_at) VALUES ($1, $2, $3, $3, $4, $5, $6, $7) "
  .. "ON CONFLICT (integration_name, name) DO UPDATE SET updated_at = excluded.updated_at, "
  .. "key_id = excluded.key_id, value_encrypted = excluded.value_encrypted, "
  .. "previous_encrypted = excluded.previous_encrypted, previous_expires_at = excluded.previous_expires_at"


-- What a value is sealed for: at another place it cannot be opened.
local function purpose(integration, name)
  return integration .. "/" .. name
end


local function previous_purpose(integration, name)
  return purpose(integration, secrets.previous_name(name))
end


-- The previous value and when it expires; nil when it has, or cannot be opened.
local function open_previous(keys, row)
  local expires_at = row.previous_expires_at and time.parse(row.previous_expires_at)
  if not (row.previous_encrypted and expires_at and expires_at > time.now()) then
    return nil
  end
  local previous = keys:open(row.key_id, row.previous_encrypted, previous_purpose(row.integration_name, row.name))
  return previous, previous and expires_at
end


--- What a row holds: { value, previous, expires_at }; nil and why it cannot be opened, as the end of a
--- sentence about the secret.
---@param keys table|false|nil what master_key.load gave
---@param row table
function M.open(keys, row)
  if not keys then
    return nil, ("is stored, but %s is %s"):format(master_key.VARIABLE, keys == nil and "wrong" or "not set")
  end
  if not keys:has(row.key_id) then
    return nil, ("is stored under the master key %s, which is not in %s"):format(row.key_id, master_key.VARIABLE)
  end
  local value = keys:open(row.key_id, row.value_encrypted, purpose(row.integration_name, row.name))
  if not value then
    return nil, "is stored, but its row was damaged or is that of another secret"
  end
  local held = { value = value }
  held.previous, held.expires_at = open_previous(keys, row)
  return held
end


--- The statement that writes what is held, sealed under the first key.
function M.put_statement(keys, integration, name, held, now)
  local value = keys:seal(held.value, purpose(integration, name))
  local previous = held.previous and store.blob(keys:seal(held.previous, previous_purpose(integration, name)))
  return { PUT, integration, name, now, keys.id, store.blob(value), previous,
    held.previous and time.format(held.expires_at), n = 7 }
end


return M
