local t = require "tide.test"
local http = require "tide.http"
local time = require "tide.time"
local retry = require "tide.policy.retry"
local errors = require "tide.errors"

local ACME = [[
local fail = require "tide.fail"
return {
  config = { base_url = "https://api.acme.example" },
  operations = {
    read = { run = function(ctx) return ctx.http.get("/thing").json end },
    write = { run = function(ctx) return ctx.http.post("/thing", { json = { a = 1 } }).json end },
    write_again = {
      idempotent = true,
      run = function(ctx) return ctx.http.post("/thing", { json = { key = ctx.idempotency_key } }).json end,
    },
    write_cached = { cache = true, run = function(ctx) return ctx.http.post("/thing", { json = {} }).json end },
    put = { run = function(ctx) return ctx.http.put("/thing", { json = {} }).json end },
    put_once = { idempotent = false, run = function(ctx) return ctx.http.put("/thing", { json = {} }).json end },
    two = {
      run = function(ctx)
        ctx.http.post("/first", { json = {} })
        return ctx.http.post("/second", { json = {} }).json
      end,
    },
    never = {
      run = function(ctx) fail("upstream_error", "not now", { retryable = false }) end,
    },
    counts = { run = function(ctx) ctx.http.get("/thing"); return { attempt = ctx.attempt } end },
  },
}
]]


local function acme(config)
  return t.integration("acme", { source = ACME, config = config })
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


local function gaps(requests)
  local list = {}
  for index = 2, #requests do
    list[index - 1] = requests[index].at - requests[index - 1].at
  end
  return list
end


