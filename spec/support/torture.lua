-- A service that is killed again and again while signed events come in, and what is left of them at the end.

local host = require "tide.host"
local task = require "tide.task"
local support = require "spec.support.service"

local M = {}

local SECRET = "torture-secret-0123456789"
local SHORTEST_SECONDS = 0.05
local SECONDS_PER_KILL = 10
local LAST_SECONDS = 60
local ROWS_AT_ONCE = 10000
local FAULTS_MAX = 10

-- A retry is due at once, so that events run again in the middle of the others.
local CONFIG = [[
return {
  log_level = "error",
  integrations = {
    torture = { webhook_retry_seconds = { 0.1, 0.2, 0.3, 0.5, 0.5, 1, 1, 1 }, webhook_concurrency = 32 },
  },
}]]

-- `effect` has one transaction, `effects` has two; some of their first runs fail behind them.
local PROVIDER = [[
local fail = require "tide.fail"

local function insert(ctx, event, step)
  return ctx.db.transaction(function(tx)
    tx.query("INSERT INTO effects (event, step) VALUES ($1, $2)", event.payload.number, step)
    return { number = event.payload.number, step = step }
  end)
end

local function finish(ctx, event, done)
  if event.payload.number % 10 == 1 and event.attempt == 1 then
    fail("upstream_error", "the first run fails")
  end
  ctx.sleep(0.002)
  return done
end

return {
  webhooks = {
    signature = { scheme = "hmac-sha256", header = "X-Signature", secret = "webhook_secret" },
    event_type = "type",
    event_id = "id",
    on = {
      plain = function(ctx, event) return finish(ctx, event, { number = event.payload.number }) end,
      effect = function(ctx, event) return finish(ctx, event, insert(ctx, event, 1)) end,
      effects = function(ctx, event)
        insert(ctx, event, 1)
        ctx.sleep(0.002)
        return finish(ctx, event, insert(ctx, event, 2))
      end,
    },
  },
}]]

-- No unique constraint: what happened twice is there twice.
local MIGRATION = "CREATE TABLE effects (event INTEGER NOT NULL, step INTEGER NOT NULL)"

local Torture = {}
Torture.__index = Torture


-- The run -----------------------------------------------------------------------------------------


function Torture:serve()
  return self.project:serve {
    listen = self.address, workers = 2, environment = { TIDEGATE_TORTURE_WEBHOOK_SECRET = SECRET },
  }
end


function Torture:start_sender()
  local script = assert(host.working_directory()) .. "/spec/support/torture_sender.lua"
  self.sender = self.project:start {
    "run", script, ("http://%s/api/v1/webhooks/torture"):format(self.address), SECRET, tostring(self.rate),
    tostring(self.kills * SECONDS_PER_KILL + LAST_SECONDS),
  }
end


-- Kills the service at a random moment, so often as asked; leaves it running.
function Torture:kill_again_and_again()
  local service = self:serve()
  self.address = service.address
  self:start_sender()
  for _ = 1, self.kills do
    task.sleep(SHORTEST_SECONDS + math.random() * (self.longest - SHORTEST_SECONDS))
    service:stop("KILL")
    self.killed = self.killed + 1
    service = self:serve()
  end
  return service
end


-- Waits until no event is pending or being processed. What still is after a while is counted as lost.
function Torture:wait_idle(service)
  for _, status in ipairs { "pending", "processing", "pending" } do
    local ended, message = pcall(support.wait, "no event to be " .. status, function()
      local code, answer = service:request("GET", ("/api/v1/events?status=%s&limit=1"):format(status))
      assert(code == 200, answer)
      return #answer.data == 0
    end, LAST_SECONDS)
    if not ended then
      self:fault("%s", message)
    end
  end
end


-- Nothing is left to do: neither to send nor to process.
function Torture:finish(service)
  self.project:write("stop", "")
  assert(self.sender:wait(LAST_SECONDS) == 0, self.sender:stderr())
  self.sent = assert(math.tointeger(tonumber(self.sender:stdout():match("%d+"))), "the sender has said no number")
  self:wait_idle(service)
  assert(service:stop() == 0, service:stderr())
