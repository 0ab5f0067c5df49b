-- ctx.db.query, and what scripts may not do on the project's database.

local tables = require "spec.support.project_tables"


describe("ctx.db.query", function()
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
    assert.is_nil(assert_error("script_error", "", [[ctx.db.query("SELECT")]]).constraint)
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


  it("is stopped at its limit, which is no failure of the upstream and not tried again", function()
    local runtime = acme([[
      ctx.http.get("/x")
      return ctx.db.query(ENDLESS)
    ]], { config = { circuit_breaker_failure_threshold = 1 } })
    runtime.generation.config.db_transaction_seconds = 0.2
    runtime.upstream("GET /x", { json = {} })
    for calls = 1, 2 do
      local err = tables.failure("timeout", "ran for too long", runtime.call, "act")
      assert.same({ "db", 1 }, { err.policy, err.attempts })
      assert.equal(calls, #runtime.requests)
    end
  end)


  it("stops with the call that asked", function()
    local runtime = acme([[return ctx.db.query(ENDLESS)]], { clock = "real", config = { total_timeout_seconds = 1 } })
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
    assert.matches("ctx%.db: a fallback may not wait", run([[fail("upstream_error")]], nil, {
      config = { max_retries = 0 },
      operation = "fallback = function(ctx) return select(2, pcall(function() return ctx.db end)) end,",
    }))
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
end)