describe("an attempt that failed", function()
  it("is repeated: a 503 then a 200 gives two attempts", function()
    local it = acme()
    it.upstream("GET /thing", { { status = 503 }, { json = { ok = true } } })
    local data, meta = it.call("read", {})
    assert.is_true(data.ok)
    assert.equal(2, meta.attempts)
    assert.equal(1, it.logs()[1].retry_count)
  end)

  it("property 19: is repeated up to three times, each wait longer than the one before", function()
    for _ = 1, 10 do
      local it = acme({ total_timeout_seconds = 600 })
      it.upstream("GET /thing", { status = 500 })
      local err = failure(it.call, "read", {})
      assert.equal("upstream_error", err.code)
      assert.equal(4, err.attempts)
      assert.equal(4, #it.requests)
      local waits = gaps(it.requests)
      assert.is_true(waits[1] >= 0.5 and waits[1] <= 1.1, tostring(waits[1]))
      assert.is_true(waits[2] >= 1 and waits[2] <= 2.1, tostring(waits[2]))
      assert.is_true(waits[3] >= 2 and waits[3] <= 4.1, tostring(waits[3]))
      assert.is_true(waits[1] <= waits[2] + 0.01 and waits[2] <= waits[3] + 0.01)
      it.close()
    end
  end)

  it("waits no longer than retry_max_delay_seconds", function()
    local settings = { retry_max_delay_seconds = 3, retry_backoff_factor = 10 }
    for n = 1, 6 do
      local delay = retry.delay(settings, n, {})
      assert.is_true(delay <= 3 and delay >= 0.5)
    end
  end)

  it("waits what a 429 asks for, never less", function()
    local it = acme()
    it.upstream("GET /thing", { { status = 429, headers = { ["Retry-After"] = "2" } }, { json = {} } })
    local _, meta = it.call("read", {})
    assert.equal(2, meta.attempts)
    assert.is_true(gaps(it.requests)[1] >= 2)
  end)

  it("is not tried again before 2.000 s of real time after a 429 with Retry-After: 2", function()
    local it = t.integration("acme", { source = ACME, clock = "real" })
    local answered
    it.upstream("GET /thing", function()
      if answered == nil then
        answered = time.monotonic()
        return { status = 429, headers = { ["Retry-After"] = "2" } }
      end
      return { json = { waited = time.monotonic() - answered } }
    end)
    local data = it.call("read", {})
    assert.is_true(data.waited >= 2, tostring(data.waited))
  end)

  it("reads a Retry-After that is a date", function()
    local it = acme()
    it.upstream("GET /thing", {
      { status = 503, headers = { ["Retry-After"] = time.format_http(math.floor(time.now()) + 10) } },
      { json = {} },
    })
    it.call("read", {})
    local wait = gaps(it.requests)[1]
    assert.is_true(wait >= 9 and wait <= 11, tostring(wait))
  end)

  it("is answered at once when the wait would outlast the deadline", function()
    local it = acme({ total_timeout_seconds = 30 })
    it.upstream("GET /thing", { status = 429, headers = { ["Retry-After"] = "60" } })
    local err = failure(it.call, "read", {})
    assert.equal("rate_limited", err.code)
    assert.equal(60, errors.problem(err).retry_after)
    assert.equal(1, #it.requests)
    assert.is_true(it.logs()[1].duration_ms < 1000)
  end)

  it("is not repeated where the error cannot pass", function()
    local it = acme()
    for status, code in pairs({ [400] = "rejected", [401] = "upstream_auth", [403] = "upstream_auth",
      [404] = "not_found", [410] = "not_found", [422] = "rejected" }) do
      it.upstream("GET /thing", { status = status })
      local before = #it.requests
      assert.equal(code, failure(it.call, "read", {}).code)
      assert.equal(before + 1, #it.requests)
    end
  end)

  it("is not repeated where the script says so", function()
    assert.equal(1, failure(acme().call, "never", {}).attempts)
  end)

  it("tells the script which attempt it is", function()
    local it = acme()
    it.upstream("GET /thing", { { status = 500 }, { status = 500 }, { json = {} } })
    assert.equal(3, (it.call("counts", {})).attempt)
  end)
end)


describe("an operation that may have taken effect", function()
  it("reaches the upstream once when its POST is closed without an answer", function()
    local it = acme()
    it.upstream("POST /thing", { close = true })
    local err = failure(it.call, "write", {})
    assert.equal("network_error", err.code)
    assert.equal(1, #it.requests)
    assert.equal(1, err.attempts)
    assert.is_false(errors.problem(err).retryable)
  end)

  it("reaches the upstream once, too, when a connection was there to be reused", function()
    local it = acme()
    it.upstream("GET /thing", { json = {} })
    it.upstream("POST /thing", { close = true })
    it.call("read", {})
    failure(it.call, "write", {})
    assert.equal(2, #it.requests)
  end)

  it("is not repeated after a POST was answered with 500", function()
    local it = acme()
    it.upstream("POST /thing", { status = 500 })
    failure(it.call, "write", {})
    assert.equal(1, #it.requests)
  end)

  it("is repeated after a POST was answered with 429, or 503 with Retry-After", function()
    local it = acme()
    it.upstream("POST /thing", {
      { status = 429 }, { status = 503, headers = { ["Retry-After"] = "1" } }, { json = {} },
    })
    local _, meta = it.call("write", {})
    assert.equal(3, meta.attempts)
  end)

  it("is repeated where it is declared idempotent, with the same key", function()
    local it = acme()
    it.upstream("POST /thing", { { status = 500 }, { json = {} } })
    it.call("write_again", {})
    assert.equal(2, #it.requests)
    assert.is_string(it.requests[1].json.key)
    assert.equal(it.requests[1].json.key, it.requests[2].json.key)
  end)

  it("is repeated where it is cached", function()
    local it = acme()
    it.upstream("POST /thing", { { status = 500 }, { json = {} } })
    it.call("write_cached", {})
    assert.equal(2, #it.requests)
  end)

  it("is repeated after a PUT, unless the operation says that it may not", function()
    local it = acme()
    it.upstream("PUT /thing", { { status = 500 }, { json = {} } })
    it.call("put", {})
    assert.equal(2, #it.requests)
    it.upstream("PUT /thing", { status = 500 })
    failure(it.call, "put_once", {})
    assert.equal(3, #it.requests)
  end)

  it("is not repeated after its first POST succeeded and its second was refused", function()
    local it = acme()
    it.upstream("POST /first", { json = {} })
    it.upstream("POST /second", { status = 429 })
    failure(it.call, "two", {})
    assert.equal(2, #it.requests)
  end)

  it("is repeated when nothing was sent", function()
    -- A port that was free a moment ago.
    local parsed = http.parse_url(acme().url)
    t.reset()
    local it = acme({ base_url = "http://127.0.0.1:" .. parsed.port, max_retries = 1 })
    local err = failure(it.call, "write", {})
    assert.equal("network_error", err.code)
    assert.equal(2, err.attempts)
  end)
end)
