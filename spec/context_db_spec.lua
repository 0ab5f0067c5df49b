local context_db = require "tide.context_db"
local database = require "tide.database"
local errors = require "tide.errors"
local host = require "tide.host"
local markers = require "tide.markers"
local t = require "tide.test"
local task = require "tide.task"
local time = require "tide.time"

local TABLES = [[
CREATE TABLE parcels (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  code TEXT UNIQUE,
  weight REAL,
  raw BLOB
);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL CHECK (value >= 0));
CREATE TABLE moves (parcel INTEGER NOT NULL REFERENCES parcels (id) DEFERRABLE INITIALLY DEFERRED);
CREATE VIRTUAL TABLE notes USING fts5 (body);
CREATE VIEW spied AS SELECT event_id FROM tidegate_transactions;
INSERT INTO counters VALUES ('calls', 0);
]]

local ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

local SOURCE = [[
local json = require "tide.json"
local fail = require "tide.fail"
local ENDLESS = %q
return {
  config = { base_url = "https://api.acme.example", max_retries = 2, total_timeout_seconds = 30 },
  operations = {
    act = { input = { type = "object", additionalProperties = true }, %s
      run = function(ctx, input) %s end, mock = function() return 1 end },
    other = { run = function() return 1 end, mock = function() return 1 end },
  },
}
]]


