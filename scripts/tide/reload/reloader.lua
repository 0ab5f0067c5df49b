-- Reloads, in the main worker: reads the project again when its files change, when a signal says so or somebody
-- asks, and rolls out what loads. One at a time; what is asked for meanwhile is one more.

local counters = require "tide.state.counters"
local log = require "tide.log"
local message = require "tide.message"
local task = require "tide.task"
local time = require "tide.time"
local bundle = require "tide.bundle"
local changes = require "tide.reload.changes"
local project = require "tide.project"
local project_watch = require "tide.reload.project_watch"
local request = require "tide.reload.request"
local rollout = require "tide.reload.rollout"
local self_test = require "tide.reload.self_test"

local M = {}

local LOOK_SECONDS = 60
local RETRY_SECONDS = 2
local FILES = { actor = "files" }
-- Times that what fails is left out and the rest tried again.
local ROUNDS_MAX = 5

counters.describe("reloads_total", "counter", "Reloads that had something to do, by outcome: ok, partial, failed.")

local Reloader = {}
Reloader.__index = Reloader


-- Reloading ---------------------------------------------------------------------------------------


-- `service` is told of what is about to be in force, `prepare(candidate, integrations, project)`: true, or nil and a
-- message; and of what is, `adopt(generation, project)`. `rollback` knows which versions are not to be loaded.
function M.new(opened, own, workers, service, rollback)
  return setmetatable({ project = opened, live = own, workers = workers, service = service, rollback = rollback,
    bundle = bundle.pack(opened.sources), refused = {}, must_retry = false, is_for_now = false }, Reloader)
end


-- Why the version of an integration that has just been loaded may not serve; nil when it may.
function Reloader:refusal(candidate, integration)
  if integration.is_substitute then -- it has served before
    return nil
  end
  local refused = self.refused[integration.name]
  if refused and refused.version == integration.version then
    return refused.fault
  end
  local passed, fault = self_test.run(candidate, integration)
  if not passed then
    self.refused[integration.name] = { version = integration.version, fault = fault }
    return fault
  end
end


