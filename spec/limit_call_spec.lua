local t = require "tide.test"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local time = require "tide.time"

local ACME = [[
return {
  config = { base_url = "https://api.acme.example", max_retries = 0, circuit_breaker_enabled = false },
  operations = {
    get = { run = function(ctx) return ctx.http.get("/thing").json end, mock = function() return {} end },
    two = { run = function(ctx) ctx.http.get("/thing") return ctx.http.get("/thing").json end },
    outer = { run = function(ctx) ctx.http.get("/thing") return (ctx.call("acme", "get", {})) end },
    slow = { run = function(ctx) ctx.sleep(10) return {} end },
  },
}
]]


local function acme(config)
  local it = t.integration("acme", { source = ACME, config = config })
  it.upstream("GET /thing", { json = {} })
  return it
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


local function limited()
  return tonumber(counters.render():match('\ntidegate_rate_limited_total{integration="acme"} (%S+)') or 0)
end


describe("the limit of an integration", function()
  it("property 29: a call beyond it is refused with Retry-After, reaches nobody, is counted and logged", function()
    local it = acme { rate_limit_calls_per_minute = 2, rate_limit_max_wait_seconds = 0 }
    local before = limited()
    it.call("get")
    it.call("get")
    local err = failure(it.call, "get")
    assert.equal("rate_limited", err.code)
    assert.equal("limit", err.policy)
    assert.is_true(err.retry_after >= 1 and err.retry_after <= 30)
    assert.equal(429, errors.problem(err).status)
    assert.equal(2, #it.requests)
    assert.equal(before + 1, limited())
    local row = it.logs()[3]
    assert.equal("rate_limited", row.error_type)
    assert.is_false(row.is_success)
    assert.is_truthy(row.attempts:find('"policy":"limit"', 1, true))
    t.advance(err.retry_after)
    it.call("get")
  end)

  it("is waited for in arrival order", function()
    local it = acme { rate_limit_calls_per_minute = 60, rate_limit_burst = 1 }
    local order, calls = {}, {}
    for index = 1, 10 do
      calls[index] = function()
        it.call("get")
        order[#order + 1] = index
        return true
      end
    end
    local started = time.monotonic()
    t.all(calls)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
    local took = time.monotonic() - started
    assert.is_true(took >= 9 and took < 9.5, "took " .. took)
  end)

  it("takes a token for each request, in inner calls too", function()
    local it = acme { rate_limit_calls_per_minute = 5, rate_limit_max_wait_seconds = 0 }
    it.call("two")
    it.call("outer")
    it.call("get")
    assert.equal("rate_limited", failure(it.call, "get").code)
    assert.equal(5, #it.requests)
  end)

  it("0 lets none through", function()
    local it = acme { rate_limit_calls_per_minute = 0 }
    assert.equal("rate_limited", failure(it.call, "get").code)
    assert.equal(0, #it.requests)
  end)

  it("gives the token back when nothing was sent", function()
    local it = acme {
      rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 0, base_url = "http://127.0.0.1:1",
    }
    for _ = 1, 3 do
      assert.equal("network_error", failure(it.call, "get").code)
    end
  end)

  it("does not use up the caller's deadline by waiting: a wait that is too long is refused at once", function()
    local it = acme { rate_limit_calls_per_minute = 1 }
    it.call("get")
    local started = time.monotonic()
    assert.equal("rate_limited", failure(it.call, "get", {}, { timeout_ms = 5000 }).code)
    assert.is_true(time.monotonic() - started < 0.1)
  end)

  it("of mocks is one of their own", function()
    local it = acme { rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 0 }
    it.call("get", {}, { mock = true })
    assert.equal("rate_limited", failure(it.call, "get", {}, { mock = true }).code)
    it.call("get")
    assert.equal(1, #it.requests)
  end)
end)


describe("a third party that says when it will take calls again", function()
  it("pauses every caller, never less than it asked", function()
    for _, headers in ipairs({
      { ["Retry-After"] = "7" }, { ["RateLimit-Remaining"] = "0", ["RateLimit-Reset"] = "7" },
      { ["X-RateLimit-Remaining"] = "0", ["X-RateLimit-Reset"] = "7" }, { RateLimit = '"default";r=0;t=7' },
      { RateLimit = "limit=100, remaining=0, reset=7" },
    }) do
      local it = acme { rate_limit_enabled = false }
      it.upstream("GET /thing", { { status = 429, json = {}, headers = headers }, { json = {} } })
      assert.equal("rate_limited", failure(it.call, "get").code)
      local answered = time.monotonic()
      it.call("get")
      local waited = time.monotonic() - answered
      assert.is_true(waited >= 7 and waited < 7.1, "waited " .. waited)
    end
  end)

  it("may name an instant, in seconds or in milliseconds", function()
    for _, unit in ipairs({ 1, 1000 }) do
      local it = acme { rate_limit_enabled = false }
      local reset = math.ceil(time.now()) + 7
      it.upstream("GET /thing", {
        { json = {}, headers = { ["X-RateLimit-Remaining"] = "0",
          ["X-RateLimit-Reset"] = ("%d"):format(reset * unit) } },
        { json = {} },
      })
      it.call("get")
      local began = time.now()
      it.call("get")
      local waited = time.now() - began
      assert.is_true(waited > 6 and waited < 8.1, "waited " .. waited)
    end
  end)

  it("is believed up to rate_limit_pause_max_seconds", function()
    local it = acme { rate_limit_pause_max_seconds = 3 }
    it.upstream("GET /thing", { { status = 503, json = {}, headers = { ["Retry-After"] = "9999" } }, { json = {} } })
    failure(it.call, "get")
    local started = time.monotonic()
    it.call("get")
    assert.is_true(time.monotonic() - started < 3.1)
  end)
end)


describe("max_concurrency", function()
  it("lets so many calls run, and the others wait their turn", function()
    local it = acme { max_concurrency = 2 }
    local started, calls = time.monotonic(), {}
    for index = 1, 6 do
      calls[index] = function() it.call("slow") return true end
    end
    t.all(calls)
    local took = time.monotonic() - started
    assert.is_true(took >= 30 and took < 30.5, "took " .. took)
  end)

  it("refuses who would wait too long", function()
    local it = acme { max_concurrency = 1, rate_limit_max_wait_seconds = 1 }
    local codes = {}
    local function call()
      local ok, err = pcall(it.call, "slow")
      codes[#codes + 1] = ok and "ok" or err.code
      return true
    end
    t.all({ call, call })
    assert.same({ "overloaded", "ok" }, codes)
  end)

  it("is shared with an inner call of the same integration", function()
    local it = acme { max_concurrency = 1 }
    it.call("outer")
    assert.equal(2, #it.requests)
  end)
end)
