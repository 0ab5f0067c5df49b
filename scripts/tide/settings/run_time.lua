-- What is changed of integrations while the service runs: kept in the store with its history, and published
-- for all workers (live.lua takes it at the start of the next task).
--
-- One change at a time in this process; another process that shares the store makes a change fail on the
-- number of its version, and it is made again on what is there then.

local host = require "tide.host"
local json = require "tide.json"
local log = require "tide.log"
local redact = require "tide.redact"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local audit = require "tide.audit"
local call = require "tide.call"
local errors = require "tide.errors"
local generation_of = require "tide.generation"
local live = require "tide.live"
local patches = require "tide.settings.patch"
local row_of = require "tide.settings.row"
local settings_shown = require "tide.settings.shown"
local slots = require "tide.state.slots"

local M = {}

M.BYTES_MAX = 65536
M.ALL_BYTES_MAX = 4 * 1024 * 1024
--- Versions of an integration that can be gone back to.
M.VERSIONS_MAX = 1000

local ROWS = 50
local TRIES_MAX = 20
local LOCK = "tidegate:settings"
local LOCK_SECONDS = 15
local PUBLISH_TRIES = 10
local PUBLISH_PAUSE_SECONDS = 0.5

local SEQUENCE = "SELECT max(sequence) AS sequence FROM config_history"
local FIND_ALL = "SELECT c.integration_name, " .. row_of.COLUMNS .. " FROM integration_configs AS c "
  .. "WHERE c.integration_name > $1 ORDER BY c.integration_name LIMIT $2"
local FIND = "SELECT h.version, " .. row_of.COLUMNS .. " FROM (SELECT max(version) AS version FROM config_history "
  .. "WHERE integration_name = $1) AS h LEFT JOIN integration_configs AS c ON c.integration_name = $2"
local NOTE = "INSERT INTO config_history (integration_name, version, created_at, actor, trace_id, patch, settings) "
  .. "VALUES ($1, $2, $3, $4, $5, $6, $7)"
local FORGET = "DELETE FROM config_history WHERE integration_name = $1 AND version <= $2"
local HISTORY = "SELECT version, created_at, actor, trace_id, patch, settings FROM config_history "
  .. "WHERE integration_name = $1 AND version < $2 ORDER BY version DESC LIMIT $3"
local VERSION = "SELECT settings FROM config_history WHERE integration_name = $1 AND version = $2"


local function unavailable(message)
  return errors.new("unavailable", "the store does not take or give run-time settings now: " .. tostring(message))
end


-- Publishing --------------------------------------------------------------------------------------


