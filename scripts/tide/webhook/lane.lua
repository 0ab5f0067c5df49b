-- The events of one integration in one worker: claims those that are due, runs so many at a time
-- (`webhook_concurrency`, over all workers), and stores how each ended.
--
-- An event is held from its claim to its end. New ones may be claimed in the commit that stores them;
-- the others are claimed in batches, as many as the lane can hold. How many that is follows the
-- speed of the handlers: more when the lane ran dry while a claim was committed, fewer when events
-- wait long.

local host = require "tide.host"
local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local breaker = require "tide.state.breaker"
local counters = require "tide.state.counters"
local cells = require "tide.cells"
local errors = require "tide.errors"
local slots = require "tide.state.slots"
local clean_headers = require "tide.webhook.clean_headers"
local ending = require "tide.webhook.ending"
local events = require "tide.webhook.events"
local process = require "tide.webhook.process"

local M = {}

-- Of more runs at a time than half of this, two for each.
local HELD_MAX = 256
local HELD_BYTES_MAX = 16 * 1024 * 1024
-- An event that waited longer for its run shows that the lane holds too many.
local WAIT_MAX_SECONDS = 0.1
local SLOT_WAIT_SECONDS = 3600
local WAITERS_MAX = 100000
local STORE_RETRY_SECONDS = 0.5
local ALARM_MAX_SECONDS = 60
-- Failures in a row of the scripts themselves after which they are tried one at a time.
local BROKEN_AFTER = 20
local BROKEN_SECONDS = 1
local PERMIT_WAIT_SECONDS = 0.05
local LEASE_MARGIN_SECONDS = 5

local Lane = {}
Lane.__index = Lane

counters.describe("webhook_start_delay_seconds", "histogram", "From an event's arrival to its first run.")


-- What all workers share of an integration's handlers: who may run, and whether they work at all.
local function shared_cells(integration)
  local name = cells.handlers_name(integration)
  return slots.of(name), breaker.cell(name)
end


-- `processor` has the generation and knows whether processing is paused.
function M.new(processor, name)
  local integration = processor.generation.integrations[name]
  local lane = setmetatable({
    processor = processor, name = name,
    ready = {}, first = 1, last = 0,      -- claimed, not begun
    held = 0, bytes = 0, running = 0, runners = 0,
    limit = 0, least = 0, most = 0,       -- how many it may hold, see configure
    is_behind = true,                     -- there may be due events in the store
    is_stopped = false,
    is_claiming = false, outcomes = {},
    claimed_at = 0, open_claim = nil,     -- a claim of which nobody knows what it came to
  }, Lane)
  lane.slots, lane.breaker = shared_cells(integration)
  lane.delay = counters.histogram("webhook_start_delay_seconds", ('integration="%s"'):format(name))
  lane:configure()
  return lane
end


function Lane:integration()
  return self.processor.generation.integrations[self.name]
end


-- The version of the provider that runs now.
function Lane:version()
  local integration = self:integration()
  return integration and integration.version
end


-- Follows the configuration as it is now.
function Lane:configure()
  local integration = self:integration()
  if not integration or self.values == integration.values then
    return
  end
  self.values = integration.values
  self.concurrency = integration.values.webhook_concurrency
  self.slots:configure(self.concurrency, WAITERS_MAX)
  self.breaker:configure { failure_threshold = BROKEN_AFTER, timeout_seconds = BROKEN_SECONDS }
  self.least, self.most = 2 * self.concurrency, math.max(HELD_MAX, 2 * self.concurrency)
  self.limit = math.min(self.most, math.max(self.limit, self.least))
end


-- Whether events may be run at all now.
function Lane:is_open()
  local integration = self:integration()
  return not self.processor:is_paused() and integration ~= nil and integration.provider ~= nil
    and integration.values.is_enabled
end


-- Holding -----------------------------------------------------------------------------------------


local function size_of(event)
  return event.body and #event.body or 0
end


-- Whether an event of `size` bytes that is about to be stored may be claimed with it.
function Lane:has_room(size)
  return not self.is_behind and self.held < self.limit and self.bytes + size <= HELD_BYTES_MAX
    and self:is_open() and self.breaker:state() == "closed"
end


function Lane:reserve(event)
  self.held = self.held + 1
  self.bytes = self.bytes + size_of(event)
  event.size = size_of(event)
end


-- What was reserved came to nothing, or has ended.
function Lane:drop(event)
  self.held = self.held - 1
  self.bytes = self.bytes - event.size
end


-- A claimed event, reserved before. One that comes when the lane has stopped goes back.
function Lane:push(event)
  if self.is_stopped then
    self:drop(event)
    ending.put_back(self, event)
    return
  end
  event.claimed = time.monotonic()
  self.last = self.last + 1
  self.ready[self.last] = event
  self:start_runners()
end


function Lane:pop()
  local event = self.ready[self.first]
  if event then
    self.ready[self.first] = nil
    self.first = self.first + 1
  end
  return event
