local json = require "tide.json"
local store = require "tide.store"
local task = require "tide.task"
local opened = require "spec.support.store"

local INSERT = "INSERT INTO store_spec (id, note) VALUES ($1, $2)"


describe("tide.store", function()
  setup(function()
    opened.open()
    assert(store.execute("CREATE TABLE store_spec (id INTEGER PRIMARY KEY, note TEXT NOT NULL)"))
    assert(store.execute("CREATE TABLE store_spec_values (a, b, c, d, e, f)"))
  end)

  teardown(function()
    assert(store.execute("DROP TABLE store_spec"))
    assert(store.execute("DROP TABLE store_spec_values"))
  end)

  before_each(function()
    assert(store.execute("DELETE FROM store_spec"))
    assert(store.execute("DELETE FROM store_spec_values"))
  end)


  local function count()
    return assert(store.query("SELECT count(*) AS n FROM store_spec"))[1].n
  end


  it("gives values back as it was given them", function()
    assert(store.execute("INSERT INTO store_spec_values VALUES ($1, $2, $3, $4, $5, $6)",
      math.maxinteger, 0.1, "a\0b", store.blob("\xff\0"), true, nil))
    local rows = assert(store.query("SELECT * FROM store_spec_values"))
    assert.same({ { a = math.maxinteger, b = 0.1, c = "a\0b", d = "\xff\0", e = 1 } }, rows)
    assert.equal("integer", math.type(rows[1].a))
    assert.equal("float", math.type(rows[1].b))
  end)


  it("stores blobs as bytes and strings as text", function()
    assert(store.execute("INSERT INTO store_spec_values (a, b, c) VALUES ($1, $2, $3)",
      "text", store.blob("bytes"), store.blob("")))
    local rows = assert(store.query("SELECT typeof(a) AS a, typeof(b) AS b, typeof(c) AS c FROM store_spec_values"))
    assert.same({ { a = "text", b = "blob", c = "blob" } }, rows)
  end)


  it("takes json.null and nil for NULL and leaves NULL out of rows", function()
    assert(store.execute("INSERT INTO store_spec_values (a, b, c) VALUES ($1, $2, $3)", json.null, nil, 1))
    assert.same({ { c = 1 } }, store.query("SELECT * FROM store_spec_values"))
  end)


  it("binds parameters by their number", function()
    assert(store.execute("INSERT INTO store_spec (id, note) VALUES ($2, $1)", "one", 1))
    assert.same({ { id = 1, note = "one" } }, store.query("SELECT * FROM store_spec"))
  end)


  it("tells a duplicate by its changes", function()
    local sql = INSERT .. " ON CONFLICT DO NOTHING"
    assert.equal(1, store.execute(sql, 1, "a").changes)
    assert.equal(0, store.execute(sql, 1, "a").changes)
  end)


  it("returns the rows of RETURNING", function()
    local result = assert(store.execute(INSERT .. " RETURNING id, note", 3, "c"))
    assert.same({ { id = 3, note = "c" } }, result.rows)
  end)


  it("answers an empty list that stays one in JSON", function()
    assert.equal("[]", json.encode(assert(store.query("SELECT * FROM store_spec"))))
  end)


  it("runs a transaction wholly or not at all", function()
    local results = assert(store.transaction({
      { INSERT, 1, "a" },
      { "UPDATE store_spec SET note = $2 WHERE id = $1 AND $3 IS NULL", 1, "b", nil, n = 3 },
    }))
    assert.equal(1, results[1].changes)
    assert.equal(1, results[2].changes)
    local ok, message, code = store.transaction({ { INSERT, 2, "b" }, { INSERT, 1, "again" } })
    assert.is_nil(ok)
    assert.equal("constraint", code)
    assert.matches("UNIQUE", message)
    assert.equal(1, count())
  end)


  it("commits queued rows before a flush returns", function()
    for id = 1, 500 do
      assert.is_true(store.enqueue(INSERT, id, "row"))
    end
    assert.is_true(store.flush())
    assert.equal(500, count())
    assert.equal(0, store.stats().queued_bytes)
  end)


  it("names the fault of a statement", function()
    for _, sql in ipairs({ "nonsense", "SELECT ?", "SELECT $1::text", "SELECT 1; SELECT 2", "", "COMMIT",
      "SELECT $1 FROM store_spec" }) do
      local rows, message, code = store.query(sql)
      assert.is_nil(rows)
      assert.equal("sql", code)
      assert.is_string(message)
    end
  end)


  it("does not let a query write", function()
    local rows, _, code = store.query("DELETE FROM store_spec")
    assert.is_nil(rows)
    assert.equal("sql", code)
  end)


  it("raises for values that no column can hold", function()
    assert.has_error(function() store.execute(INSERT, 1, {}) end)
    assert.has_error(function() store.execute(INSERT, 1, print) end)
    assert.has_error(function() store.query() end)
    assert.has_error(function() store.transaction({}) end)
    assert.has_error(function() store.transaction({ "SELECT 1" }) end)
    assert.has_error(function() store.transaction({ {} }) end)
    assert.has_error(function() store.transaction({ { INSERT, n = 1e9 } }) end)
    assert.has_error(function() store.migrate({ { number = 1 } }, "x") end)
    assert.has_error(function() store.migrate({ { number = 1.5, name = "a", sql = "" } }, "x") end)
    assert.has_error(function() store.blob(1) end)
  end)


  it("takes more values than fit on the stack", function()
    local places, values = {}, {}
    for i = 1, 200 do
      places[i] = "($" .. i .. ", 'x')"
      values[i] = i
    end
    local sql = "INSERT INTO store_spec (id, note) VALUES " .. table.concat(places, ", ")
    assert.equal(200, assert(store.execute(sql, table.unpack(values))).changes)
  end)


  it("refuses a result of more than 10,000 rows", function()
    local rows, message, code = store.query(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10001) SELECT i FROM n")
    assert.is_nil(rows)
    assert.equal("too_large", code)
    assert.matches("LIMIT", message)
  end)


  it("applies each migration once and refuses a database that is newer", function()
    local list = {
      { number = 1, name = "one", sql = "CREATE TABLE store_spec_migrated (id INTEGER); -- first" },
      { number = 2, name = "two", sql = "DROP TABLE store_spec_migrated" },
    }
    assert.equal(2, assert(store.migrate(list, "store_spec")))
    assert.equal(0, assert(store.migrate(list, "store_spec")))
    local applied, message, code = store.migrate({ list[1] }, "store_spec")
    assert.is_nil(applied)
    assert.equal("sql", code)
    assert.matches("has migration 2 of store_spec", message)
    assert.equal(0, store.migrate({}, "store_spec"))
    assert(store.execute("DELETE FROM schema_migrations WHERE space = 'store_spec'"))
  end)


  it("counts what it does", function()
    local before = store.stats()
    assert(store.execute(INSERT, 1, "a"))
    local after = store.stats()
    assert.equal(before.rows + 1, after.rows)
    assert.is_true(after.commits > before.commits)
    assert.is_true(after.commit_seconds_sum > before.commit_seconds_sum)
  end)


  it("stops a query whose task is cancelled", function()
    local endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    local before = task.stats().live_operations
    for _ = 1, 4 do
      assert.is_nil((task.real_timeout(0.02, store.query, endless)))
    end
    assert.equal(before, task.stats().live_operations)
    assert.equal(0, count())
  end)


  it("is opened once", function()
    assert.has_error(function() store.open("sqlite:/nonexistent/x.db") end, "the store is open already")
  end)
end)
