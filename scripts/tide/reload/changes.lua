-- What a reload has changed: for who asked, the log, and the tables audit_log and provider_versions.

local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local audit = require "tide.audit"

local M = {}

-- Versions of an integration that are remembered, besides those that were rolled back.
local VERSIONS_MAX = 50
local STORE_SECONDS = 0.3

local PUT_VERSION = "INSERT INTO provider_versions (integration_name, version, loaded_at) VALUES ($1, $2, $3) "
  .. "ON CONFLICT (integration_name, version) DO UPDATE SET loaded_at = excluded.loaded_at, "
  .. "is_rolled_back = FALSE, reason = NULL, substitute = NULL"
local FORGET_VERSIONS = "DELETE FROM provider_versions WHERE integration_name = $1 AND is_rolled_back = FALSE "
  .. "AND version NOT IN (SELECT version FROM provider_versions WHERE integration_name = $1 AND is_rolled_back = FALSE "
  .. "ORDER BY loaded_at DESC LIMIT " .. VERSIONS_MAX .. ")"


local function sorted(list)
  table.sort(list, function(left, right) return left.name < right.name end)
  return json.array(list)
end


local function code_of(integration)
  return integration and integration.code
end


--- { outcome, changed, added, removed, errors, config_changed } of two generations: each of the lists holds
--- { name, version, previous_version }. Outcome: "ok"; "partial" when something does not load as it is now.
---@return table
function M.between(before, after, config_changed)
  local changed, added, removed = {}, {}, {}
  for name, integration in pairs(after.integrations) do
    local old, new = code_of(before.integrations[name]), code_of(integration)
    if new and not old then
      added[#added + 1] = { name = name, version = new.version }
    elseif new and new.version ~= old.version then
      changed[#changed + 1] = { name = name, version = new.version, previous_version = old.version }
    end
  end
  for name, integration in pairs(before.integrations) do
    if code_of(integration) and not code_of(after.integrations[name]) then
      removed[#removed + 1] = { name = name, previous_version = integration.code.version }
    end
  end
  return { outcome = #after.errors == 0 and "ok" or "partial", changed = sorted(changed), added = sorted(added),
    removed = sorted(removed), errors = json.array(table.move(after.errors, 1, #after.errors, 1, {})),
    config_changed = config_changed }
end


local function names_of(list)
  local names = {}
  for index, entry in ipairs(list or {}) do
    names[index] = entry.name
  end
  return #names > 0 and names or nil
end


--- Says in the log what came of a reload.
function M.log(result, seconds)
  local fields = { generation = result.version, changed = names_of(result.changed), added = names_of(result.added),
    removed = names_of(result.removed), config_changed = result.config_changed or nil,
    duration_ms = math.floor(seconds * 1000 + 0.5) }
  if result.outcome == "failed" then
    log.error("a reload changed nothing; what ran before serves on", { error = table.concat(result.errors, "\n"),
      duration_ms = fields.duration_ms })
    return
  end
  log.info("reloaded", fields)
  for _, fault in ipairs(result.errors) do
    log.error("does not load as it is now; what was loaded before serves on", { error = fault })
  end
end


local function add_version(statements, entry, now)
  statements[#statements + 1] = { PUT_VERSION, entry.name, entry.version, now, n = 3 }
  statements[#statements + 1] = { FORGET_VERSIONS, entry.name, n = 1 }
end


local function versions(entry)
  return entry.previous_version and { version = entry.previous_version }, entry.version and { version = entry.version }
end


-- A store that is away must not keep the next reload waiting, which may be the one that goes back: the rows are
-- queued, and stored when it is there again.
local function commit(statements)
  for _, statement in ipairs(statements) do
    local queued, message = store.enqueue(table.unpack(statement, 1, statement.n + 1))
    if not queued then
      log.error("a reload could not be noted in the audit log", { error = message })
    end
  end
  local ended, done = task.timeout(STORE_SECONDS, store.flush)
  if not (ended and done) then
    log.warn("a reload is noted in the audit log as soon as the store is back")
  end
end


--- Notes a reload in the tables, by = { actor, trace_id }.
function M.record(result, by)
  local statements, now = {}, time.format()
  for action, list in pairs({ ["provider.reload"] = result.changed, ["provider.add"] = result.added,
    ["provider.remove"] = result.removed }) do
    for _, entry in ipairs(list) do
      local old, new = versions(entry)
      statements[#statements + 1] = audit.statement(action, entry.name, old, new,
        { actor = by.actor, trace_id = by.trace_id, integration = entry.name })
      if entry.version then
        add_version(statements, entry, now)
      end
    end
  end
  if result.config_changed then
    statements[#statements + 1] = audit.statement("config.reload", "config.lua", nil, nil, by)
  end
  if #statements > 0 then
    commit(statements)
  end
end


return M