end


-- There are events in the store that this lane has not claimed.
function Lane:note_pending()
  self.is_behind = true
  self:pump()
end


-- Claiming ----------------------------------------------------------------------------------------


local function event_of(row)
  return {
    id = row.id, type = row.event_type, body = row.body, headers_text = row.headers, source = row.source or "",
    received_at = row.created_at, event_id = row.event_id, trace_id = row.trace_id, ordering_key = row.ordering_key,
    attempt = row.attempts, retry_count = row.retry_count, content_type = row.content_type,
    attempt_log = row.attempt_log, due_at = row.next_attempt_at, body_bytes = row.body_bytes or 0,
  }
end


local function is_earlier(one, other)
  if one.due_at ~= other.due_at then
    return one.due_at < other.due_at
  end
  return one.id < other.id
end


-- The mark of a claim: its time, another for each, and the worker.
function Lane:next_mark()
  self.claimed_at = math.max(time.now(), self.claimed_at + 0.001)
  return (time.format(self.claimed_at):gsub("Z$", ("%03dZ"):format(host.worker % 1000)))
end


-- Gives back what was claimed by a claim whose answer never came: it may have been made all the same.
-- The store takes this after it, if it takes it at all.
function Lane:undo_claim()
  local done, message = store.execute(events.UNDO_CLAIM, self.name, self.open_claim, time.format())
  if not done then
    return nil, message
  end
  self.open_claim = nil
  return true
end


-- Claims up to `wanted` events; nil and a message when the store does not take it.
function Lane:claim(wanted)
  if self.open_claim then
    local done, failure = self:undo_claim()
    if not done then
      return nil, failure
    end
  end
  local mark = self:next_mark()
  self.open_claim = mark
  local result, message = store.execute(events.CLAIM, self.name, time.format(), wanted, mark)
  if not result then
    return nil, message
  end
  self.open_claim = nil
  local claimed = {}
  for index, row in ipairs(result.rows) do
    claimed[index] = event_of(row)
  end
  table.sort(claimed, is_earlier)
  return claimed
end


-- More may be held when all that was held has run by the time a full claim comes back.
function Lane:adapt(claimed, wanted)
  if #claimed == wanted and self.first > self.last then
    self.limit = math.min(self.most, self.limit * 2)
  end
end


function Lane:claim_round()
  local wanted = self.limit - self.held
  self.is_behind = false
  local claimed, message = self:claim(wanted)
  if not claimed then
    self.is_behind = true
    log.warn("webhook events could not be claimed", { integration = self.name, error = message })
    task.sleep(STORE_RETRY_SECONDS)
    return
  end
  self:adapt(claimed, wanted)
  if #claimed == wanted then
    self.is_behind = true
  end
  for _, event in ipairs(claimed) do
    self:reserve(event)
    self:push(event)
  end
end


-- Claims while there is something to claim and room to hold it. A lane that is half full waits, so
-- that claims come in batches.
function Lane:wants_more()
  return self.is_behind and not self.is_stopped and self:is_open() and self.bytes < HELD_BYTES_MAX
    and self.held <= self.limit // 2
end


function Lane:pump()
  self:configure()
  if self.is_claiming or not self:wants_more() then
    return
  end
  self.is_claiming = true
  task.detach(function()
    local guard <close> = self:claiming()
    repeat
      while self:wants_more() do
        self:claim_round()
      end
      self:set_alarm()
      -- Meanwhile there may have come more.
    until not self:wants_more()
  end)
end


-- When claiming ends before its time (there was no memory), it begins anew.
function Lane:claiming()
  return setmetatable({}, { __close = function()
    self.is_claiming = false
    if self.open_claim and not self.is_stopped then
      self.is_behind = true
      self:wake_at(time.now() + STORE_RETRY_SECONDS)
    end
  end })
end


-- When the store holds something to run, in seconds: nil when it holds nothing, soon when it does not say.
function Lane:next_due()
  local rows = store.query(events.NEXT_DUE, self.name)
  if not rows then
    return time.now() + STORE_RETRY_SECONDS
  end
  return rows[1] and time.parse(rows[1].next_attempt_at)
end


-- Takes up what is in the store when the worker starts.
function Lane:begin()
  self.is_behind = false
  self:set_alarm()
end


-- Looks for events that nobody told of, and wakes the lane when the next one is due.
function Lane:set_alarm()
  if self.is_stopped then
    return
  end
  local at = not self.is_behind and self:next_due()
  if self.is_behind or at and at <= time.now() then
    self:note_pending()
  elseif at then
    self:wake_at(at)
  end
end


function Lane:wake_at(at)
  if self.alarm and self.alarm_at <= at and self.alarm:status() ~= "done" then
    return
  end
  if self.alarm then
    self.alarm:cancel()
  end
  self.alarm_at = at
  self.alarm = task.detach(function()
    -- The wall clock may be set meanwhile.
    task.sleep(math.min(ALARM_MAX_SECONDS, math.max(0.001, at - time.now())))
    self.alarm = nil
    self:set_alarm()
  end)