describe("ctx.db", function()
  local folder

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(host.make_directory(folder, 448))
    assert(host.write_file(folder .. "/001_tables.sql", TABLES, 384))
  end)

  teardown(function()
    os.execute("rm -r " .. folder)
  end)


  -- A runtime whose operation `act` has this body.
  local function acme(body, options)
    options = options or {}
    return t.integration("acme", {
      source = SOURCE:format(ENDLESS, options.operation or "", body), config = options.config,
      migrations = options.migrations or folder,
    })
  end


  local function run(body, input, options)
    return acme(body, options).call("act", input)
  end


  local function failure(body, input, options)
    local ok, err = pcall(run, body, input, options)
    assert.is_false(ok)
    assert(errors.is(err), tostring(err))
    return err
  end


  local function assert_error(code, pattern, body, input, options)
    local err = failure(body, input, options)
    assert.equal(code, err.code, tostring(err))
    assert.matches(pattern, err.message)
    return err
  end


  describe("query", function()
    it("returns rows as tables by column, and how many rows were changed", function()
      assert.same({ { id = 1, code = "A" }, 1, 0 }, run [[
        local _, changes = ctx.db.query("INSERT INTO parcels (code) VALUES ($1)", "A")
        local rows, none = ctx.db.query("SELECT id, code, weight FROM parcels WHERE code = $1", "A")
        return { rows[1], changes, none }
      ]])
    end)


    it("takes parameters by number, in any order and repeated", function()
      assert.same({ a = 1, b = 2, c = 1 }, run [[return ctx.db.query("SELECT $2 AS b, $1 AS a, $1 AS c", 1, 2)[1] ]])
    end)


    it("keeps integers, floats, booleans, texts, nulls and bytes", function()
      assert.same({ "integer", 9007199254740993, "real", 0.1, "integer", 1, "text", "한글\0x", "null", false, "null",
        false, "blob", 3 }, run [[
        local row = ctx.db.query("SELECT typeof($1) a, $1 b, typeof($2) c, $2 d, typeof($3) e, $3 f, typeof($4) g, "
          .. "$4 h, typeof($5) i, $5 j, typeof($6) k, $6 l, typeof($7) m, length($7) n", 9007199254740993, 0.1, true,
          "한글\0x", nil, json.null, ctx.db.blob("a\0b"))[1]
        return { row.a, row.b, row.c, row.d, row.e, row.f, row.g, row.h, row.i, row.j or false, row.k, row.l or false,
          row.m, row.n }
      ]])
    end)


    it("returns what RETURNING says", function()
      assert.same({ { id = 1 }, { id = 2 } }, run [[
        return ctx.db.query("INSERT INTO parcels (code) VALUES ('a'), ('b') RETURNING id")
      ]])
    end)


    it("finds out by itself that a WITH writes", function()
      assert.same({ 1, "x" }, run [[
        local _, changes = ctx.db.query("WITH c (code) AS (SELECT 'x') INSERT INTO parcels (code) SELECT code FROM c")
        return { changes, ctx.db.query("SELECT code FROM parcels")[1].code }
      ]])
    end)


    it("has JSON and full-text search", function()
      assert.same({ 6, "tide [gate]" }, run [[
        local sum = ctx.db.query("SELECT sum(value) AS sum FROM json_each($1)", "[1,2,3]")[1].sum
        ctx.db.query("INSERT INTO notes VALUES ('tide gate'), ('sea wall')")
        local found = ctx.db.query("SELECT highlight(notes, 0, '[', ']') AS text FROM notes WHERE notes MATCH 'gate'")
        return { sum, found[1].text }
      ]])
    end)


    it("is empty in each runtime of a spec", function()
      for _ = 1, 2 do
        assert.equal(1, run [[return select(2, ctx.db.query("INSERT INTO parcels (code) VALUES ('same')"))]])
      end
    end)


    it("names the script's line and the fault of the SQL", function()
      assert_error("script_error", "^providers/acme%.lua:%d+: ctx%.db%.query: no such table: absent$",
        [[ctx.db.query("SELECT * FROM absent")]])
      assert_error("script_error", "parameters are written %$1", [[ctx.db.query("SELECT ?", 1)]])
      assert_error("script_error", "write CAST", [[ctx.db.query("SELECT $1::text", 1)]])
      assert_error("script_error", "one statement a call", [[ctx.db.query("SELECT 1; SELECT 2")]])
      assert_error("script_error", "has 2 parameters and was given 1", [[ctx.db.query("SELECT $1, $2", 1)]])
    end)


    it("tells a violated constraint from other faults", function()
      local err = assert_error("script_error", "UNIQUE constraint failed", [[
        ctx.db.query("INSERT INTO parcels (code) VALUES ('a')")
        ctx.db.query("INSERT INTO parcels (code) VALUES ('a')")
      ]])
      assert.is_true(err.constraint)
      assert.is_nil(failure([[ctx.db.query("SELECT")]]).constraint)
    end)


    it("refuses values that it could not keep", function()
      assert_error("script_error", "acme%.lua:%d+: ctx%.db%.query: %$2 is a table",
        [[ctx.db.query("SELECT $1, $2", 1, {})]])
      assert_error("script_error", "%$1 is not a number", [[ctx.db.query("SELECT $1", 0 / 0)]])
      assert_error("script_error", "SQL must be a string, got nil", [[ctx.db.query()]])
      assert_error("script_error", "expects a string, got number", [[ctx.db.blob(1)]])
    end)


    it("refuses results of more than 10,000 rows or 8 MB", function()
      local many = [[ctx.db.query("WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $1) "
        .. "SELECT x FROM n", %d)]]
      assert.equal(10000, run("return #" .. many:format(10000)))
      assert_error("script_error", "exceeds 10000 rows", many:format(10001))
      assert_error("script_error", "8 MB", [[ctx.db.query("SELECT zeroblob(9000000) AS z")]])
    end)


    it("is stopped at its limit, which is no failure of the upstream", function()
      local runtime = acme([[return ctx.db.query(ENDLESS)]])
      runtime.generation.config.db_transaction_seconds = 0.2
      local ok, err = pcall(runtime.call, "act")
      assert.is_false(ok)
      assert.equal("timeout", err.code)
      assert.equal("db", err.policy)
      assert.matches("ran for too long", err.message)
      assert.equal(1, err.attempts)
      assert.is_true(runtime.generation.integrations.acme.client ~= nil)
    end)


    it("stops with the call that asked", function()
      local runtime = t.integration("acme", { source = SOURCE:format(ENDLESS, "", [[return ctx.db.query(ENDLESS)]]),
        migrations = folder, clock = "real", config = { total_timeout_seconds = 1 } })
      local ok, err = pcall(runtime.call, "act", {}, { timeout_ms = 100 })
      assert.is_false(ok)
      assert.equal("timeout", err.code)
      assert.equal("deadline", err.policy)
    end)


    it("says what to do when the project has no tables", function()
      assert_error("not_configured", "migrations/001_name%.sql", [[ctx.db.query("SELECT 1")]], nil,
        { migrations = folder .. "/none" })
    end)


    it("may not wait in a fallback", function()
      local err = assert_error("script_error", "out", [[fail("script_error", "out")]], nil,
        { operation = "fallback = function(ctx) return ctx.db.query('SELECT 1') end," })
      assert.equal("script_error", err.code)
    end)


    it("counts a write as something that must not be done again unasked", function()
      local writes = acme([[
        ctx.db.query("UPDATE counters SET value = value + 1")
        ctx.http.get("/x")
      ]])
      writes.upstream("GET /x", { status = 503 })
      assert.is_false(pcall(writes.call, "act"))
      assert.equal(1, #writes.requests)
      local reads = acme([[
        ctx.db.query("SELECT * FROM counters")
        ctx.http.get("/x")
      ]])
      reads.upstream("GET /x", { status = 503 })
      assert.is_false(pcall(reads.call, "act"))
      assert.equal(3, #reads.requests)
    end)
  end)


  describe("the fence", function()
    local REFUSED = {
      ["SELECT * FROM tidegate_transactions"] = "tidegate_transactions is not one of the project's",
      ["SELECT * FROM main.TIDEGATE_transactions"] = "is not one of the project's",
      ["SELECT * FROM spied"] = "tidegate_transactions is not one of the project's",
      ["INSERT INTO tidegate_transactions VALUES ('a', 1, '', '')"] = "is not one of the project's",
      ["DELETE FROM schema_migrations"] = "is not one of the project's",
      ["SELECT sql FROM sqlite_schema"] = "is not one of the project's",
      ["SELECT * FROM sqlite_sequence"] = "is not one of the project's",
      ["UPDATE sqlite_schema SET sql = ''"] = "may not be modified",
      ["SELECT * FROM pragma_table_info('parcels')"] = "is not one of the project's",
      ["SELECT * FROM dbstat"] = "is not one of the project's",
      ["SELECT load_extension('x')"] = "not authorized to use function: load_extension",
      ["SELECT fts3_tokenizer('simple')"] = "fts3_tokenizer",
      ["SELECT sqlite_compileoption_get(1)"] = "not authorized to use function",
      ["PRAGMA journal_mode = DELETE"] = "PRAGMA is not for scripts",
      ["PRAGMA synchronous = OFF"] = "PRAGMA is not for scripts",
      ["ATTACH 'other.db' AS other"] = "ATTACH",
      ["VACUUM INTO 'copy.db'"] = "VACUUM",
      ["CREATE TABLE t (a)"] = "migrations/NNN_name.sql",
      ["CREATE TEMP TABLE t (a)"] = "migrations/NNN_name.sql",
      ["CREATE TRIGGER x AFTER INSERT ON parcels BEGIN SELECT 1; END"] = "one statement a call",
      ["CREATE VIRTUAL TABLE v USING dbstat"] = "migrations/NNN_name.sql",
      ["ALTER TABLE parcels ADD COLUMN x"] = "migrations/NNN_name.sql",
      ["DROP TABLE parcels"] = "migrations/NNN_name.sql",
      ["DROP VIEW spied"] = "migrations/NNN_name.sql",
      ["REINDEX"] = "migrations/NNN_name.sql",
      ["ANALYZE"] = "migrations/NNN_name.sql",
      ["BEGIN"] = "ctx.db.transaction",
      ["COMMIT"] = "ctx.db.transaction",
      ["SAVEPOINT s"] = "ctx.db.transaction",
      ["EXPLAIN SELECT * FROM tidegate_transactions"] = "is not one of the project's",
    }


    it("refuses everything but SELECT, INSERT, UPDATE and DELETE on the project's tables", function()
      local runtime = acme [[
        local list = {}
        for index, sql in ipairs(input.list) do
          local _, alone = pcall(ctx.db.query, sql)
          local _, inside = pcall(ctx.db.transaction, function(tx) tx.query(sql) end)
          list[index] = { alone.message, inside.message }
        end
        return list
      ]]
      local list = {}
      for sql in pairs(REFUSED) do
        list[#list + 1] = sql
      end
      for index, messages in ipairs(runtime.call("act", { list = list })) do
        for _, message in ipairs(messages) do
          assert(message:find(REFUSED[list[index]], 1, true), list[index] .. ": " .. message)
        end
      end
    end)


    it("does not give a script the framework's own prepared statement", function()
      local sql = "SELECT result FROM tidegate_transactions WHERE event_id = $1 AND number = $2"
      local runtime = acme [[ctx.db.transaction(function(tx) tx.query(input.sql, "a", 1) end)]]
      local own = assert(runtime.generation.database:begin(5, sql, "a", 1))
      own:rollback()
      local ok, err = pcall(runtime.call, "act", { sql = sql })
      assert.is_false(ok)
      assert.matches("is not one of the project's", err.message)
    end)
  end)


  describe("transaction", function()
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
      local err = failure [[
        local ok, err = pcall(ctx.db.transaction, function(tx)
          tx.query("INSERT INTO parcels (code) VALUES ('a')")
          fail("rejected", "no", { pointer = "/x" })
        end)
        if #ctx.db.query("SELECT * FROM parcels") > 0 then fail("conflict") end
        error(err, 0)
      ]]
      assert.equal("rejected", err.code)
      assert.equal("/x", err.pointer)
    end)


    it("rolls back when the function returns nil and an error", function()
      assert.equal("not_found", failure([[
        ctx.db.transaction(function(tx)
          tx.query("UPDATE counters SET value = 7")
          local made, err = pcall(fail, "not_found")
          return nil, err
        end)
      ]]).code)
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
      local runtime = t.integration("acme", { migrations = folder, clock = "real",
        source = SOURCE:format(ENDLESS, "", [[
          if input.count then return ctx.db.query("SELECT count(*) AS n FROM parcels")[1].n end
          ctx.db.transaction(function(tx)
            tx.query("INSERT INTO parcels (code) VALUES ('a')")
            tx.query(ENDLESS)
          end)
        ]]) })
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


  describe("migrations", function()
    local files

    local function integration(list)
      files = os.tmpname()
      os.remove(files)
      assert(host.make_directory(files, 448))
      for name, text in pairs(list) do
        assert(host.write_file(files .. "/" .. name, text, 384))
      end
      return acme([[return ctx.db.query("SELECT name FROM names ORDER BY name")]], { migrations = files })
    end

    after_each(function()
      os.execute("rm -r " .. files)
    end)


    it("run in the order of their numbers, those of this database in place of the general ones", function()
      assert.same({ { name = "first" }, { name = "sqlite" } }, integration({
        ["002_rows.sql"] = "INSERT INTO names VALUES ('first')",
        ["1_tables.sql"] = "CREATE TABLE names (name TEXT)",
        ["10_more.sql"] = "INSERT INTO names VALUES ('general')",
        ["10_more.sqlite.sql"] = "INSERT INTO names VALUES ('sqlite')",
        ["11_other.postgres.sql"] = "INSERT INTO names VALUES ('postgres')",
        ["README.md"] = "not SQL",
      }).call("act"))
    end)


    local FAULTS = {
      ["misnamed.sql"] = { {}, "misnamed%.sql: name it NNN_name%.sql" },
      ["002_a.mysql.sql"] = { {}, "002_a%.mysql%.sql: name it" },
      ["000_a.sql"] = { {}, "000_a%.sql: name it" },
      ["001_b.sql"] = { { ["01_a.sql"] = "" }, "has the number 1, too" },
      ["003_x.sql"] = { {}, "migration 003_x of project: line 2: ", "SELECT 1;\nCREATE SOMETHING" },
      ["004_x.sql"] = { {}, "PRAGMA", "PRAGMA user_version = 1" },
      ["005_x.sql"] = { {}, "temporary", "CREATE TEMP TABLE t (a)" },
      ["006_x.sql"] = { {}, "fts5 and rtree", "CREATE VIRTUAL TABLE t USING fts4 (a)" },
      ["007_x.sql"] = { {}, "tidegate_transactions is not one of the project's", "DROP TABLE tidegate_transactions" },
      ["008_x.sql"] = { {}, "tidegate_mine is not one of the project's", "CREATE TABLE tidegate_mine (a)" },
      ["009_x.sql"] = { {}, "load_extension", "SELECT load_extension('x')" },
      ["010_x.sql"] = { {}, "one transaction", "COMMIT" },
    }
    for name, fault in pairs(FAULTS) do
      it("refuses " .. name .. " because of its " .. (fault[3] and "text" or "name"), function()
        local list = fault[1]
        list[name] = fault[3] or "SELECT 1"
        local ok, err = pcall(integration, list)
        assert.is_false(ok)
        assert.matches(fault[2], tostring(err))
      end)
    end
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
end)
