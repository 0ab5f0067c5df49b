-- Versions that fail by their own fault as soon as they are new, in the main worker: which integration goes back
-- to which version, and stays there until its file is another. A trial (state/trial) counts the calls of a
-- version that a reload has put in force.

local alerts = require "tide.alerts"
local crypto = require "tide.crypto"
local message = require "tide.message"
local substitute = require "tide.substitute"
local trial = require "tide.state.trial"
local rows = require "tide.rollback_rows"

local M = {}

local CALLS, ERRORS = 20, 5
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
    earlier = {},                                   -- by integration, what a version on trial would go back to
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


--- `built`, of `sources`, is in force.
function Rollback:settle(built, sources)
  for name, record in pairs(self.records) do
    if is_over(record, built.integrations[name]) then
      self.records[name] = nil
      rows.forget(name, record.version)
      rows.resolve(KIND, name)
    end
  end
  for name, integration in pairs(built.integrations) do
    local code = integration.code
    if code and not self.sources[code] then
      self.sources[code] = integration.is_substitute and substitute.unpack(self.records[name].bytes)
        or substitute.of(code, sources)
    end
  end
  for name in pairs(self.earlier) do
    self.earlier[name] = built.integrations[name] and self.earlier[name]
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
  trial.begin(name, integration.version, CALLS, ERRORS)
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


-- The trial of the version in force, when that fails.
local function failing(integration)
  if not (integration.code and integration.values.reload_rollback) then
    return nil
  end
  local state = trial.read(integration.name)
  local has_failed = state and not state.is_on and state.errors >= ERRORS and state.version == integration.version
  return has_failed and state or nil
end


local function raise(self, integration, words, details)
  self.is_alerted[integration.name] = true
  alerts.raise(KIND, "critical", integration.name, words, details)
end


-- Whether there is something to go back to.
function Rollback:give_up(integration, state)
  local name, earlier = integration.name, self.earlier[integration.name]
  local failed = ("%d of its first %d calls failed by its own fault"):format(state.errors, state.calls)
  trial.stop(name)
  if not (earlier and earlier.bytes) or earlier.version == integration.version then
    raise(self, integration, ("%s: version %s stays, though %s: no earlier version is kept (a reload keeps one of "
      .. "up to 4 MB, its scripts included)"):format(name, integration.version, failed),
      { version = integration.version, calls = state.calls, errors = state.errors })
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
  for _, integration in pairs(present.integrations) do
    local state = failing(integration)
    if state and self:give_up(integration, state) then
      is_any = true
    end
  end
  return is_any
end


return M
