-- Versions that fail by their own fault as soon as they are new, in the main worker: which integration goes back
-- to which version, and stays there until its file is another. A trial (state/trial) counts the calls of a
-- version that a reload has put in force.

local alerts = require "tide.alerts"
local crypto = require "tide.crypto"
local message = require "tide.message"
local substitute = require "tide.reload.substitute"
local trial = require "tide.state.trial"
local rows = require "tide.reload.rollback_rows"
local watch = require "tide.policy.trial"

local M = {}

local KIND = "reload_rollback"

local Rollback = {}
Rollback.__index = Rollback


--- What was rolled back, as the store knows it; nil and a message.
function M.load()
  local records, fault = rows.load()
  if not records then
    return nil, fault
  end
  return setmetatable({
    records = records,                              -- by integration, what was rolled back
    tried = {},                                     -- by integration, the version whose first calls are watched
    earlier = {},                                   -- by integration, what that one would go back to
    sources = setmetatable({}, { __mode = "k" }),   -- of each code that is in force
    is_alerted = {},
  }, Rollback)
end


-- Substitutes -------------------------------------------------------------------------------------


--- For the terms of a generation, by integration: { version (that was rolled back), dependencies (of it), fault,
--- bytes (substitute.pack, in base64) }. Every worker sees for itself whether the file is still that version.
function Rollback:substitutes()
  local list = {}
  for name, record in pairs(self.records) do
    list[name] = { version = record.version, dependencies = record.dependencies, fault = record.fault,
      bytes = crypto.base64(record.bytes) }
  end
  return list
end


-- Whether a file that is none of those rolled back has been loaded.
local function is_over(record, integration)
  return integration ~= nil and integration.code ~= nil and integration.error == nil
    and integration.version ~= record.version
end


-- The trial is over: the version before serves, or does not load either. Then the next reload tries it again.
function Rollback:settle_record(name, record, integration)
  if is_over(record, integration) then
    self.records[name] = nil
    rows.forget(name, record.version)
    rows.resolve(KIND, name)
  elseif self.tried[name] == record.version then
    self.tried[name] = nil
    trial.stop(name)
  end
end


function Rollback:source_of(integration, sources)
  if integration.is_substitute then
    return substitute.unpack(self.records[integration.name].bytes)
  end
  return substitute.of(integration.code, sources)
end


--- `built`, of `sources`, is in force.
function Rollback:settle(built, sources)
  for name, record in pairs(self.records) do
    self:settle_record(name, record, built.integrations[name])
  end
  for _, integration in pairs(built.integrations) do
    local code = integration.code
    if code and not self.sources[code] then
      self.sources[code] = self:source_of(integration, sources)
    end
  end
  for name in pairs(self.tried) do
    if not built.integrations[name] then
      self.tried[name], self.earlier[name] = nil, nil
      trial.stop(name)
    end
  end
end


-- Trials ------------------------------------------------------------------------------------------


-- A version that has failed already, if not often enough, is none to go back to.
local function is_doubtful(integration)
  local state = trial.read(integration.name)
  return state ~= nil and state.is_on and state.version == integration.version and state.errors > 0
end


local function pack_source(self, code)
  local source = self.sources[code]
  return source and { version = code.version, bytes = substitute.pack(source) }
end


-- Begins the trial of `integration`, in place of `before`.
function Rollback:try(integration, before)
  local name = integration.name
  if not (before and before.code and is_doubtful(before)) then
    self.earlier[name] = before and before.code and pack_source(self, before.code)
  end
  if self.is_alerted[name] then
    self.is_alerted[name] = nil
    rows.resolve(KIND, name)
  end
  self.tried[name] = integration.version
  trial.begin(name, integration.version, watch.CALLS, watch.ERRORS)
end


--- `candidate` is about to be in force after `present`: puts its new versions on trial.
function Rollback:begin(candidate, present)
  for name, integration in pairs(candidate.integrations) do
    local before = present.integrations[name]
    local is_new = integration.code and integration.version ~= (before and before.version)
    if is_new and not integration.is_substitute then
      if integration.values.reload_rollback then
        self:try(integration, before)
      else
        self.earlier[name] = nil
      end
    end
  end
end


-- Going back --------------------------------------------------------------------------------------


-- The version stays. Said once: its trial is over.
function Rollback:stay(integration, state, failed)
  local name, version = integration.name, integration.version
  trial.stop(name)
  self.tried[name], self.is_alerted[name] = nil, true
  alerts.raise(KIND, "critical", name, ("%s: version %s stays, though %s: no earlier version is kept (a reload keeps "
    .. "one of up to 4 MB, its scripts included)"):format(name, version, failed),
    { version = version, calls = state.calls, errors = state.errors })
end


-- Whether there is something to go back to, also when that was found before and could not be carried out.
function Rollback:give_up(integration, state)
  local name, earlier = integration.name, self.earlier[integration.name]
  local failed = ("%d of its first %d calls failed by its own fault"):format(state.errors, state.calls)
  if self.records[name] and self.records[name].version == integration.version then
    return true
  end
  if not (earlier and earlier.bytes) or earlier.version == integration.version then
    self:stay(integration, state, failed)
    return false
  end
  local record = {
    version = integration.version, earlier = earlier.version, bytes = earlier.bytes,
    dependencies = integration.dependencies, calls = state.calls, errors = state.errors,
    fault = message.clean(("%s: version %s was rolled back to %s: %s; save another version to go on"):format(
      integration.path, integration.version, earlier.version, failed)),
  }
  self.records[name] = record
  rows.put(KIND, name, record)
  return true
end


--- Finds the versions of `present` that fail. Whether any is to be replaced by what was before: by the next
--- generation that is built with `substitutes`.
---@return boolean
function Rollback:go_back(present)
  local is_any = false
  for name, version in pairs(self.tried) do
    local integration = present.integrations[name]
    local state = watch.failed(name, version)
    if state and integration and integration.version == version and self:give_up(integration, state) then
      is_any = true
    end
  end
  return is_any
end


return M
