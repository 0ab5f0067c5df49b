-- Breakers, limits and pauses survive a restart: the main worker reads their rows of
-- `policy_state` before the others serve, and keeps the rows up. It is also who says in the log
-- and in the metrics that a breaker has changed. Cells of mock mode are not kept.

local breaker = require "tide.state.breaker"
local bucket = require "tide.state.bucket"
local counters = require "tide.state.counters"
local json = require "tide.json"
local log = require "tide.log"
local statistics = require "tide.state.statistics"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"

local M = {}

local LEVEL_SECONDS = 5
local MOCK = "^(.*)/mock$"

local FIND = "SELECT kind, state, updated_at FROM policy_state WHERE integration_name = $1"
local PUT = "INSERT INTO policy_state (integration_name, kind, state, updated_at) VALUES ($1, $2, $3, $4) "
  .. "ON CONFLICT (integration_name, kind) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at"

local OPENED = { open = "opened", half_open = "half-open", closed = "closed" }
local WOULD_BE = { open = "would have opened", half_open = "would be half-open", closed = "would have closed" }

local Keeper = {}
Keeper.__index = Keeper

counters.describe("breaker_transitions_total", "counter", "Changes of circuit breakers, by the state entered.")


-- Reading -----------------------------------------------------------------------------------------


local RESTORE = {
  breaker = function(name, saved, elapsed)
    breaker.cell(name):restore(saved, elapsed)
  end,
  limiter = function(name, saved, elapsed)
    bucket.limiter(name):restore(saved, elapsed)
  end,
}


-- A clock that was set back in between has not moved.
local function elapsed_since(text)
  local at, message = time.parse(text)
  if not at then
    error(message, 0)
  end
  return math.max(0, time.now() - at)
end


-- A row that makes no sense is as good as none.
local function restore(name, row)
  local restoring = RESTORE[row.kind]
  if not restoring then
    return
  end
  local ok, message = pcall(function()
    restoring(name, assert(json.decode(row.state)), elapsed_since(row.updated_at))
  end)
  if not ok then
    log.warn("the saved state of a policy could not be read", { integration = name, kind = row.kind, error = message })
  end
end


-- Restores the cells of the integrations `names` (a list), and keeps them from now on.
function Keeper:add(names)
  for _, name in ipairs(names) do
    if not self.names[name] then
      local rows, message, code = store.query(FIND, name)
      if not rows then
        return nil, message, code
      end
      for _, row in ipairs(rows) do
        restore(name, row)
      end
      self.names[name] = true
    end
  end
  return true
end


-- What keeps the cells of integrations: `names` have theirs restored. nil, message and code
-- without the store.
function M.load(names)
  local keeper = setmetatable({ names = {}, dropped = breaker.dropped() }, Keeper)
  local added, message, code = keeper:add(names)
  if not added then
    return nil, message, code
  end
  return keeper
end


-- Writing -----------------------------------------------------------------------------------------


-- The statement that keeps the state of a breaker, for the transaction that notes why.
function M.breaker_statement(name)
  return { PUT, name, "breaker", json.encode(breaker.cell(name):save()), time.format(), n = 4 }
end


local function put(name, kind, state)
  local queued, message = store.enqueue(PUT, name, kind, json.encode(state), time.format())
  if not queued then
    log.error("the state of a policy could not be saved", { integration = name, kind = kind, error = message })
  end
end


local function save_breaker(name)
  put(name, "breaker", breaker.cell(name):save())
end


-- The tokens and the pause, if either has changed.
local function save_limiter(name)
  local text = bucket.limiter(name):save()
  if text then
    put(name, "limiter", text)
  end
end


function Keeper:each(save)
  for name in pairs(self.names) do
    save(name)
  end
end


-- Changes -----------------------------------------------------------------------------------------


local function words_of(change)
  if change.from == change.to then
    return "circuit breaker mode changed"
  end
  local words = change.mode == "observe" and WOULD_BE or OPENED
  return "circuit breaker " .. words[change.to]
end


local function log_change(change)
  local mocked = change.name:match(MOCK)
  local write = mocked and log.info or log.warn
  write(words_of(change), {
    integration = mocked or change.name, mock = mocked and true or nil,
    reason = change.reason, mode = change.mode, from = change.from, at = time.format(change.at),
  })
end


-- While it only observes, a breaker does not open.
local function count_change(change)
  if change.from == change.to then
    return
  end
  counters.counter("breaker_transitions_total", ('integration="%s",state="%s"'):format(change.name, change.to)):add()
  if change.to == "open" and change.mode ~= "observe" then
    statistics.cell(change.name):count("breaker_opened")
  end
end


function Keeper:note(change)
  if self.names[change.name] then
    save_breaker(change.name)
    count_change(change)
  end
  log_change(change)
end


-- Changes that came too fast were not told one by one.
function Keeper:catch_up()
  local dropped = breaker.dropped()
  if dropped > self.dropped then
    log.warn("changes of circuit breakers were not logged", { changes = dropped - self.dropped })
    self.dropped = dropped
    self:each(save_breaker)
  end
end


-- Tasks -------------------------------------------------------------------------------------------


-- Saves and tells each change and each pause as it comes, and tokens every few seconds, until
-- stopped. One keeper of the process may run.
function Keeper:start()
  self.tasks = {
    task.keep("the keeping of breakers", function()
      while true do
        self:note(breaker.next_change())
      end
    end),
    task.keep("the keeping of pauses", function()
      while true do
        local name = bucket.next_pause()
        if self.names[name] then
          save_limiter(name)
        end
      end
    end),
    task.keep("the keeping of limits", function()
      while true do
        task.sleep(LEVEL_SECONDS)
        self:each(save_limiter)
        self:catch_up()
      end
    end),
  }
end


-- Queues everything that is to be kept, for the last time.
function Keeper:stop()
  for _, running in ipairs(self.tasks or {}) do
    running:cancel()
  end
  self.tasks = nil
  self:each(save_breaker)
  self:each(save_limiter)
end


return M
