local service = require "spec.support.service"
local task = require "tide.task"
local time = require "tide.time"
local webhooks = require "spec.support.webhooks"

local TABLES = [[
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('calls', 0);
]]

local SHOP = [[
local ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
local function increment(tx)
  local value = tx.query("SELECT value FROM counters WHERE name = 'calls'")[1].value
  tx.query("UPDATE counters SET value = $1 WHERE name = 'calls'", value + 1)
  return value + 1
end
local operations = {
  increment = function(ctx, input)
    for _ = 1, input.times do ctx.db.transaction(increment) end
  end,
  hang = function(ctx)
    ctx.db.transaction(function(tx)
      increment(tx)
      ctx.log.info("inside")
      tx.query(ENDLESS)
    end)
  end,
  runaway = function(ctx) return ctx.db.query(ENDLESS) end,
  value = function(ctx) return ctx.db.query("SELECT value FROM counters")[1].value end,
  ping = function() return "pong" end,
}
local definitions = {}
for name, run in pairs(operations) do
  definitions[name] = { run = run, mock = run, input = { type = "object", additionalProperties = true } }
end
return { config = { base_url = "https://shop.example", max_retries = 0, circuit_breaker_failure_threshold = 1 },
  operations = definitions }
]]


describe("the project's database in a service", function()
  local project

  before_each(function()
    project = service.project {
      ["config.lua"] = "return { db_transaction_seconds = 1 }",
      ["providers/shop.lua"] = SHOP,
      ["migrations/001_counters.sql"] = TABLES,
    }
  end)

  after_each(function()
    project:close()
  end)


  local function call(running, operation, input)
    local status, body = running:call("shop", operation, input)
    assert.equal(200, status, body and body.detail)
    return body.data
  end


  it("loses no increment of transactions on several workers", function()
    local running = project:serve { workers = 2 }
    local calls = {}
    for index = 1, 10 do
      calls[index] = function() return call(running, "increment", { times = 100 }) end
    end
    task.all(calls, { limit = 10 })
    assert.equal(1000, call(running, "value"))
    assert.equal(0, running:stop())
  end)


  it("has nothing of a transaction in which the process was killed, and all of those before", function()
    local running = project:serve()
    call(running, "increment", { times = 3 })
    local guard <close> = task.spawn(running.call, running, "shop", "hang")
    service.wait("the transaction", function() return running:stdout():find('"inside"', 1, true) end)
    running:stop("KILL")
    running = project:serve()
    assert.equal(3, call(running, "value"))
    call(running, "increment", { times = 1 })
    assert.equal(4, call(running, "value"))
    assert.equal(0, running:stop())
  end)


  it("answers other calls while a query runs away, which is stopped and opens no breaker", function()
    local running = project:serve()
    local guard <close> = task.spawn(function()
      for _ = 1, 3 do
        running:call("shop", "runaway")
      end
    end)
    local started, slowest = time.monotonic(), 0
    while time.monotonic() - started < 0.5 do
      local before = time.monotonic()
      call(running, "ping")
      slowest = math.max(slowest, time.monotonic() - before)
    end
    assert(slowest < 0.4, "a call took " .. slowest .. " s")
    local status, body = running:call("shop", "runaway")
    assert.equal(504, status)
    assert.equal("timeout", body.code)
    assert.equal("db", body.policy)
    assert.equal(0, call(running, "value"))
    assert.equal(0, running:stop())
  end)


  it("rolls back what is open when the service stops", function()
    local running = project:serve()
    local guard <close> = task.spawn(running.call, running, "shop", "hang")
    service.wait("the transaction", function() return running:stdout():find('"inside"', 1, true) end)
    assert.equal(0, running:stop())
    running = project:serve()
    assert.equal(0, call(running, "value"))
    assert.equal(0, running:stop())
  end)


  it("is brought up to date at the start and by `tidegate migrate`, and by neither twice", function()
    local running = project:serve()
    service.wait("the log", function() return running:stdout():find('"project_migrations_applied":1', 1, true) end)
    assert.equal(0, running:stop())
    project:write("migrations/002_more.sql", "INSERT INTO counters VALUES ('more', 7)")
    local code, out = project:run({ "migrate", "--json" })
    assert.equal(0, code)
    assert.matches('"project":1', out)
    running = project:serve()
    service.wait("the log", function() return running:stdout():find('"project_migrations_applied":0', 1, true) end)
    assert.equal(0, running:stop())
  end)


  it("does not start with a migration that fails, and says which and where", function()
    project:write("migrations/002_wrong.sql", "SELECT 1;\nCREATE MISTAKE")
    local code, _, err = project:run({ "serve", "--listen", "127.0.0.1:0" })
    assert.equal(1, code)
    assert.matches("migration 002_wrong of project: line 2: ", err)
  end)


  it("is not made for a project without migrations", function()
    local bare = service.project { ["providers/shop.lua"] = SHOP }
    local guard <close> = setmetatable({}, { __close = function() bare:close() end })
    local running = bare:serve()
    local status, body = running:call("shop", "value")
    assert.equal(503, status)
    assert.equal("not_configured", body.code)
    assert.is_false(bare:exists("var/project.db"))
    assert.equal(0, running:stop())
  end)


  it("is checked for misnamed files", function()
    project:write("migrations/next.sql", "SELECT 1")
    local code, out, err = project:run({ "check" })
    assert.equal(1, code)
    assert.matches("migrations/next%.sql: name it NNN_name%.sql", out .. err)
    local refused, _, why = project:run({ "serve", "--listen", "127.0.0.1:0" })
    assert.equal(1, refused)
    assert.matches("migrations/next%.sql: name it NNN_name%.sql", why)
  end)


  it("is checked for faults in the SQL, and is not touched by that", function()
    assert.equal(0, (project:run({ "check" })))
    project:write("migrations/002_wrong.sql", "INSERT INTO counters VALUES ('x', 1);\nUPDATE absent SET a = 1")
    local code, out, err = project:run({ "check" })
    assert.equal(1, code)
    assert.matches("migrations/002_wrong%.sql:2: no such table: absent", out .. err)
    assert.is_false(project:exists("var/project.db"))
  end)


  it("is there for `tidegate call` without a service", function()
    local code, out = project:run({ "call", "shop", "value", "--json" })
    assert.equal(0, code)
    assert.matches("0", out)
  end)
end)