-- The integrations whose loaded code is not the one in force.
function Reloader:loaded(candidate)
  local list = {}
  for name, integration in pairs(candidate.integrations) do
    local before = self.live.generation.integrations[name]
    if integration.code and integration.code ~= (before and before.code) then
      list[#list + 1] = integration
    end
  end
  return list
end


-- Adds to `held_back` what may not serve; whether there was any.
function Reloader:hold_back(candidate, held_back)
  local is_any = false
  for _, integration in ipairs(self:loaded(candidate)) do
    local fault = self:refusal(candidate, integration)
    if fault then
      held_back[integration.name], is_any = { fault }, true
    end
  end
  return is_any
end


-- With `watch = false` all files go together: one that does not load keeps the others back.
local function kept_together(candidate, config)
  if config.watch then
    return nil
  end
  local faults = {}
  for _, integration in pairs(candidate.integrations) do
    if integration.error and integration.code and not integration.is_substitute then
      table.move(integration.error.faults, 1, #integration.error.faults, #faults + 1, faults)
    end
  end
  table.sort(faults)
  return #faults > 0 and faults or nil
end


-- One try: true when it is in force; "again" when more was held back; nil and the faults.
function Reloader:try(opened, terms)
  local candidate, faults = self.live:build(opened.sources, terms)
  if not candidate then
    return nil, faults
  end
  if self:hold_back(candidate, terms.held_back) then
    return "again"
  end
  faults = kept_together(candidate, candidate.config)
  if faults then
    return nil, faults
  end
  local ready, fault = self.service:prepare(candidate, self:loaded(candidate), opened)
  if not ready then
    self.is_for_now = true
    return nil, { fault }
  end
  local failed
  ready, faults, failed = rollout.propose(candidate, opened.sources, terms, self.workers)
  if ready then
    self.rollback:begin(candidate, self.live.generation)
    rollout.commit(candidate, self.live)
    self.rollback:settle(candidate, opened.sources)
    return true
  end
  if #faults > 0 then
    self.is_for_now = true
    return nil, faults
  end
  for name, words in pairs(failed) do
    terms.held_back[name] = words
  end
  return "again"
end


-- Whether somebody wants it, or it comes by itself.
local function is_asked(by)
  return by.actor ~= FILES.actor and by.actor ~= request.ROLLBACK.actor
end


-- Rolls out what was read; true, or nil and the faults.
function Reloader:roll_out(opened, by)
  local terms = { built_at = time.format(), held_back = {}, tries_again = is_asked(by),
    substitutes = self.rollback:substitutes() }
  if terms.tries_again then
    self.refused = {}
  end
  for _ = 1, ROUNDS_MAX do
    local outcome, faults = self:try(opened, terms)
    if outcome ~= "again" then
      return outcome, faults
    end
  end
  return nil, { "too many integrations failed one after the other; see the log" }
end


-- What came of a reload, said everywhere.
function Reloader:report(result, started)
  result.errors = message.clean_all(result.errors)
  request.set_faults(result.outcome == "failed" and result.errors or {})
  result.version = self.live.generation.version
  if result.outcome ~= "unchanged" then
    counters.counter("reloads_total", ('outcome="%s"'):format(result.outcome)):add()
    changes.log(result, time.monotonic() - started)
  end
  return result
end


-- A folder that went away for a moment must not take all its integrations along. Faults, or nil.
local function missing_folders(before, now)
  local faults = {}
  for folder in pairs(before.folders) do
    if not now.folders[folder] then
      faults[#faults + 1] = ("%s: the folder is gone; what was loaded from it serves on until it is back "
        .. "or config.lua is another"):format(folder)
    end
  end
  table.sort(faults)
  return #faults > 0 and faults or nil
end


-- The project as it is now; nil and the faults.
function Reloader:read()
  local opened, faults = project.read(self.project.config_path, self.project.sources.getenv)
  if opened and opened.sources.config_text == self.project.sources.config_text then
    faults = missing_folders(self.project.sources, opened.sources)
  end
  return not faults and opened or nil, faults
end


-- Whether there is nothing to do. Who asks himself wants what did not load to be tried once more.
function Reloader:is_current(bytes, by)
  return bytes == self.bundle and not self.must_retry
    and not (is_asked(by) and #self.live.generation.errors > 0)
end


-- What fails is not left in force because a worker did not answer in time.
function Reloader:go_back_later()
  if not self.is_going_back then
    self.is_going_back = true
    self.tasks.later = task.detach(function()
      task.sleep(RETRY_SECONDS)
      self.is_going_back = false
      request.want(request.ROLLBACK)
    end)
  end
end


-- Where a new version fails brings the one before back, of the project as it was read last.
function Reloader:go_back()
  local started, before = time.monotonic(), self.live.generation
  if not self.rollback:go_back(before) then
    return
  end
  local done, faults = self:roll_out(self.project, request.ROLLBACK)
  if not done then
    self.must_retry = true
    self:go_back_later()
    return self:report({ outcome = "failed", errors = faults }, started)
  end
  self.service:adopt(self.live.generation, self.project)
  self:report(changes.between(before, self.live.generation, false), started)
end


-- Reads the project and puts what has changed in force. `by` = { actor, trace_id }.
function Reloader:reload(by)
  self:go_back()
  local started = time.monotonic()
  self.is_for_now = false
  local opened, faults = self:read()
  if not opened then
    self.must_retry = true
    return self:report({ outcome = "failed", errors = faults }, started)
  end
  local bytes = bundle.pack(opened.sources)
  local before = self.live.generation
  if self:is_current(bytes, by) then
    return self:report({ outcome = "unchanged", errors = before.errors }, started)
  end
  self.must_retry = false
  local done
  done, faults = self:roll_out(opened, by)
  if not done then
    self.must_retry = true
    return self:report({ outcome = "failed", errors = faults }, started)
  end
  local is_same_config = self.project.sources.config_text == opened.sources.config_text
  self.bundle, self.project = bytes, opened
  local result = changes.between(before, self.live.generation, not is_same_config)
  self.service:adopt(self.live.generation, opened)
  changes.record(result, by)
  return self:report(result, started)
end


-- Running -----------------------------------------------------------------------------------------


local function protected(reloader, by)
  local started = time.monotonic()
  local ok, result, _, traceback = task.guard(reloader.reload, reloader, by)
  if ok then
    return result
  end
  reloader.must_retry = true
  log.error("a reload failed: internal error", { error = tostring(result), traceback = traceback })
  return reloader:report({ outcome = "failed", errors = { "internal error: " .. tostring(result) } }, started)
end


-- Answers requests, one after the other.
function Reloader:serve()
  request.serve(function(by) return protected(self, by) end)
end


-- The folders and files that make up a project.
local function paths_of(opened)
  local paths = { opened.config_path, opened:beside("scripts") }
  local folders = opened.config.providers
  for _, folder in ipairs(type(folders) == "table" and folders or { folders }) do
    paths[#paths + 1] = folder
  end
  return paths
end


-- Asks for a reload whenever a file changes, as long as the configuration says so.
function Reloader:watch()
  local watcher <close> = project_watch.new { on_state = request.set_watched }
  local followed
  while true do
    local paths = paths_of(self.project)
    local names, may_have_changed = table.concat(paths, "\0"), true
    if names == followed then
      -- What failed for want of a store, or of a worker with time, may do so no more.
      may_have_changed = watcher:wait(self.is_for_now and RETRY_SECONDS or LOOK_SECONDS) or self.is_for_now
    else
      -- What was saved before they were followed is found by reading them once more.
      followed = names
      watcher:follow(paths)
    end
    if may_have_changed and self.project.config.watch then
      request.ask(FILES)
    end
  end
end


--- Begins to reload.
function Reloader:start()
  self.tasks = {
    task.keep("the reloading of files", self.serve, self),
    task.keep("the watching of files", self.watch, self),
  }
end


--- Ends it; a reload that is under way is given up.
function Reloader:stop()
  for _, running in pairs(self.tasks) do
    running:cancel()
  end
end


return M