end


-- What is left --------------------------------------------------------------------------------------


function Torture:fault(format, ...)
  if #self.faults < FAULTS_MAX then
    self.faults[#self.faults + 1] = format:format(...)
  end
end


-- All rows of a table of a database, in order.
function Torture:rows(columns, name, database)
  local rows, last = {}, 0
  while true do
    local page = self.project:query(("SELECT rowid AS position, %s FROM %s WHERE rowid > %d ORDER BY rowid LIMIT %d")
      :format(columns, name, last, ROWS_AT_ONCE), database)
    table.move(page, 1, #page, #rows + 1, rows)
    if #page < ROWS_AT_ONCE then
      return rows
    end
    last = page[#page].position
  end
end


-- The id of each event that was acknowledged, by its number.
function Torture:acknowledgements()
  local ids = {}
  for number, id in self.project:read("acks"):gmatch("(%d+) (%S+) %a+\n") do
    number = tonumber(number)
    if not ids[number] then
      self.acknowledged = self.acknowledged + 1
      ids[number] = id
    elseif ids[number] ~= id then
      self.doubled = self.doubled + 1
      self:fault("event %d was acknowledged as %s and as %s", number, ids[number], id)
    end
  end
  return ids
end


-- Every acknowledged event is stored under the id that was said, once, and completed.
function Torture:check_events(acknowledged)
  local stored = {}
  for _, row in ipairs(self:rows("id, event_id, status, attempts, error_message", "webhook_events")) do
    local number = tonumber(row.event_id:match("%d+"))
    if stored[number] then
      self.doubled = self.doubled + 1
      self:fault("event %d is stored twice", number)
    end
    stored[number] = row
    self.stored = self.stored + 1
    if row.status ~= "completed" then
      self.lost = self.lost + 1
      self:fault("event %d is %s after %d runs: %s", number, row.status, row.attempts, row.error_message or "")
    end
  end
  for number, id in pairs(acknowledged) do
    if not stored[number] or stored[number].id ~= id then
      self.lost = self.lost + 1
      self:fault("event %d was acknowledged as %s and is stored %s", number, id,
        stored[number] and "as " .. stored[number].id or "nowhere")
    end
  end
  return stored
end


local EFFECTS = { [1] = 1, [3] = 2 }


-- Every transaction of a stored event has taken effect once.
function Torture:check_effects(stored)
  local counts = {}
  for _, row in ipairs(self:rows("event, step", "effects", "var/project.db")) do
    local key = row.event .. "." .. row.step
    counts[key] = (counts[key] or 0) + 1
    self.effects = self.effects + 1
  end
  for number in pairs(stored) do
    for step = 1, EFFECTS[number % 4] or 0 do
      local count = counts[number .. "." .. step] or 0
      self.lost = self.lost + (count == 0 and 1 or 0)
      self.doubled = self.doubled + (count > 1 and 1 or 0)
      if count ~= 1 then
        self:fault("transaction %d of event %d has taken effect %d times", step, number, count)
      end
    end
  end
end


--- Kills the service `kills` times, each time between 0.05 and `longest` seconds after it serves, under `rate` events
--- a second, with the random numbers of `seed`; then lets it finish, and looks.
---@param options { kills: integer, rate: number, seed: integer, longest: number }
---@return table counts sent, acknowledged, killed, stored, effects, lost, doubled; faults: the first of them in words
function M.run(options)
  local torture = setmetatable({
    kills = options.kills, rate = options.rate, longest = options.longest, faults = {},
    sent = 0, acknowledged = 0, killed = 0, stored = 0, effects = 0, lost = 0, doubled = 0,
    project = support.project {
      ["config.lua"] = CONFIG, ["providers/torture.lua"] = PROVIDER, ["migrations/001_effects.sql"] = MIGRATION,
    },
  }, Torture)
  local guard <close> = setmetatable({}, { __close = function() torture.project:close() end })
  math.randomseed(options.seed)
  torture:finish(torture:kill_again_and_again())
  torture:check_effects(torture:check_events(torture:acknowledgements()))
  return torture
end


return M