-- All that is set, by integration, and what cannot be read of it; nil and a message.
local function read_all()
  local all, faults, after = {}, {}, ""
  while true do
    local rows, message = store.query(FIND_ALL, after, ROWS)
    if not rows then
      return nil, message
    end
    for _, row in ipairs(rows) do
      local overrides, unread = row_of.read(row)
      all[row.integration_name] = next(overrides) and overrides or nil
      for _, fault in ipairs(unread) do
        faults[#faults + 1] = ("run-time settings of %s: %s"):format(row.integration_name, fault)
      end
    end
    if #rows < ROWS then
      return all, faults
    end
    after = rows[#rows].integration_name
  end
end


-- Publishes what the store holds. The sequence is read first: the settings are at least as new, and of two
-- who publish the newer wins. What cannot be read; nil and a message.
local function publish()
  local rows, message = store.query(SEQUENCE)
  if not rows then
    return nil, message
  end
  local ok, all, faults = task.guard(read_all)
  if not ok or not all then
    return nil, ok and faults or tostring(all)
  end
  -- Settings that were there before any change have a version, too.
  host.publish(live.SETTINGS, assert(json.encode(all)), (rows[1].sequence or 0) + 1)
  return faults
end


-- The same after a change, which is committed: a store that is away for a moment does not keep it from
-- taking effect.
local function publish_change()
  local faults, message
  for try = 1, PUBLISH_TRIES do
    faults, message = publish()
    if faults then
      return true
    end
    log.warn("run-time settings could not be published", { error = message, try = try })
    task.sleep(PUBLISH_PAUSE_SECONDS)
  end
  return nil, errors.new("unavailable", "the change is stored, but could not be read again: it takes effect with the "
    .. "next change, or at the next start")
end


--- Publishes what is stored, at the start, before the workers read it. What of it cannot be read, one
--- sentence each; nil and a message when the store cannot be. What is not valid any more is left out, and
--- said, by the generation.
---@return string[]|nil faults, string? message
function M.load()
  return publish()
end


-- Reading -----------------------------------------------------------------------------------------


-- { overrides, version } of an integration as it is stored; nil and an error.
local function read(name)
  local rows, message = store.query(FIND, name, name)
  if not rows then
    return nil, unavailable(message)
  end
  local overrides, faults = row_of.read(rows[1])
  return { overrides = overrides, version = rows[1].version or 0, faults = faults }
end


--- An integration as it would be with `overrides`; nil and the faults. Nothing of it is in force.
---@param generation table
---@param name string
---@param overrides table<string, any>
---@return table|nil integration, string[]? faults
local function preview(generation, name, overrides)
  local all = {}
  for other, set in pairs(generation.overrides) do
    all[other] = set
  end
  all[name] = next(overrides) and overrides or nil
  local ok, built, faults = task.guard(function()
    local built, faults = generation_of.with_overrides(generation, all, generation.settings_version)
    return built and call.bind(built), faults
  end)
  if not ok then
    return nil, { tostring(built) }
  end
  return built and built.integrations[name], faults
end


-- What is shown of a state: { values, sources, version }.
local function shown(generation, name, state)
  local integration, faults = preview(generation, name, state.overrides)
  if not integration then
    return nil, errors.new("internal", table.concat(faults, "\n"))
  end
  return {
    values = settings_shown.values(integration),
    sources = integration.settings_sources,
    version = state.version,
  }
end


--- The effective values of an integration and where each comes from: { values, sources, version }, without
--- what redaction takes out. nil and an error.
---@param generation table
---@param name string
function M.get(generation, name)
  local state, err = read(name)
  if not state then
    return nil, err
  end
  return shown(generation, name, state)
end


-- Changing ----------------------------------------------------------------------------------------


local function invalid(faults)
  local list = {}
  for index, fault in ipairs(faults) do
    list[index] = type(fault) == "table" and fault or { pointer = "#", detail = fault }
  end
  local first = list[1]
  return errors.new("invalid_input", #list == 1 and first.detail
    or ("%d members are wrong; the first: %s: %s"):format(#list, first.pointer, first.detail), { errors = list })
end


local function refuse_role(patch, by)
  local names = not by.is_admin and patches.admin_keys(patch) or {}
  if #names > 0 then
    return errors.new("forbidden", "the role admin is needed to change " .. table.concat(names, ", "))
  end
end


local function refuse_size(overrides)
  local size = #assert(json.encode(overrides))
  if size > M.BYTES_MAX then
    return errors.new("payload_too_large",
      ("all that is set at run time for an integration is at most %d bytes of JSON, not %d"):format(M.BYTES_MAX, size))
  end
  local present = host.published(live.SETTINGS) or ""
  if #present + size > M.ALL_BYTES_MAX then
    return errors.new("payload_too_large",
      ("all that is set at run time, for all integrations, is at most %d bytes of JSON"):format(M.ALL_BYTES_MAX))
  end
end


local function refuse_state(state, by)
  if by.versions and not by.versions[state.version] then
    return errors.new("precondition_failed", ("the settings are at version %d now"):format(state.version))
  end
  if #state.faults > 0 then
    return errors.new("conflict", table.concat(state.faults, "; ") .. ": correct it, or delete the row")
  end
end


-- The statements that bring `state` to `overrides`. The first fails when another has made the same version.
local function statements(integration, state, overrides, by, fields)
  local now, version = time.format(), state.version + 1
  local patch = patches.between(state.overrides, overrides)
  return {
    { NOTE, integration.name, version, now, by.actor, by.trace_id, assert(json.encode(patch)),
      assert(json.encode(overrides)), n = 7 },
    row_of.statement(integration, overrides, now),
    { FORGET, integration.name, version - M.VERSIONS_MAX },
    audit.statement(by.action, integration.name, redact.value(patches.between(overrides, state.overrides), fields),
      redact.value(patch, fields), { actor = by.actor, trace_id = by.trace_id, integration = integration.name }),
  }
end


local function names_of(patch)
  local names = json.array()
  for name in pairs(patch) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end


-- True; false when another was faster; nil and an error.
local function commit(integration, state, overrides, by, fields)
  local done, message, code = store.transaction(statements(integration, state, overrides, by, fields))
  if done then
    return true
  end
  if code == "constraint" then
    return false
  end
  if code == "timeout" then
    -- It may have been stored or not: what is stored counts.
    store.flush()
    publish()
  end
  return nil, unavailable(message)
end


-- Brings the present state to what `plan` makes of it: the next state, or the same when nothing changes.
-- false when another was faster; nil and an error.
local function try(generation, integration, plan, by)
  local state, err = read(integration.name)
  err = err or refuse_state(state, by)
  local overrides
  if not err then
    overrides, err = plan(state)
  end
  if not overrides then
    return nil, err
  end
  if patches.same(state.overrides, overrides) then
    return state
  end
  err = refuse_size(overrides)
  local next_one, faults = preview(generation, integration.name, overrides)
  if err or not next_one then
    return nil, err or invalid(faults)
  end
  local done
  done, err = commit(integration, state, overrides, by, next_one.values.redact_fields)
  if not done then
    return done, err
  end
  log.info("run-time settings changed", { integration = integration.name, version = state.version + 1,
    keys = names_of(patches.between(state.overrides, overrides)), actor = by.actor, trace_id = by.trace_id })
  return { overrides = overrides, version = state.version + 1 }
end


local function change_locked(generation, integration, plan, by)
  local cell = slots.of(LOCK)
  cell:configure(1)
  local guard <close>, retry_after = cell:enter(LOCK_SECONDS)
  if guard == nil then
    return nil, errors.new("overloaded", "too many settings are being changed", { retry_after = retry_after })
  end
  for _ = 1, TRIES_MAX do
    local state, err = try(generation, integration, plan, by)
    if state then
      local published
      published, err = publish_change()
      return published and state, err
    elseif state == nil then
      return nil, err
    end
  end
  return nil, errors.new("conflict", "others are changing the same settings: try again", { retry_after = 1 })
end


-- In a task of its own: what is committed is published, even if nobody waits for it any more.
local function run(generation, integration, plan, by, action)
  by = { actor = by.actor, trace_id = by.trace_id, versions = by.versions, action = action }
  local ok, state, err = task.detach(change_locked, generation, integration, plan, by):join()
  if not ok then
    error(state, 0)
  end
  if not state then
    return nil, err
  end
  return shown(generation, integration.name, state)
end


--- Changes what is set at run time by a JSON Merge Patch: null takes away. Returns, as `get` does, when it is
--- committed and published; nil and an error, with all that is wrong. What changes nothing writes nothing.
---@param generation table
---@param integration table one of the generation's
---@param patch table
---@param by { actor: string, trace_id?: string, is_admin: boolean, versions?: table<integer, true> }
--- `versions`: which the present one has to be among
function M.change(generation, integration, patch, by)
  local err = refuse_role(patch, by)
  if err then
    return nil, err
  end
  local checked, faults = patches.check(patch, generation.overrides[integration.name])
  if not checked then
    return nil, invalid(faults)
  end
  return run(generation, integration, function(state)
    return patches.apply(state.overrides, checked)
  end, by, "config.change")
end


-- What was set in a version, 0 being the time before the first; nil and an error.
local function overrides_of(name, version)
  if version == 0 then
    return {}
  end
  local rows, message = store.query(VERSION, name, version)
  if not rows then
    return nil, unavailable(message)
  end
  if not rows[1] then
    return nil, errors.new("not_found", ("%s has no version %d of its settings, or not any more"):format(name, version))
  end
  local overrides, fault = json.decode(rows[1].settings)
  if not overrides then
    return nil, errors.new("conflict", ("version %d of the settings of %s cannot be read: %s"):format(version, name,
      fault))
  end
  return overrides
end


--- Sets again what was set in a version, 0 for nothing: that makes a new version.
---@param version integer
function M.rollback(generation, integration, version, by)
  return run(generation, integration, function(state)
    local overrides, err = overrides_of(integration.name, version)
    if not overrides then
      return nil, err
    end
    local patch = patches.between(state.overrides, overrides)
    err = refuse_role(patch, by)
    local checked, faults = patches.check(patch, state.overrides)
    if err or not checked then
      return nil, err or invalid(faults)
    end
    return overrides
  end, by, "config.rollback")
end


-- History -----------------------------------------------------------------------------------------


--- The changes of an integration, newest first: { version, created_at, actor, trace_id, patch, settings } each,
--- without what redaction takes out. nil, a message and a code when the store does not answer.
---@param integration table
---@param limit integer
---@param before? integer a version
function M.history(integration, limit, before)
  local rows, message, code = store.query(HISTORY, integration.name, before or math.maxinteger, limit)
  if not rows then
    return nil, message, code
  end
  local fields = integration.values.redact_fields
  for _, row in ipairs(rows) do
    row.patch = redact.value(json.decode(row.patch), fields)
    row.settings = redact.value(json.decode(row.settings), fields)
    row.trace_id = row.trace_id or json.null
  end
  return rows
end


return M
