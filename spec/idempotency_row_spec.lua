local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local store = require "tide.store"
local task = require "tide.task"
local time = require "tide.time"
local errors = require "tide.errors"
local exchange = require "tide.api.exchange"
local idempotency = require "tide.idempotency"
local opened = require "spec.support.store"

local ANSWER = { status = 200, body = '{"data":{},"meta":{}}' }


describe("the row of an Idempotency-Key", function()
  local operation


  setup(function()
    opened.open()
    local migration = host.asset("scripts/migrations/001_tables.sqlite.sql")
    assert(store.execute((migration:match("CREATE TABLE idempotency_keys .-\n%);"))))
  end)


  teardown(function()
    assert(store.execute("DROP TABLE idempotency_keys"))
  end)


  before_each(function()
    assert(store.execute("DELETE FROM idempotency_keys"))
    operation = { name = "order" }
    operation.integration = { name = "shop", provider = {}, values = { total_timeout_seconds = 5 } }
    operation.integration.operations = { order = operation }
  end)


  -- A call with a key, as the API asks for it.
  local function request(trace)
    local instance = { live = { current = function() end } }
    local current = exchange.new(instance, { method = "POST", path = "/", header = function() end })
    current.trace_id = trace or current.trace_id
    return {
      generation = { integrations = { shop = operation.integration } }, integration = "shop", operation = "order",
      scope = "the-token", trace_id = current.trace_id, keep_seconds = 86400,
      problem = function(err)
        local answer = current:problem(err)
        answer.body = assert(json.encode(answer.json))
        return answer
      end,
    }
  end


  -- Answer or nil, the error, and how often the call ran.
  local function run(answer, err, trace)
    local runs = 0
    local got, problem = idempotency.run(request(trace), { item = "tea" }, { idempotency_key = "key" }, function()
      runs = runs + 1
      return answer, err
    end)
    return got, problem, runs
  end


  local function row()
    local rows = assert(store.query("SELECT * FROM idempotency_keys"))
    assert.is_true(#rows <= 1)
    return rows[1]
  end


  local function change(assignment, ...)
    assert.equal(1, assert(store.execute("UPDATE idempotency_keys SET " .. assignment, ...)).changes)
  end


  -- Calls fn with one of the store's functions replaced.
  local function with_store(name, replacement, fn)
    local real = store[name]
    store[name] = function(...) return replacement(real, ...) end
    local ok, problem = pcall(fn)
    store[name] = real
    assert(ok, problem)
  end


  local function is_end(sql)
    return sql:find("SET status = $8", 1, true) ~= nil
  end


  it("is committed before the call begins, and ends with its answer", function()
    local before = time.now()
    local got = idempotency.run(request(("ab"):rep(16)), { b = 1, a = "x" }, { idempotency_key = "key" }, function()
      local seen = row()
      assert.equal("in_progress", seen.status)
      assert.equal(("ab"):rep(16), seen.trace_id)
      assert.is_nil(seen.response_body)
      assert.equal(crypto.hex(crypto.digest("sha256", '{"a":"x","b":1}')), seen.input_hash)
      assert.is_true(math.abs(time.parse(seen.deadline_at) - before - 15) < 2)
      assert.is_true(math.abs(time.parse(seen.expires_at) - before - 86400) < 2)
      return ANSWER
    end)
    assert.equal(ANSWER.body, got.body)
    local seen = row()
    assert.same({ "done", 200, ANSWER.body }, { seen.status, seen.response_status, seen.response_body })
  end)


  it("hands the call the deadline that it says", function()
    local options = { idempotency_key = "key", timeout_ms = 2000 }
    idempotency.run(request(), {}, options, function()
      local left = options.deadline - time.monotonic()
      assert.is_true(left > 1 and left <= 2, left)
      assert.is_true(time.parse(row().deadline_at) - time.now() <= 12)
      return ANSWER
    end)
  end)


  it("counts as absent when it has expired", function()
    run(ANSWER)
    change("expires_at = $1, input_hash = 'other'", time.format(time.now() - 1))
    local got, err, runs = run(ANSWER)
    assert.is_nil(err)
    assert.is_nil(got.headers)
    assert.equal(1, runs)
    assert.equal("done", row().status)
    got, err, runs = run(ANSWER)
    assert.is_nil(err)
    assert.equal("true", got.headers["Idempotent-Replayed"])
    assert.equal(0, runs)
  end)


  it("does not expire before its call has ended", function()
    local current = request()
    current.keep_seconds = 0
    idempotency.run(current, {}, { idempotency_key = "key" }, function()
      assert.is_true(row().expires_at >= row().deadline_at)
      return ANSWER
    end)
  end)


  it("of a call that runs says how long, whatever the operation", function()
    operation.idempotent = true
    local got, err
    idempotency.run(request(), { item = "tea" }, { idempotency_key = "key" }, function()
      got, err = run(ANSWER)
      return ANSWER
    end)
    assert.is_nil(got)
    assert.equal("conflict", err.code)
    assert.equal(5, err.retry_after)
  end)


  it("past its deadline lets the call run again only where the operation may", function()
    for _, case in ipairs {
      { may = false }, { idempotent = false, may = false }, { idempotent = true, may = true },
      { cacheable = true, may = true }, { cacheable = true, idempotent = false, may = false },
    } do
      assert(store.execute("DELETE FROM idempotency_keys"))
      run(ANSWER)
      change("status = 'in_progress', response_status = NULL, response_body = NULL, deadline_at = $1",
        time.format(time.now() - 0.1))
      operation.idempotent, operation.cacheable = case.idempotent, case.cacheable
      local _, err, runs = run(ANSWER)
      assert.equal(case.may and 1 or 0, runs)
      assert.equal(not case.may and "outcome_unknown" or nil, err and err.code)
    end
  end)


  it("is unknown after a start, when its call had not ended", function()
    idempotency.run(request(), { item = "tea" }, { idempotency_key = "key" }, function()
      assert.equal(1, idempotency.recover())
      return nil, errors.new("internal")
    end)
    local _, err, runs = run(ANSWER)
    assert.equal("outcome_unknown", err.code)
    assert.equal(0, runs)
    assert.equal(0, idempotency.recover())
  end)


  it("is not changed by the late end of a call that another has followed", function()
    operation.idempotent = true
    idempotency.run(request("first"), { item = "tea" }, { idempotency_key = "key" }, function()
      change("deadline_at = $1", time.format(time.now() - 0.1))
      run({ status = 200, body = '{"data":"second"}' }, nil, "second")
      return ANSWER
    end)
    assert.equal('{"data":"second"}', row().response_body)
  end)


  it("says whether the call may run again", function()
    for _, repeatable in ipairs { true, false } do
      assert(store.execute("DELETE FROM idempotency_keys"))
      local failure = errors.new("upstream_error", "broken", { repeatable = repeatable })
      local got, err = run(nil, failure)
      assert.is_nil(got)
      assert.equal(failure, err)
      assert.equal(repeatable and "failed" or "unknown", row().status)
      local _, again, runs = run(ANSWER)
      assert.equal(repeatable and 1 or 0, runs)
      assert.equal(not repeatable and "outcome_unknown" or nil, again and again.code)
    end
  end)


  it("that cannot be written means that nothing is sent", function()
    for _, code in ipairs { "unavailable", "timeout", "sql", "overloaded" } do
      local answer, err, runs
      with_store("execute", function() return nil, "the disk is full", code end, function()
        answer, err, runs = run(ANSWER)
      end)
      assert.is_nil(answer)
      assert.equal(code == "overloaded" and code or "unavailable", err.code)
      assert.equal(503, errors.problem(err).status)
      assert.matches("nothing was sent: the disk is full", err.message)
      assert.equal(0, runs)
    end
  end)


  it("that was written when its commit seemed to fail is taken away", function()
    with_store("execute", function(real, ...)
      assert(real(...))
      return nil, "took too long", "timeout"
    end, function() run(ANSWER) end)
    assert(store.flush())
    assert.is_nil(row())
  end)


  it("that cannot be read, or taken over, means that nothing is sent", function()
    local _, err, runs
    run(nil, errors.new("timeout", "late", { repeatable = true }))
    local fail = function() return nil, "damaged", "unavailable" end
    with_store("query", fail, function() _, err, runs = run(ANSWER) end)
    assert.same({ "unavailable", 0 }, { err.code, runs })
    with_store("execute", function(real, sql, ...)
      if sql:find("^UPDATE") then return fail() end
      return real(sql, ...)
    end, function() _, err, runs = run(ANSWER) end)
    assert.same({ "unavailable", 0 }, { err.code, runs })
    assert.equal("failed", row().status)
  end)


  it("follows later when the end of the call cannot be committed, and the answer is sent", function()
    local got, err
    with_store("execute", function(real, sql, ...)
      if is_end(sql) then return nil, "the disk is full", "unavailable" end
      return real(sql, ...)
    end, function() got, err = run(ANSWER) end)
    assert.is_nil(err)
    assert.equal(ANSWER, got)
    assert(store.flush())
    local again, _, runs = run({ status = 200, body = "{}" })
    assert.same({ ANSWER.body, 0 }, { again.body, runs })
  end)


  it("is looked at again when it goes between two looks", function()
    run(ANSWER)
    local got, err, runs
    with_store("query", function(real, ...)
      assert(store.execute("DELETE FROM idempotency_keys"))
      return real(...)
    end, function() got, err, runs = run(ANSWER) end)
    assert.is_nil(err)
    assert.equal(ANSWER, got)
    assert.equal(1, runs)
  end)


  it("is not looked at for ever", function()
    run(nil, errors.new("timeout", "late", { repeatable = true }))
    local _, err, runs
    with_store("execute", function(real, sql, ...)
      if sql:find("^UPDATE") then return { changes = 0 } end
      return real(sql, ...)
    end, function() _, err, runs = run(ANSWER) end)
    assert.same({ "conflict", 1, 0 }, { err.code, err.retry_after, runs })
  end)


  it("is deleted when it has expired, however many there are", function()
    assert(store.execute([[
      INSERT INTO idempotency_keys (token, integration_name, operation, key, expires_at, input_hash)
      WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < 1201)
      SELECT 't', 'i', 'o', value, CASE WHEN value = 7 THEN $1 ELSE $2 END, '' FROM number]],
      time.format(time.now() + 60), time.format(time.now() - 1)))
    local cleaner = idempotency.start_cleaning()
    local ending = time.monotonic() + 5
    local count
    repeat
      task.sleep(0.005)
      count = assert(store.query("SELECT count(*) AS n FROM idempotency_keys"))[1].n
    until count == 1 or time.monotonic() > ending
    cleaner:cancel()
    assert.equal(1, count)
    assert.equal("7", row().key)
  end)


  it("refuses an input that has no canonical form", function()
    local deep = {}
    for _ = 1, 200 do deep = { deep } end
    local got, err = idempotency.run(request(), deep, { idempotency_key = "key" }, function() return ANSWER end)
    assert.is_nil(got)
    assert.equal("invalid_input", err.code)
    assert.is_nil(row())
  end)


  it("tells scopes apart, however long they are", function()
    local tokens = {}
    for _, scope in ipairs { "a", "name:a", ("n"):rep(100), ("n"):rep(99) .. "m" } do
      local current = request()
      current.scope = scope
      idempotency.run(current, {}, { idempotency_key = "key" }, function() return ANSWER end)
    end
    for _, found in ipairs(assert(store.query("SELECT token FROM idempotency_keys ORDER BY token"))) do
      assert.is_true(#found.token <= 64)
      tokens[#tokens + 1] = found.token
    end
    assert.equal(4, #tokens)
    assert.is_true(json.encode(tokens):find('"a"', 1, true) ~= nil)
    assert.is_true(json.encode(tokens):find('"name:a"', 1, true) ~= nil)
  end)
end)
