-- Secrets that are kept in the store, encrypted: loaded at the start, put, rotated and taken away while the
-- service runs. What is committed here takes effect in the table of secrets of all workers. A stored value
-- beats that of the environment.
--
-- One change at a time over all workers (secrets.enter): the rows and the table agree.

local json = require "tide.json"
local log = require "tide.log"
local state = require "tide.state.secrets"
local store = require "tide.store"
local time = require "tide.time"
local audit = require "tide.audit"
local errors = require "tide.errors"
local faults = require "tide.secret.faults"
local master_key = require "tide.secret.master_key"
local row_of = require "tide.secret.row"
local secrets = require "tide.secrets"
local suggest = require "tide.suggest"

local M = {}

M.VALUE_BYTES_MAX = 65536
M.KEEP_SECONDS_MAX = 31536000

-- Left to tokens that the host fetches, which nobody could refuse as clearly.
local BYTES_SPARE = 32768

local FIND_ALL = "SELECT " .. row_of.COLUMNS .. " FROM secrets WHERE integration_name = $1 ORDER BY name"
local FIND = "SELECT " .. row_of.COLUMNS .. " FROM secrets WHERE integration_name = $1 AND name = $2"
local DELETE = "DELETE FROM secrets WHERE integration_name = $1 AND name = $2"


local function unavailable(message)
  return errors.new("unavailable", "the store does not take or give secrets now: " .. tostring(message))
end


-- Reading -----------------------------------------------------------------------------------------


-- Puts what a row holds into effect; nil and why the process cannot.
local function apply(integration, name, held)
  local ok, message = pcall(secrets.hold, integration, name, held)
  local fault = not ok and "is stored, but cannot be held: " .. tostring(message):gsub("^[^ ]*:%d+: ", "") or nil
  faults.set(secrets.owner(integration), name, fault)
  return ok or nil, fault
end


-- One row at the start. What cannot be opened is no reason to fall back to the environment, which may hold
-- what was replaced long ago: the secret is missing.
local function load_row(keys, integration, row)
  if not integration.declared_secrets[row.name] then
    return nil
  end
  local held, fault = row_of.open(keys, row)
  if held then
    held, fault = apply(integration, row.name, held)
  else
    faults.set(secrets.owner(integration), row.name, fault)
  end
  return not held and ("the secret %s of %s %s"):format(row.name, integration.name, fault) or nil
end


