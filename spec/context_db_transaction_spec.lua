-- ctx.db.transaction: in operations, and once per event in webhook handlers.

local tables = require "spec.support.project_tables"
local context_db = require "tide.context.db"
local database = require "tide.database"
local markers = require "tide.markers"
local t = require "tide.test"
local task = require "tide.task"
local time = require "tide.time"


describe("ctx.db.transaction", function()
  local folder, remove

  setup(function()
    folder, remove = tables.folder()
  end)

  teardown(function()
    remove()
  end)


  local function acme(body, options)
    return tables.acme(folder, body, options)
  end


  local function run(body, input, options)
    return acme(body, options).call("act", input)
  end


  local function assert_error(code, pattern, body, input, options)
    return tables.failure(code, pattern, run, body, input, options)
  end


  it("commits what it did and returns what the function returned", function()
    assert.same({ { a = 1 }, 2 }, run [[
      local value = ctx.db.transaction(function(tx)
        tx.query("INSERT INTO parcels (code) VALUES ('a')")
        tx.query("INSERT INTO parcels (code) VALUES ('b')")
        return { a = 1 }
      end)
      return { value, ctx.db.query("SELECT count(*) AS n FROM parcels")[1].n }
    ]])
  end)


  it("sees its own writes before others do", function()
    local runtime = acme [[return ctx.db.query("SELECT count(*) AS n FROM parcels")[1].n]]
    local guard <close> = assert(runtime.generation.database:begin(5))
    assert(guard:query("INSERT INTO parcels (code) VALUES ('a')"))
    assert.equal(1, guard:query("SELECT count(*) AS n FROM parcels")[1].n)
    assert.equal(0, runtime.call("act"))
    assert(guard:commit())
    assert.equal(1, runtime.call("act"))
  end)


  it("rolls back and raises on whatever the function raises", function()
    local err = assert_error("rejected", "", [[
      local ok, err = pcall(ctx.db.transaction, function(tx)
        tx.query("INSERT INTO parcels (code) VALUES ('a')")
        fail("rejected", "no", { pointer = "/x" })
      end)
      if #ctx.db.query("SELECT * FROM parcels") > 0 then fail("conflict") end
      error(err, 0)
    ]])
    assert.equal("/x", err.pointer)
  end)


  it("rolls back when the function returns nil and an error", function()
    assert_error("not_found", "", [[
      ctx.db.transaction(function(tx)
        tx.query("UPDATE counters SET value = 7")
        local made, err = pcall(fail, "not_found")
        return nil, err
      end)
    ]])
  end)


  it("goes on after a statement that failed and was caught", function()
    assert.same({ "a", "c" }, run [[
      ctx.db.transaction(function(tx)
        tx.query("INSERT INTO parcels (code) VALUES ('a')")
        local ok, err = pcall(tx.query, "INSERT INTO parcels (code) VALUES ('b'), ('a')")
        assert(not ok and err.constraint)
        tx.query("INSERT INTO parcels (code) VALUES ('c')")
      end)
      local codes = {}
      for _, row in ipairs(ctx.db.query("SELECT code FROM parcels ORDER BY id")) do codes[#codes + 1] = row.code end
      return codes
    ]])
  end)


  it("is over with ON CONFLICT ROLLBACK", function()
    assert_error("script_error", "UNIQUE constraint failed", [[
      ctx.db.transaction(function(tx)
        tx.query("INSERT INTO parcels (code) VALUES ('a')")
        pcall(tx.query, "INSERT OR ROLLBACK INTO parcels (code) VALUES ('a')")
        tx.query("INSERT INTO parcels (code) VALUES ('c')")
      end)
    ]])
  end)


  it("fails at the commit when a deferred constraint is violated", function()
    local err = assert_error("script_error", "FOREIGN KEY constraint failed", [[
      local ok, err = pcall(ctx.db.transaction, function(tx)
        tx.query("INSERT INTO moves VALUES (77)")
      end)
      if #ctx.db.query("SELECT * FROM moves") > 0 then fail("conflict") end
      error(err, 0)
    ]])
    assert.is_true(err.constraint)
  end)


  it("lets nothing else wait inside", function()
    for _, way in ipairs {
      "ctx.http.get('/x')", "ctx.http.request('GET', '/x')", "ctx.call('acme', 'other')", "ctx.all {}",
      "ctx.sleep(0)", "ctx.db.query('SELECT 1')", "ctx.cache.fetch('k', 1, function() end)",
      "ctx.db.transaction(function() end)",
    } do
      local err = assert_error("script_error",
        "acme%.lua:%d+: ctx%.[%w_.]+: inside a transaction only tx.query may wait",
        ("ctx.db.transaction(function(tx) %s end)"):format(way))
      assert(err.message:find(way:match("^ctx%.%w+"), 1, true), err.message)
    end
  end)


  it("lets the other branches of the call wait meanwhile", function()
    local runtime = acme [[
      ctx.all {
        function() ctx.db.transaction(function(tx) for _ = 1, 50 do tx.query("SELECT 1") end end) end,
        function() for _ = 1, 5 do ctx.http.get("/x") end end,
      }
    ]]
    runtime.upstream("GET /x", { json = {} })
    runtime.call("act")
    assert.equal(5, #runtime.requests)
  end)


  it("lets the call wait again afterwards, however it ended", function()
    run [[
      ctx.db.transaction(function() end)
      pcall(ctx.db.transaction, function() error("x") end)
      ctx.sleep(1)
    ]]
  end)


  it("gives a tx that is of no use afterwards, and no other members", function()
    assert_error("script_error", "tx.query: the transaction has ended", [[
      local kept
      ctx.db.transaction(function(tx) kept = tx end)
      kept.query("SELECT 1")
    ]])
    assert.same({ "query" }, run [[
      local names = {}
      ctx.db.transaction(function(tx) for name in pairs(tx) do names[#names + 1] = name end end)
      return names
    ]])
  end)


  it("is rolled back past its time, and says so ever after", function()
    local runtime = acme [[
      local ok, err
      local began = pcall(ctx.db.transaction, function(tx)
        tx.query("INSERT INTO parcels (code) VALUES ('a')")
        ok, err = pcall(tx.query, ENDLESS)
        tx.query("INSERT INTO parcels (code) VALUES ('b')")
      end)
      local again, second = pcall(ctx.db.transaction, function(tx)
        pcall(tx.query, ENDLESS)
        return "would commit"
      end)
      return { ok, err.code, began, again, second.code, #ctx.db.query("SELECT * FROM parcels") }
    ]]
    runtime.generation.config.db_transaction_seconds = 0.15
    assert.same({ false, "timeout", false, false, "timeout", 0 }, runtime.call("act"))
  end)


  it("is rolled back with the call that made it", function()
    local runtime = acme([[
      if input.count then return ctx.db.query("SELECT count(*) AS n FROM parcels")[1].n end
      ctx.db.transaction(function(tx)
        tx.query("INSERT INTO parcels (code) VALUES ('a')")
        tx.query(ENDLESS)
      end)
    ]], { clock = "real" })
    local ok, err = pcall(runtime.call, "act", {}, { timeout_ms = 100 })
    assert.is_false(ok)
    assert.equal("timeout", err.code)
    assert.equal(0, runtime.call("act", { count = true }))
    assert.equal(1, select(2, runtime.generation.database:query(1, "INSERT INTO parcels (code) VALUES ('b')")))
  end)


  it("waits for its turn", function()
    local runtime = acme [[
      ctx.db.transaction(function(tx)
        local value = tx.query("SELECT value FROM counters WHERE name = 'calls'")[1].value
        tx.query("UPDATE counters SET value = $1 WHERE name = 'calls'", value + 1)
      end)
    ]]
    local calls = {}
    for index = 1, 50 do
      calls[index] = function() return runtime.call("act") end
    end
    t.all(calls)
    assert.equal(50, runtime.generation.database:query(5, "SELECT value FROM counters")[1].value)
  end)


  it("refuses what is no function", function()
    assert_error("script_error", "expects a function, got string", [[ctx.db.transaction("SELECT 1")]])
  end)


  it("stops a script that runs away inside of it", function()
    assert_error("script_timeout", "ran for more than", [[
      ctx.db.transaction(function(tx) tx.query("UPDATE counters SET value = 9") while true do end end)
    ]])
  end)


  it("leaves no operation open when a task is cancelled at any point of a transaction", function()
    local runtime = acme [[
      return ctx.db.transaction(function(tx)
        tx.query("UPDATE counters SET value = value + 1")
        tx.query("UPDATE counters SET value = value + 1")
      end)
    ]]
    for turns = 0, 12 do
      local work = task.spawn(runtime.call, "act")
      for _ = 1, turns do
        task.yield()
      end
      work:cancel()
    end
    local rows = runtime.generation.database:query(5, "SELECT value FROM counters")
    assert.equal(0, rows[1].value % 2)
  end)


  describe("a transaction of a webhook handler", function()
    local runtime

    before_each(function()
      runtime = acme("")
    end)

    -- One run of the event's handler: fn(db). What it returned, and the event.
    local function handle(id, fn)
      local call = { generation = runtime.generation, effects = 0, event = { id = id, transactions = 0 } }
      return fn(context_db.new(call)), call.event
    end


    local function value()
      return runtime.generation.database:query(5, "SELECT value FROM counters")[1].value
    end


    local function increment(tx)
      tx.query("UPDATE counters SET value = value + 1")
      return { value = tx.query("SELECT value FROM counters")[1].value }
    end


    it("is done once, whatever becomes of the runs of its event, and always returns the same", function()
      for run_number = 1, 3 do
        local ok, result, event = pcall(handle, "e1", function(db)
          local first = db.transaction(increment)
          if run_number == 1 then
            error("the rest of the handler fails", 0)
          end
          local second = db.transaction(increment)
          return { first, second }
        end)
        assert.equal(run_number > 1, ok)
        if ok then
          assert.same({ { value = 1 }, { value = 2 } }, result)
          assert.equal('{"value":2}', event.transaction_result)
          assert.equal(2, event.transactions)
        end
      end
      assert.equal(2, value())
    end)


    it("is another one for another event", function()
      handle("e1", function(db) return db.transaction(increment) end)
      handle("e2", function(db) return db.transaction(increment) end)
      assert.equal(2, value())
    end)


    it("runs again when it failed, and keeps its number", function()
      for run_number = 1, 2 do
        handle("e1", function(db)
          pcall(db.transaction, function(tx)
            increment(tx)
            assert(run_number == 2)
          end)
          return db.transaction(increment)
        end)
      end
      assert.equal(2, value())
    end)


    it("keeps every result that JSON can hold, nil too", function()
      local results = { 1, 1.5, true, false, "x", { 1, 2 }, { a = { b = 1 } } }
      for _ = 1, 2 do
        handle("e1", function(db)
          for _, result in ipairs(results) do
            assert.same(result, db.transaction(function() return result end))
          end
          assert.is_nil(db.transaction(function() end))
        end)
      end
    end)


    it("is rolled back when its result cannot be kept", function()
      for _, bad in ipairs { print, { f = print }, 0 / 0, ("x"):rep(1024 * 1024) } do
        local ok, err = pcall(handle, "e1", function(db)
          return db.transaction(function(tx)
            increment(tx)
            return bad
          end)
        end)
        assert.is_false(ok)
        assert.matches("in a webhook handler its result is kept", tostring(err))
      end
      assert.equal(0, value())
    end)


    it("does not run twice side by side", function()
      local calls = {}
      for index = 1, 10 do
        calls[index] = function() return (handle("e1", function(db) return db.transaction(increment) end)) end
      end
      for _, result in ipairs(task.all(calls, { limit = 10 })) do
        assert.same({ value = 1 }, result)
      end
      assert.equal(1, value())
    end)


    it("is forgotten with its time, in chunks", function()
      local shared = database.shared
      local guard <close> = setmetatable({}, { __close = function() database.shared = shared end })
      database.shared = function() return runtime.generation.database end
      for index = 1, 1200 do
        handle("e" .. index, function(db) return db.transaction(function() end) end)
      end
      assert.equal(0, markers.forget_before(time.format(time.now() - 3600)))
      assert.equal(1200, markers.forget_before(time.format(time.now() + 3600)))
      assert.equal(0, markers.forget_before(time.format(time.now() + 3600)))
    end)


    it("is done once in the runs of an event that a spec sends again", function()
      local acme_hook = t.integration("acme", { migrations = folder, secrets = { webhook_secret = "whsec_x12345678" },
        source = [[
          return { webhooks = {
            signature = { scheme = "hmac-sha256", header = "X-A" }, event_type = "type", event_id = "id",
            on = { count = function(ctx, event)
              local value = ctx.db.transaction(function(tx)
                return tx.query("UPDATE counters SET value = value + 1 RETURNING value")[1].value
              end)
              if event.attempt == 1 then error("after the commit") end
              return value
            end },
          } }
        ]] })
      assert.equal("pending", acme_hook.webhook(nil, { type = "count", id = "1" }).status)
      assert.equal(1, acme_hook.webhook(nil, { type = "count", id = "1" }, { attempt = 2 }).processing_result)
      assert.equal(2, acme_hook.webhook(nil, { type = "count", id = "2" }, { attempt = 2 }).processing_result)
    end)
  end)
end)