end


-- Running -----------------------------------------------------------------------------------------


function Lane:start_runners()
  while self.runners < self.concurrency and self.runners - self.running < self.last - self.first + 1 do
    self.runners = self.runners + 1
    task.detach(self.run, self)
  end
end


-- The turn of one runner: takes ready events until there are none.
function Lane:run()
  local guard <close> = setmetatable({}, { __close = function()
    self.runners = self.runners - 1
    if not self.is_stopped then
      self:start_runners()
      self:pump()
    end
  end })
  while not self.is_stopped and self.runners <= self.concurrency do
    local event = self:pop()
    if not event then
      return
    end
    self:process(event)
    self:pump()
  end
end


-- Body and headers of a claimed event that was too long to come with the claim.
local function complete(event)
  if event.body == nil then
    local rows, message = store.query(events.READ, event.id)
    if not rows or not rows[1] then
      return nil, errors.new("unavailable", "the event could not be read: " .. (message or "it is gone"))
    end
    event.body, event.headers_text = rows[1].body or "", rows[1].headers
  end
  if event.headers == nil then
    event.headers = clean_headers.open(event.headers_text and json.decode(event.headers_text) or {})
  end
  return true
end


-- Waits for one of the slots that all workers share; nil when the lane stops.
function Lane:slot()
  local slot, wait
  while not slot and not self.is_stopped do
    slot, wait = self.slots:enter(SLOT_WAIT_SECONDS)
    if not slot then
      task.sleep(math.max(PERMIT_WAIT_SECONDS, wait or 0))
    end
  end
  return slot
end


-- Waits until the handlers work; nil when the lane stops. Who tries them has as long as a run may take, and
-- is mostly done much sooner.
function Lane:permit()
  local lease = self.values.webhook_timeout_seconds + LEASE_MARGIN_SECONDS
  local permit, wait = self.breaker:permit(lease)
  while not permit and not self.is_stopped do
    task.sleep(math.min(BROKEN_SECONDS, math.max(PERMIT_WAIT_SECONDS, wait or BROKEN_SECONDS)))
    permit, wait = self.breaker:permit(lease)
  end
  return permit
end


local SCRIPT_FAULTS = { script_error = true, script_timeout = true, out_of_memory = true }


-- A script that fails says something about the handlers; a third party that does, nothing.
local function judge(permit, err)
  if err == nil then
    permit:success()
  elseif SCRIPT_FAULTS[err.code] then
    permit:failure()
  else
    permit:release()
  end
end


function Lane:observe(event)
  local now = time.now()
  local received = event.received or time.parse(event.received_at) or now
  if event.attempt == 1 then
    self.delay:observe(math.max(0, now - received))
  end
  if time.monotonic() - event.claimed > WAIT_MAX_SECONDS then
    self.limit = math.max(self.least, self.limit // 2)
  end
end


local function no_definition(name, source)
  return errors.new("not_loaded", ("%s takes no webhooks at %q any more"):format(name, source))
end


-- One run, in its slot.
function Lane:attempt(event)
  local generation = self.processor.generation
  local integration = generation.integrations[self.name]
  local definition = integration and integration.webhooks and integration.webhooks[event.source]
  local ready, err = complete(event)
  if ready and not definition then
    err = no_definition(self.name, event.source)
  end
  if err then
    return { started = time.now(), duration_ms = 0, err = err }
  end
  return process.run(generation, definition, event)
end


-- Bookkeeping for a run that was cut off: by a worker out of memory, or the end of the service.
local function watch(lane, event)
  return setmetatable({}, { __close = function()
    lane.running = lane.running - 1
    lane:drop(event)
    if event.is_ended then
      return
    end
    if lane.is_stopped then
      ending.put_back(lane, event)
    else
      task.detach(ending.cut_off, lane, event)
    end
  end })
end


function Lane:process(event)
  self.running = self.running + 1
  local guard <close> = watch(self, event)
  local slot <close> = self:slot()
  local permit <close> = slot and self:permit()
  if self.is_stopped or not permit then
    return
  end
  event.is_begun = true
  self:observe(event)
  local outcome = self:attempt(event)
  slot:leave()
  judge(permit, outcome.err)
  ending.finish(self, event, outcome)
  event.is_ended = true
end


-- Stopping ----------------------------------------------------------------------------------------


-- Whether runs or a claim are under way.
function Lane:is_busy()
  return self.runners > 0 or self.is_claiming
end


-- Claims no more and puts back what has not begun. Runs that are under way go on.
function Lane:stop()
  self.is_stopped = true
  if self.alarm then
    self.alarm:cancel()
  end
  local event = self:pop()
  while event do
    self:drop(event)
    ending.put_back(self, event)
    event = self:pop()
  end
end


return M
