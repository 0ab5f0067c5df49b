-- A lane whose store fails, is late, or answers too late: no event is left where nobody looks for it.

local host = require "tide.host"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local uuid = require "tide.uuid"
local events = require "tide.webhook.events"
local definitions = require "tide.webhook.definition"
local inbox = require "tide.webhook.inbox"
local lanes = require "tide.webhook.lane"
local opened = require "spec.support.store"
local support = require "spec.support.service"


describe("a lane", function()
  local real = { query = store.query, execute = store.execute, enqueue = store.enqueue,
    transaction = store.transaction }
  local made = 0
  local lane, processor, runs, run


  setup(function()
    opened.open()
    local tables = host.asset("scripts/migrations/003_webhooks.sqlite.sql")
    assert(store.execute((tables:match("CREATE TABLE webhook_events_new .-\n%);"):gsub("webhook_events_new",
      "webhook_events", 1))))
    tables = host.asset("scripts/migrations/001_tables.sqlite.sql")
    assert(store.execute((tables:match("CREATE TABLE alerts .-\n%);"))))
    assert(store.execute((tables:match("CREATE TABLE webhook_dedupe .-\n%)[^;]*;"))))
  end)


  teardown(function()
    assert(store.flush())
    assert(store.execute("DROP TABLE webhook_events"))
    assert(store.execute("DROP TABLE alerts"))
    assert(store.execute("DROP TABLE webhook_dedupe"))
  end)


  before_each(function()
    assert(store.execute("DELETE FROM webhook_events"))
    made = made + 1
    local name = "lane" .. made
    processor = {
      paused = false,
      is_paused = function(self) return self.paused end,
      generation = { integrations = { [name] = {
        name = name, provider = {}, values = {
          is_enabled = true, webhook_concurrency = 2, webhook_timeout_seconds = 5, webhook_retry_seconds = { 0, 0 },
          webhook_poisoned_key = "skip",
        },
      } } },
    }
    lane = lanes.new(processor, name)
    runs = {}
    run = function() end
    lane.attempt = function(_, event)
      runs[#runs + 1] = event.id
      return { started = time.now(), duration_ms = 0, err = run(event) }
    end
  end)


  after_each(function()
    for name, fn in pairs(real) do
      store[name] = fn
    end
    lane:stop()
    support.wait("the lane to end", function() return not lane:is_busy() end)
  end)


  -- Stores an event as receiving does; its id.
  local function add(key, status)
    local id, now = uuid.v7(), time.format()
    assert(real.execute("INSERT INTO webhook_events (id, integration_name, event_type, ordering_key, status, "
      .. "next_attempt_at, body) VALUES ($1, $2, 'x', $3, $4, $5, '{}')", id, lane.name, key, status or "pending", now))
    return id
  end


  local function status_of(id)
    return assert(real.query("SELECT status FROM webhook_events WHERE id = $1", id))[1].status
  end


  local function await(id, status)
    support.wait("the event to be " .. status, function() return status_of(id) == status end, 3)
  end


  -- Fails the next `count` times that `name` is called with `sql`, before or after it is done.
  local function fail(name, sql, count, code, after)
    store[name] = function(text, ...)
      if text == sql and count > 0 then
        count = count - 1
        if after then
          assert(real[name](text, ...))
        end
        return nil, "as the spec wants it", code
      end
      return real[name](text, ...)
    end
  end


  it("looks again when the store could not say what is due", function()
    local id = add()
    fail("query", events.NEXT_DUE, 1, "unavailable")
    lane:begin()
    await(id, "completed")
  end)


  it("claims again when a claim was refused", function()
    local id = add()
    fail("execute", events.CLAIM, 1, "unavailable")
    lane:note_pending()
    await(id, "completed")
    assert.equal(1, #runs)
  end)


  it("runs what it has claimed without learning of it", function()
    local ids = { add(), add() }
    fail("execute", events.CLAIM, 1, "timeout", true)
    lane:note_pending()
    await(ids[1], "completed")
    await(ids[2], "completed")
    assert.equal(2, #runs)
    assert.same({ { attempts = 1 } }, real.query("SELECT DISTINCT attempts FROM webhook_events"))
  end)


  it("takes nothing from others when it looks for a claim of its own", function()
    local others = add(nil, "processing")
    local own = add()
    fail("execute", events.CLAIM, 1, "timeout", true)
    lane:note_pending()
    await(own, "completed")
    assert.equal("processing", status_of(others))
  end)


  it("goes on as soon as the handlers are found to work, not when they might be tried again", function()
    local id = add()
    local cell, refused = lane.breaker, false
    lane.breaker = {
      configure = function() end,
      permit = function(_, lease)
        if not refused then
          refused = true
          return nil, lease
        end
        return cell:permit(lease)
      end,
    }
    lane:note_pending()
    await(id, "completed")
  end)


  it("puts back what its last claim brings when it has stopped", function()
    local id = add()
    store.execute = function(...)
      local result = assert(real.execute(...))
      lane:stop()
      return result
    end
    lane:note_pending()
    support.wait("the lane to end", function() return not lane:is_busy() end)
    await(id, "pending")
    assert.same({ 0, 0, 0 }, { #runs, lane.held, lane.bytes })
    assert.same({ { attempts = 0 } }, real.query("SELECT attempts FROM webhook_events"))
  end)


  it("runs what came while it was paused", function()
    processor.paused = true
    local id = add()
    lane:note_pending()
    task.sleep(0.05)
    assert.equal("pending", status_of(id))
    processor.paused = false
    lane:set_alarm()
    await(id, "completed")
  end)


  it("runs again at once what is to run again at once, however late that is stored", function()
    local id = add()
    store.enqueue = function(sql, ...)
      local values = table.pack(...)
      task.detach(function()
        task.sleep(0.2)
        real.enqueue(sql, table.unpack(values, 1, values.n))
      end)
      return true
    end
    run = function() return #runs == 1 and { code = "upstream_error", message = "not yet" } or nil end
    lane:note_pending()
    await(id, "completed")
    assert.equal(2, #runs)
  end)


  it("goes on with what was stored while it looked for the last time", function()
    local first = add()
    local second
    store.query = function(sql, ...)
      local rows, message, code = real.query(sql, ...)
      if sql == events.NEXT_DUE and not second then
        second = add()
        lane:note_pending()
      end
      return rows, message, code
    end
    lane:note_pending()
    await(first, "completed")
    await(second, "completed")
  end)


  it("goes on with a key whose event was cut off", function()
    processor.generation.integrations[lane.name].values.webhook_retry_seconds = {}
    local first, second = add("k"), add("k")
    assert(store.execute("UPDATE webhook_events SET next_attempt_at = NULL WHERE id = $1", second))
    local attempt = lane.attempt
    lane.attempt = function(self, event)
      if event.id == first then
        error("as if there were no memory")
      end
      return attempt(self, event)
    end
    lane:note_pending()
    await(first, "failed")
    await(second, "completed")
  end)


  it("runs as many at a time as it may, however many it holds at a time", function()
    local integration = processor.generation.integrations[lane.name]
    integration.values = setmetatable({ webhook_concurrency = 300 }, { __index = integration.values })
    local running, most, last = 0, 0, nil
    run = function()
      running = running + 1
      most = math.max(most, running)
      task.sleep(0.3)
      running = running - 1
    end
    for _ = 1, 900 do
      last = add()
    end
    lane:note_pending()
    await(last, "completed")
    assert.equal(300, most)
  end)


  it("waits for a slot as long as it takes", function()
    local id = add()
    local cell, refused = lane.slots, 0
    lane.slots = {
      configure = function() end,
      enter = function(_, seconds)
        refused = refused + 1
        if refused < 3 then
          return nil, 0.05
        end
        return cell:enter(seconds)
      end,
    }
    lane:note_pending()
    await(id, "completed")
    assert.equal(1, #runs)
  end)


  describe("and the inbox", function()
    local receipt


    before_each(function()
      assert(store.execute("DELETE FROM webhook_dedupe"))
      lane.is_behind = false
      local integration = lane:integration()
      integration.values.webhook_dedupe_seconds, integration.values.redact_fields = 60, {}
      local definition = definitions.bind(integration, "", {
        signature = "none", event_type = "type", event_id = "id", on = { ["*"] = function() end },
      })
      receipt = { definition = definition, trace_id = "t", request = {
        headers = { ["content-type"] = "application/json" }, body = '{"type":"x","id":"1"}',
      } }
    end)


    local function rows()
      return real.query("SELECT id, status, attempts FROM webhook_events")
    end


    it("run an event whose commit nobody saw the end of, once", function()
      store.transaction = function(statements)
        store.transaction = real.transaction
        assert(real.transaction(statements))
        return nil, "as the spec wants it", "timeout"
      end
      local stored, err = inbox.store(receipt, lane)
      assert.same({ nil, "unavailable" }, { stored, err.code })
      await(rows()[1].id, "completed")
      assert.equal(1, #runs)
      assert.is_true(inbox.store(receipt, lane)[1].is_duplicate)
      support.wait("the lane to hold nothing", function() return lane.held == 0 and lane.bytes == 0 end)
    end)


    it("run an event whose request was cut off while it was stored, once", function()
      local is_stored
      store.transaction = function(statements)
        store.transaction = real.transaction
        local results = assert(real.transaction(statements))
        is_stored = true
        task.sleep(60)
        return results
      end
      local sender = task.detach(function() inbox.store(receipt, lane) end)
      support.wait("the commit", function() return is_stored end)
      sender:cancel()
      await(rows()[1].id, "completed")
      assert.equal(1, #runs)
      support.wait("the lane to hold nothing", function() return lane.held == 0 and lane.bytes == 0 end)
    end)


    it("hold nothing of an event that was not stored", function()
      store.transaction = function()
        store.transaction = real.transaction
        return nil, "as the spec wants it", "unavailable"
      end
      assert.is_nil((inbox.store(receipt, lane)))
      support.wait("the lane to hold nothing", function() return lane.held == 0 and lane.bytes == 0 end)
      assert.same({}, rows())
      support.wait("the lane to rest", function() return not lane:is_busy() end)
    end)
  end)
end)
