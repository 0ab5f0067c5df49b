local t = require "tide.test"
local cells = require "tide.cells"
local errors = require "tide.errors"
local task = require "tide.task"

local ACME = [[
return {
  config = { base_url = "https://api.acme.example", max_retries = 0, rate_limit_enabled = false },
  operations = {
    get = { run = function(ctx) return ctx.http.get("/thing").json end, mock = function() return {} end },
    look = { cache = true, input = true, run = function(ctx) return ctx.http.get("/thing").json end },
    outer = { run = function(ctx)
      ctx.http.get("/thing")
      return (ctx.call("acme", "get", {}))
    end },
    first_inner = { run = function(ctx)
      local data = ctx.call("acme", "get", {})
      ctx.http.get("/thing")
      return data
    end },
    idle_cached = { cache = true, run = function() return { idle = true } end },
    idle = { run = function() return { idle = true } end },
    guess = { run = function(ctx) return ctx.http.get("/thing").json end,
      fallback = function() return { guessed = true } end },
    broken = { run = function(ctx) ctx.http.get("/thing") error("mine") end },
  },
}
]]

local BROKEN = { status = 500, json = {} }


local function acme(config)
  return t.integration("acme", { source = ACME, config = config })
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


local function breaker_of(it, mock)
  return cells.of(it.generation.integrations.acme, mock or false).breaker
end


local function open(it)
  it.upstream("GET /thing", BROKEN)
  for _ = 1, 5 do
    failure(it.call, "get")
  end
  assert.equal("open", (breaker_of(it):state()))
end