local function load_integration(keys, integration, found)
  if next(integration.declared_secrets) == nil then
    return true
  end
  local rows, message = store.query(FIND_ALL, integration.name)
  if not rows then
    return nil, ("the stored secrets of %s could not be read: %s"):format(integration.name, message)
  end
  for _, row in ipairs(rows) do
    found[#found + 1] = load_row(keys, integration, row)
  end
  return true
end


-- The keys as they are now, and what is wrong with them.
local function load_keys(getenv)
  local _, unread = master_key.read_file(getenv)
  local keys, fault = master_key.load(getenv)
  fault = unread or fault
  faults.set(faults.SERVICE, master_key.VARIABLE, fault)
  return keys, fault
end


--- The secrets of a generation: those of the store, then those of the environment. Returns what is wrong
--- with them, one sentence each; nil and a message when the store cannot be read: what the environment
--- says may have been replaced long ago. The store is open; on the main worker, before others change secrets.
---@param generation table
---@param getenv? fun(name: string): string|nil
---@return string[]|nil faults, string? message
function M.load(generation, getenv)
  local keys, fault = load_keys(getenv)
  local found = { fault }
  for _, integration in pairs(generation.integrations) do
    local loaded, message = load_integration(keys, integration, found)
    if not loaded then
      return nil, message
    end
  end
  local unread = secrets.load(generation, getenv)
  return table.move(unread, 1, #unread, #found + 1, found)
end


--- The same while the service runs, on the main worker: for integrations that are about to be in force, and
--- for master keys that have changed. What cannot be opened or read now leaves the values that are in force.
---@param generation table
---@param getenv? fun(name: string): string|nil
---@return string[]|nil faults, string? message
function M.reload(generation, getenv)
  local guard <close>, busy = secrets.enter()
  if not guard then
    return nil, busy.message
  end
  return M.load(generation, getenv)
end


--- Forgets what is wrong with secrets that `generation`, which is in force, does not declare.
---@param generation table
function M.adopt(generation)
  local guard <close> = secrets.enter()
  if guard then
    faults.keep(generation)
  end
end


-- Showing -----------------------------------------------------------------------------------------


local function entry_of(integration, name, updated_at)
  local source, previous_expires_at = secrets.describe(integration, name)
  return {
    name = name, source = source or "missing", updated_at = updated_at,
    previous_expires_at = previous_expires_at and time.format(previous_expires_at),
  }
end


--- An entry as it is shown outside.
function M.shown(entry)
  return {
    name = entry.name, source = entry.source,
    updated_at = entry.updated_at or json.null,
    previous_expires_at = entry.previous_expires_at or json.null,
  }
end


--- The declared secrets: { name, source, updated_at, previous_expires_at } each, never a value.
function M.list(integration)
  local rows, message = store.query(FIND_ALL, integration.name)
  if not rows then
    return nil, unavailable(message)
  end
  local updated_at, names = {}, {}
  for _, row in ipairs(rows) do
    updated_at[row.name] = row.updated_at
  end
  for name in pairs(integration.declared_secrets) do
    names[#names + 1] = name
  end
  table.sort(names)
  for index, name in ipairs(names) do
    names[index] = entry_of(integration, name, updated_at[name])
  end
  return names
end


-- Checking ----------------------------------------------------------------------------------------


local function check_declared(integration, name)
  if not integration.declared_secrets[name] then
    return errors.new("not_found", ("%s declares no secret %q%s"):format(integration.name, name,
      suggest.hint(name, integration.declared_secrets)))
  end
end


-- Nothing of a value is in the error, not even its length.
local function check(integration, name, value, keep_seconds)
  if type(value) ~= "string" or value == "" or #value > M.VALUE_BYTES_MAX then
    return errors.new("invalid_input", ("value must be a text of 1 to %d bytes"):format(M.VALUE_BYTES_MAX),
      { pointer = "#/value" })
  end
  if keep_seconds ~= nil
    and (math.type(keep_seconds) ~= "integer" or keep_seconds < 0 or keep_seconds > M.KEEP_SECONDS_MAX) then
    return errors.new("invalid_input",
      ("keep_previous_seconds must be a whole number from 0 to %d"):format(M.KEEP_SECONDS_MAX),
      { pointer = "#/keep_previous_seconds" })
  end
  return check_declared(integration, name)
end


-- Changing ----------------------------------------------------------------------------------------


-- What will be held after a put. The same value again is no rotation: its previous one stays, at most as
-- long as is asked for now.
local function plan(integration, name, value, keep_seconds)
  local current, previous, expires_at = secrets.pair(integration, name)
  local ends = keep_seconds and time.now() + keep_seconds
  if current == value then
    expires_at = expires_at and math.min(expires_at, ends or expires_at)
  else
    previous, expires_at = current, ends
  end
  if not (previous and expires_at and expires_at > time.now()) then
    previous, expires_at = nil, nil
  end
  return { value = value, previous = previous, expires_at = expires_at }
end


-- An error when the process could not hold it.
local function refuse_excess(integration, name, held)
  local usage = state.usage()
  local current, previous = secrets.pair(integration, name)
  local growth = #held.value + #(held.previous or "") - #(current or "") - #(previous or "")
  if usage.bytes + growth > usage.bytes_max - BYTES_SPARE or usage.count + 2 > usage.count_max then
    return errors.new("payload_too_large", ("the secrets of the process would be more than it can hold: %d bytes in %d "
      .. "secrets are taken, of %d and %d; keep smaller values, or no previous ones"):format(usage.bytes, usage.count,
      usage.bytes_max - BYTES_SPARE, usage.count_max), { pointer = "#/value" })
  end
end


-- The store did not say in time whether it has taken a change: what is stored counts.
local function settle(keys, integration, name)
  store.flush()
  local rows, message = store.query(FIND, integration.name, name)
  if not rows then
    log.error("whether a secret was changed is not known: set it again", { integration = integration.name,
      secret = name, error = message })
  elseif rows[1] then
    load_row(keys, integration, rows[1])
  else
    secrets.release(integration, name)
  end
end


local function commit(keys, integration, name, statements)
  local done, message, code = store.transaction(statements)
  if done then
    return true
  end
  if code == "timeout" then
    settle(keys, integration, name)
  end
  return nil, unavailable(message)
end


local function keys_for(getenv)
  local keys, fault = master_key.load(getenv)
  if keys then
    return keys
  end
  return nil, errors.new("not_configured", fault
    or ("secrets can be stored only under a master key: set %s or %s"):format(master_key.VARIABLE,
      master_key.FILE_VARIABLE))
end


local function note(integration, by)
  return { actor = by.actor, trace_id = by.trace_id, integration = integration.name }
end


local function put_locked(keys, integration, name, value, keep_seconds, by)
  local held = plan(integration, name, value, keep_seconds)
  local err = refuse_excess(integration, name, held)
  if err then
    return nil, err
  end
  local now = time.format()
  local before = entry_of(integration, name)
  local after = { source = "stored", previous_expires_at = held.expires_at and time.format(held.expires_at) }
  local done
  done, err = commit(keys, integration, name, {
    row_of.put_statement(keys, integration.name, name, held, now),
    audit.statement("secret.put", name, { source = before.source, previous_expires_at = before.previous_expires_at },
      after, note(integration, by)),
  })
  if not done then
    return nil, err
  end
  local applied, fault = apply(integration, name, held)
  if not applied then
    return nil, errors.new("unavailable", ("the secret %s of %s %s"):format(name, integration.name, fault))
  end
  return entry_of(integration, name, now)
end


--- Stores a value of a declared secret: committed, then in effect on every worker. With
--- `keep_seconds` the value of before stays good for so long. Its entry, as in `list`; nil and an error.
---@param integration table
---@param name string
---@param value string 1 to 65,536 bytes
---@param keep_seconds? integer at most a year; nil counts as 0, but leaves the previous value of the same one alone
---@param by { actor: string, trace_id?: string }
---@param getenv? fun(name: string): string|nil
function M.put(integration, name, value, keep_seconds, by, getenv)
  local err = check(integration, name, value, keep_seconds)
  if err then
    return nil, err
  end
  local keys
  keys, err = keys_for(getenv)
  if not keys then
    return nil, err
  end
  local guard <close>, busy = secrets.enter()
  if not guard then
    return nil, busy
  end
  return put_locked(keys, integration, name, value, keep_seconds, by)
end


--- Takes a stored secret away, its previous value too; that of the environment takes its place where there
--- is one. Works without a master key.
function M.delete(integration, name, by, getenv)
  local err = check_declared(integration, name)
  if err then
    return nil, err
  end
  local guard <close>, busy = secrets.enter()
  if not guard then
    return nil, busy
  end
  local rows, message = store.query(FIND, integration.name, name)
  if not rows then
    return nil, unavailable(message)
  end
  if not rows[1] then
    return nil, errors.new("not_found", ("the secret %s of %s is not stored"):format(name, integration.name))
  end
  local before = entry_of(integration, name)
  local done
  done, err = commit(master_key.load(getenv), integration, name, {
    { DELETE, integration.name, name, n = 2 },
    audit.statement("secret.delete", name, { source = "stored", previous_expires_at = before.previous_expires_at }, nil,
      note(integration, by)),
  })
  if not done then
    return nil, err
  end
  faults.set(secrets.owner(integration), name, nil)
  local fault = secrets.release(integration, name, getenv)
  if fault then
    log.error("a secret could not be read", { error = fault })
  end
  return true
end


return M
