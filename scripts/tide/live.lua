-- The generation of this worker as it is now. The main worker proposes another one to all (reload/rollout.lua); each
-- builds it beside the one that runs, answers, and takes it when all were able to: at the start of its next
-- task. Run-time settings come the same way, without asking.

local call = require "tide.call"
local host = require "tide.host"
local json = require "tide.json"
local log = require "tide.log"
local message = require "tide.message"
local task = require "tide.task"
local bundle = require "tide.bundle"
local generation = require "tide.generation"
local settings = require "tide.settings"
local slots = require "tide.state.slots"
local tokens = require "tide.tokens"

local M = {}

-- What is published. A proposal is a generation's sources; its version is that of the publication. One
-- without bytes is withdrawn.
M.PROPOSAL = "sources"
M.COMMITTED = "generation"
M.SETTINGS = "settings"
M.ANSWER = "sources.answer."

-- To wait for another task of this worker that takes what is new; then what was before will do.
local TAKE_SECONDS = 5
local TAKERS_MAX = 100000
local TERMS = { "built_at", "held_back", "tries_again", "substitutes" }
-- Nothing is lost by a later look: whatever is published ends the wait.
local LOOK_SECONDS = 60

local Live = {}
Live.__index = Live


-- Proposals ---------------------------------------------------------------------------------------


-- What of a generation's integrations did not load, by name: the faults of each. That a version was rolled back
-- is none.
function M.failures(built)
  local failed = {}
  for name, integration in pairs(built.integrations) do
    failed[name] = integration.error and not integration.is_substitute and message.clean_all(integration.error.faults)
      or nil
  end
  return failed
end


-- The terms for who builds the same as `built`: what did not load there is not tried, as it could load elsewhere
-- (a script may toss a coin), and then not all would serve the same.
function M.terms_of(built, terms)
  local result = {}
  for name, value in pairs(terms) do
    result[name] = value
  end
  result.held_back = M.failures(built)
  for name, faults in pairs(terms.held_back or {}) do
    result.held_back[name] = faults
  end
  return result
end


-- The bytes of a proposal: `sources` as they were read, and `terms`: built_at, held_back, tries_again,
-- substitutes.
function M.pack(sources, terms)
  return ("<s4"):pack(json.encode(terms)) .. bundle.pack(sources)
end


local function with_terms(sources, terms)
  for _, name in ipairs(TERMS) do
    sources[name] = terms[name]
  end
  return sources
end


local function unpack_proposal(bytes)
  local terms, at = ("<s4"):unpack(bytes)
  local sources = bundle.unpack(bytes:sub(at))
  return with_terms(sources, assert(json.decode(terms)))
end


-- Publishes what was read of a project as the first generation, or a command's only one.
function M.publish(sources, terms)
  local version = host.publish(M.PROPOSAL, M.pack(sources, terms or {}))
  host.publish(M.COMMITTED, tostring(version))
  return version
end


-- The run-time settings that are published, by integration, and their version.
local function published_settings()
  local bytes, version = host.published(M.SETTINGS)
  return bytes and assert(json.decode(bytes)) or {}, version or 0
end


-- The table of tokens is the same as long as config.lua names the same ones.
local function tokens_of(built, previous)
  local list = built.config.tokens
  if previous and json.encode(list or {}, { canonical = true })
      == json.encode(previous.config.tokens or {}, { canonical = true }) then
    return previous.tokens
  end
  local configured, fault = tokens.configured(list)
  if not configured then
    return nil, fault
  end
  return tokens.new(configured)
end


-- A generation of `sources`, bound, not in force yet; nil and its faults.
local function build(sources, previous)
  local fault
  sources.config, fault = settings.load(sources.config_path, sources.config_text, host.getenv)
  if not sources.config then
    return nil, { fault }
  end
  sources.getenv, sources.previous = host.getenv, previous
  sources.overrides, sources.settings_version = published_settings()
  local built, faults = generation.build(sources)
  if not built then
    return nil, faults
  end
  built.tokens, fault = tokens_of(built, previous)
  if not built.tokens then
    return nil, { ("%s: %s"):format(sources.config_path, fault) }
  end
  return call.bind(built)
end


-- The generation that is published, bound; nil and its faults.
function M.build()
  local bytes, version = host.published(M.PROPOSAL)
  local sources = unpack_proposal(bytes)
  sources.version = version
  return build(sources)
end


-- Following ---------------------------------------------------------------------------------------


-- What follows the generations from `built` on.
function M.new(built)
  call.activate(built)
  local taking = slots.of("tidegate:live:" .. host.worker)
  taking:configure(1, TAKERS_MAX)
  return setmetatable({ generation = built, told = built, seen = -1, taking = taking, answered = built.version,
    candidate = nil }, Live)
end


-- The generation of a task that begins now.
function Live:current()
  if host.changes() ~= self.seen then
    local guard <close> = self.taking:enter(TAKE_SECONDS)
    if guard and host.changes() ~= self.seen then
      self:take()
    end
  end
  return self.generation
end


function Live:adopt(built)
  self.generation = call.activate(built)
end


-- Takes what has been published since the last look. One task at a time: it may be kept from running in the
-- middle, and whoever comes meanwhile must get neither what was before nor overtake it.
function Live:take()
  local changes = host.changes()
  local committed = tonumber((host.published(M.COMMITTED)))
  local candidate = self.candidate
  if candidate and candidate.version == committed then
    self:adopt(candidate)
    self.candidate = self.candidate ~= candidate and self.candidate or nil
  end
  local version = host.published_version(M.SETTINGS)
  if version and version ~= self.generation.settings_version and version ~= self.refused then
    self:take_settings()
  end
  self.seen = changes
end


-- They were checked by who published them: that they cannot be taken is a fault of this program, or want of
-- memory.
function Live:take_settings()
  local overrides, version = published_settings()
  local ok, built, faults = task.guard(generation.with_overrides, self.generation, overrides, version)
  if ok and built then
    built.tokens = self.generation.tokens
    return self:adopt(call.bind(built))
  end
  self.refused = version
  log.error("the run-time settings could not be taken; those of before stay", {
    settings = version, error = ok and table.concat(faults, "\n") or tostring(built) })
end


-- A generation of `sources` after the present one; nil and its faults.
function Live:build(sources, terms)
  return build(with_terms(bundle.unpack(bundle.pack(sources)), terms), self.generation)
end


-- Builds what is proposed, and says what came of it.
function Live:answer()
  if host.published_version(M.PROPOSAL) == self.answered then
    return
  end
  local bytes, version = host.published(M.PROPOSAL)
  self.answered, self.candidate = version, nil
  if bytes == "" then
    return
  end
  local sources = unpack_proposal(bytes)
  sources.version = version
  local ok, built, faults = task.guard(build, sources, self.generation)
  if not ok then
    built, faults = nil, { tostring(built) }
  end
  self.candidate = built
  host.publish(M.ANSWER .. host.worker, json.encode {
    version = version, faults = faults and message.clean_all(faults), failed = built and M.failures(built),
  })
end


-- Answers proposals and takes what is published also where no task begins; `changed` is told of each
-- generation. Until cancelled.
function Live:follow(changed)
  while true do
    local changes = host.changes()
    self:answer()
    local present = self:current()
    if present ~= self.told then
      changed(present)
      self.told = present
    end
    host.wait_changes(changes, LOOK_SECONDS)
  end
end


return M