describe("the breaker of an integration", function()
  it("property 20: opens at five failures in a row, and the sixth call reaches nobody", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 10 do
      local it = acme()
      local row = 0
      for step = 1, 200 do
        local fails = math.random(4) > 1
        it.upstream("GET /thing", fails and BROKEN or { json = {} })
        local sent = #it.requests
        if row >= 5 then
          local err = failure(it.call, "get")
          assert.equal("circuit_open", err.code, "seed " .. seed .. ", step " .. step)
          assert.is_true(err.retry_after >= 1 and err.retry_after <= 60)
          assert.equal(sent, #it.requests)
          break
        end
        pcall(it.call, "get")
        assert.equal(sent + 1, #it.requests, "seed " .. seed .. ", step " .. step)
        row = fails and row + 1 or 0
      end
    end
  end)

  it("property 21: when it is open, what was kept is given, else the fallback", function()
    local it = acme { cache_ttl_seconds = 10 }
    it.upstream("GET /thing", { json = { kept = true } })
    it.call("look", { id = 1 })
    open(it)
    local data, meta = it.call("look", { id = 1 })
    assert.is_true(data.kept)
    assert.is_false(meta.stale)
    t.advance(11)
    local sent = #it.requests
    data, meta = it.call("look", { id = 1 })
    assert.is_true(data.kept)
    assert.is_true(meta.stale)
    assert.equal("circuit_open", meta.error.code)
    assert.equal("open", meta.circuit_breaker_state)
    data, meta = it.call("guess")
    assert.is_true(data.guessed)
    assert.is_true(meta.fallback)
    assert.equal("circuit_open", failure(it.call, "look", { id = 2 }).code)
    assert.equal(sent, #it.requests)
  end)

  it("property 22: after its time-out one probe closes it, or opens it anew", function()
    local it = acme()
    open(it)
    t.advance(59)
    assert.equal("circuit_open", failure(it.call, "get").code)
    t.advance(1.1)
    assert.equal("upstream_error", failure(it.call, "get").code)
    assert.equal("circuit_open", failure(it.call, "get").code)
    t.advance(60.1)
    it.upstream("GET /thing", { json = { back = true } })
    local data, meta = it.call("get")
    assert.is_true(data.back)
    assert.equal("half_open", meta.circuit_breaker_state)
    assert.equal("closed", select(2, it.call("get")).circuit_breaker_state)
  end)

  it("counts one failure a call, whatever its attempts", function()
    local it = acme { max_retries = 3 }
    it.upstream("GET /thing", BROKEN)
    for _ = 1, 4 do
      failure(it.call, "get")
    end
    assert.equal(16, #it.requests)
    assert.equal("closed", (breaker_of(it):state()))
    failure(it.call, "get")
    assert.equal("open", (breaker_of(it):state()))
  end)

  it("hears nothing of what is not the third party's doing", function()
    local it = acme()
    for _, answer in ipairs({ { status = 404, json = {} }, { status = 429, json = {} }, { status = 403, json = {} },
      { status = 422, json = {} } }) do
      it.upstream("GET /thing", answer)
      for _ = 1, 6 do
        failure(it.call, "get")
      end
      assert.equal("closed", (breaker_of(it):state()))
    end
    it.upstream("GET /thing", { json = {} })
    for _ = 1, 6 do
      failure(it.call, "broken")
    end
    it.upstream("GET /thing", { delay = 5, json = {} })
    for _ = 1, 6 do
      failure(it.call, "get", {}, { timeout_ms = 20 })
    end
    assert.equal("closed", (breaker_of(it):state()))
    assert.equal(0, breaker_of(it):info().probes_out)
  end)

  it("counts a request that used up its own time-out", function()
    local it = acme { timeout_seconds = 1 }
    it.upstream("GET /thing", { delay = 5, json = {} })
    for _ = 1, 5 do
      assert.equal("timeout", failure(it.call, "get").code)
    end
    assert.equal("open", (breaker_of(it):state()))
  end)
end)


describe("a half-open breaker never sticks", function()
  local function half_open()
    local it = acme()
    open(it)
    t.advance(60.1)
    it.upstream("GET /thing", { json = { back = true } })
    return it
  end

  it("through a cache hit", function()
    local it = acme { cache_ttl_seconds = 1000 }
    it.upstream("GET /thing", { json = { kept = true } })
    it.call("look", { id = 1 })
    open(it)
    t.advance(60.1)
    assert.is_true(it.call("look", { id = 1 }).kept)
    it.upstream("GET /thing", { json = { back = true } })
    assert.is_true(it.call("get").back)
    assert.equal("closed", (breaker_of(it):state()))
  end)

  it("through a call that sends nothing", function()
    local it = half_open()
    it.call("idle")
    it.call("idle_cached")
    assert.is_true(it.call("get").back)
  end)

  it("through a probe that is cancelled", function()
    local it = half_open()
    it.upstream("GET /thing", { delay = 20, json = {} })
    assert.equal("timeout", failure(it.call, "get", {}, { timeout_ms = 100 }).code)
    it.upstream("GET /thing", { json = { back = true } })
    assert.is_true(it.call("get").back)
    assert.equal("closed", (breaker_of(it):state()))
  end)

  it("through a probe whose task is cancelled in the middle", function()
    local it = half_open()
    it.upstream("GET /thing", { delay = 20, json = {} })
    local probe = task.spawn(it.call, "get")
    t.advance(1)
    assert.equal("circuit_open", failure(it.call, "get").code)
    probe:cancel()
    probe:join()
    it.upstream("GET /thing", { json = { back = true } })
    assert.is_true(it.call("get").back)
    t.advance(20)
  end)

  it("through an operation that calls its own integration, before or after its own request", function()
    for _, operation in ipairs({ "outer", "first_inner" }) do
      local it = half_open()
      assert.is_true(it.call(operation).back)
      assert.equal("closed", (breaker_of(it):state()))
      assert.equal(0, breaker_of(it):info().probes_out)
    end
  end)

  it("through an inner call that fails", function()
    local it = half_open()
    it.upstream("GET /thing", BROKEN)
    assert.equal("upstream_error", failure(it.call, "first_inner").code)
    assert.equal("open", (breaker_of(it):state()))
    t.advance(60.1)
    it.upstream("GET /thing", { json = { back = true } })
    assert.is_true(it.call("first_inner").back)
  end)

  it("through a script that fails after its request", function()
    local it = half_open()
    assert.equal("script_error", failure(it.call, "broken").code)
    assert.is_true(it.call("get").back)
  end)

  it("and lets one probe through at a time, of many that come at once", function()
    local it = half_open()
    it.upstream("GET /thing", { delay = 1, json = { back = true } })
    local sent = #it.requests
    local passed, refused = 0, 0
    local calls = {}
    for index = 1, 50 do
      calls[index] = function()
        local ok, err = pcall(it.call, "get")
        passed = passed + (ok and 1 or 0)
        refused = refused + (not ok and err.code == "circuit_open" and 1 or 0)
        return true
      end
    end
    t.all(calls)
    assert.equal(sent + 1, #it.requests)
    assert.same({ 1, 49 }, { passed, refused })
  end)
end)


describe("mock mode", function()
  it("has a breaker of its own", function()
    local it = acme { mock_error_rate = 1 }
    for _ = 1, 5 do
      failure(it.call, "get", {}, { mock = true })
    end
    assert.equal("circuit_open", failure(it.call, "get", {}, { mock = true }).code)
    it.upstream("GET /thing", { json = { real = true } })
    assert.is_true(it.call("get").real)
    assert.equal("closed", (breaker_of(it):state()))
    assert.equal("open", (breaker_of(it, true):state()))
  end)
end)