describe("the transaction of a webhook handler in a service", function()
  local acme

  local HANDLERS = [[
    ["count"] = function(ctx, event)
      local value = ctx.db.transaction(function(tx)
        return tx.query("UPDATE counters SET value = value + 1 RETURNING value")[1].value
      end)
      ctx.log.info("committed " .. event.attempt)
      if event.attempt < event.payload.good then
        if event.payload.sleep then ctx.sleep(30) end
        error("not yet")
      end
      return { value = value, attempt = event.attempt }
    end,
    ["value"] = function(ctx) return ctx.db.query("SELECT value FROM counters")[1].value end,
  ]]

  before_each(function()
    acme = webhooks.start({ ["providers/acme.lua"] = webhooks.provider(HANDLERS),
      ["migrations/001_counters.sql"] = TABLES }, { config = "webhook_retry_seconds = { 0.05, 0.05, 0.05 }" })
  end)

  after_each(function()
    acme:close()
  end)


  local function value(id)
    return acme:await(acme:post { type = "value", id = id }, "completed").processing_result
  end


  it("is done once although the handler fails after it, and its result is kept with the event", function()
    local event = acme:await(acme:post { type = "count", id = "c1", good = 3 }, "completed")
    assert.same({ value = 1, attempt = 3 }, event.processing_result)
    assert.equal(1, event.transaction_result)
    assert.equal(1, value("v1"))
  end)


  it("is done once although the process is killed between its commit and the end of the event", function()
    local id = acme:post { type = "count", id = "c1", good = 2, sleep = true }
    service.wait("the commit", function() return acme.service:stdout():find("committed 1", 1, true) end)
    acme.service:stop("KILL")
    acme:restart()
    assert.same({ value = 1, attempt = 2 }, acme:await(id, "completed").processing_result)
    assert.equal(1, value("v1"))
  end)


  it("is done once however often the event is run again by hand", function()
    local id = acme:post { type = "count", id = "c1", good = 1 }
    acme:await(id, "completed")
    for attempt = 2, 3 do
      assert.equal(200, acme.service:request("POST", "/api/v1/events/" .. id .. "/retry"))
      service.wait("the next run", function() return acme:event(id).attempts == attempt end)
      assert.same({ value = 1, attempt = attempt }, acme:await(id, "completed").processing_result)
    end
    assert.equal(1, value("v1"))
  end)
end)
