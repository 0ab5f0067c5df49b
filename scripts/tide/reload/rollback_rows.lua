-- What was rolled back, in the table provider_versions: of each integration at most one version.

local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local alerts = require "tide.alerts"
local audit = require "tide.audit"
local reload_request = require "tide.reload.request"
local substitute = require "tide.reload.substitute"

local M = {}

local STORE_SECONDS = 0.3

local LIST = "SELECT integration_name, version FROM provider_versions WHERE is_rolled_back = TRUE "
  .. "AND substitute IS NOT NULL ORDER BY loaded_at DESC LIMIT 1000"
local FIND = "SELECT reason, substitute FROM provider_versions WHERE integration_name = $1 AND version = $2"
local PUT = "INSERT INTO provider_versions (integration_name, version, loaded_at, is_rolled_back, reason, substitute) "
  .. "VALUES ($1, $2, $3, TRUE, $4, $5) ON CONFLICT (integration_name, version) DO UPDATE SET "
  .. "is_rolled_back = TRUE, reason = excluded.reason, substitute = excluded.substitute"
local FREE = "is_rolled_back = FALSE, reason = NULL, substitute = NULL WHERE integration_name = $1 "
local FORGET_OTHERS = "UPDATE provider_versions SET " .. FREE .. "AND version <> $2 AND is_rolled_back = TRUE"
local FORGET = "UPDATE provider_versions SET " .. FREE .. "AND version = $2"


local function decode(row)
  local head, at = ("<s4"):unpack(row.substitute)
  local dependencies = assert(json.decode(head))
  local bytes = row.substitute:sub(at)
  substitute.unpack(bytes)
  return { fault = row.reason, dependencies = dependencies, bytes = bytes }
end


-- One row at a time: together they may be more than a result may hold. One that makes no sense is as good as none.
local function load_one(name, version)
  local found, fault = store.query(FIND, name, version)
  if not found then
    return nil, fault
  end
  local ok, record = pcall(decode, found[1])
  if not ok then
    log.error("what serves in place of a version that was rolled back cannot be read; its file is loaded", {
      integration = name, version = version, error = tostring(record) })
    return false
  end
  record.version = version
  return record
end


--- By integration: { version, dependencies, fault, bytes } as reload/rollback.lua has them; nil and a message.
function M.load()
  local list, fault = store.query(LIST)
  if not list then
    return nil, fault
  end
  local records = {}
  for _, row in ipairs(list) do
    local record
    record, fault = load_one(row.integration_name, row.version)
    if record == nil then
      return nil, fault
    end
    records[row.integration_name] = records[row.integration_name] or record or nil
  end
  return records
end


local function names_of(dependencies)
  local names = json.array()
  for index, dependency in ipairs(dependencies) do
    names[index] = { name = dependency.name }
  end
  return names
end


-- What was before is to serve after a crash, too: its row is there before it serves. A store that is away keeps
-- nobody waiting: the rows are queued, and stored when it is back.
local function commit(statements)
  for _, statement in ipairs(statements) do
    local queued, fault = store.enqueue(table.unpack(statement, 1, statement.n + 1))
    if not queued then
      log.error("what was rolled back cannot be stored: at the next start its file is loaded", { error = fault })
    end
  end
  local ended, done = task.timeout(STORE_SECONDS, store.flush)
  if not (ended and done) then
    log.warn("what was rolled back is stored as soon as the store is back")
  end
end


--- Stores what was rolled back, with an alert of `kind` and a row of the audit log.
function M.put(kind, name, record)
  local bytes = ("<s4"):pack(json.encode(names_of(record.dependencies))) .. record.bytes
  local details = { version = record.version, earlier_version = record.earlier, calls = record.calls,
    errors = record.errors }
  local alert = { kind, "critical", name, record.fault, details }
  commit {
    { FORGET_OTHERS, name, record.version, n = 2 },
    { PUT, name, record.version, time.format(), record.fault, store.blob(bytes), n = 5 },
    audit.statement("provider.rollback", name, { version = record.version },
      { version = record.earlier, reason = record.fault },
      { actor = reload_request.ROLLBACK.actor, integration = name }),
    alerts.statement(table.unpack(alert)),
  }
  alerts.tell(table.unpack(alert))
end


--- A version may be loaded again. Does not wait.
function M.forget(name, version)
  store.enqueue(FORGET, name, version)
end


--- The alert's reason is gone. Does not wait.
function M.resolve(kind, name)
  local statement = alerts.resolve_statement(kind, name)
  store.enqueue(table.unpack(statement, 1, statement.n + 1))
end


return M
