local t = require "tide.test"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local json = require "tide.json"
local singleflight = require "tide.state.singleflight"
local task = require "tide.task"
local time = require "tide.time"

local ACME = [[
return {
  config = { base_url = "https://api.acme.example", max_retries = 0, cache_ttl_seconds = 100 },
  operations = {
    look = {
      cache = true,
      input = { type = "object", additionalProperties = true, properties = { id = {}, n = { default = 1 } } },
      run = function(ctx, input) return ctx.http.get("/things/{id}", { params = { id = input.id } }).json end,
      mock = function(ctx, input) return { mocked = input.id } end,
    },
    brief = { cache = { ttl_seconds = 5 }, input = true,
      run = function(ctx, input) return ctx.http.get("/things/{id}", { params = { id = input.id } }).json end },
    guess = { input = true,
      run = function(ctx) return ctx.http.get("/guess").json end,
      fallback = function(ctx, input, err) return { guessed = input.id, because = err.code } end },
    waits = { run = function(ctx) return ctx.http.get("/guess").json end,
      fallback = function(ctx) ctx.sleep(100) return {} end },
    fetches = { run = function(ctx) return ctx.http.get("/guess").json end,
      fallback = function(ctx) return { got = ctx.cache.fetch("k", 10, function() return 1 end) } end },
    raises = { run = function(ctx) return ctx.http.get("/guess").json end,
      fallback = function() error("no idea") end },
    forget = { input = true,
      run = function(ctx, input) return { had = ctx.cache.forget("look", { id = input.id }) } end },
    plain = { input = true,
      run = function(ctx, input) return ctx.http.get("/things/{id}", { params = { id = input.id } }).json end },
    outer = { input = true, run = function(ctx, input)
      local data, meta = ctx.call("acme", "look", { id = input.id })
      return { inner = data, from_cache = meta.from_cache }
    end },
  },
}
]]


local function acme(config)
  local it = t.integration("acme", { source = ACME, config = config })
  local served = 0
  it.upstream("GET /things/*", function(request)
    served = served + 1
    return { json = { path = request.path, served = served } }
  end)
  return it
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


local function metric(line)
  return tonumber(counters.render():match("\n" .. line:gsub("%p", "%%%0") .. " (%S+)") or 0)
end


local function times(n, fn)
  local list = {}
  for index = 1, n do
    list[index] = function() return fn(index) end
  end
  return list
end


describe("a cached operation", function()
  it("answers the second time from the cache, with its age, and takes no token", function()
    local it = acme { rate_limit_calls_per_minute = 1 }
    local first, meta = it.call("look", { id = "a" })
    assert.is_false(meta.from_cache)
    t.advance(7)
    local second
    second, meta = it.call("look", { id = "a" })
    assert.same(first, second)
    assert.is_true(meta.from_cache)
    assert.equal(7, meta.age_seconds)
    assert.equal(0, meta.attempts)
    assert.is_false(meta.stale)
    assert.equal(1, #it.requests)
    local row = it.logs()[2]
    assert.is_true(row.is_from_cache)
    assert.is_true(row.is_success)
    assert.is_nil(row.request_url)
    assert.is_nil(row.error_type)
  end)

  it("property 31: the key is made of the operation and the input, whatever its order, and of what the "
    .. "configuration makes of it", function()
    local it = acme()
    local seed = os.time()
    math.randomseed(seed)
    local expected, seen = 0, {}
    for _ = 1, 60 do
      local input = { id = "x", a = math.random(3), b = { math.random(2), { c = math.random(2) == 1 } } }
      local text = json.encode(input, { canonical = true })
      if not seen[text] then
        seen[text], expected = true, expected + 1
      end
      it.call("look", json.decode(text))
      assert.equal(expected, #it.requests, "seed " .. seed .. ": " .. text)
    end
    it.call("brief", { id = "x", a = 1 })
    assert.equal(expected + 1, #it.requests)
    it.call("look", { id = "y" })
    it.call("look", { id = "y", n = 1 })
    assert.equal(expected + 2, #it.requests)
    it.generation.integrations.acme.values = setmetatable({ extra_config = { region = "kr" } },
      { __index = it.generation.integrations.acme.values })
    it.call("look", { id = "y" })
    assert.equal(expected + 3, #it.requests)
  end)

  it("has a lifetime of its own where it says so", function()
    local it = acme()
    it.call("brief", { id = "a" })
    t.advance(5.1)
    it.call("brief", { id = "a" })
    assert.equal(2, #it.requests)
  end)

  it("is asked anew with Cache-Control: no-cache, and kept again", function()
    local it = acme()
    it.call("look", { id = "a" })
    local _, meta = it.call("look", { id = "a" }, { no_cache = true })
    assert.is_false(meta.from_cache)
    local third
    third, meta = it.call("look", { id = "a" })
    assert.is_true(meta.from_cache)
    assert.equal(2, third.served)
  end)

  it("keeps nothing with cache_enabled = false, nor what is not marked", function()
    local it = acme { cache_enabled = false }
    it.call("look", { id = "a" })
    it.call("look", { id = "a" })
    it.call("plain", { id = "a" })
    it.call("plain", { id = "a" })
    assert.equal(4, #it.requests)
  end)

  it("keeps not_found for cache_negative_seconds, and not without it", function()
    local it = acme { cache_negative_seconds = 10 }
    it.upstream("GET /things/none", { status = 404, json = {} })
    assert.equal("not_found", failure(it.call, "look", { id = "none" }).code)
    local err = failure(it.call, "look", { id = "none" })
    assert.equal("not_found", err.code)
    assert.equal(404, err.status)
    assert.equal(1, #it.requests)
    t.advance(11)
    failure(it.call, "look", { id = "none" })
    assert.equal(2, #it.requests)
    local other = acme()
    other.upstream("GET /things/none", { status = 404, json = {} })
    failure(other.call, "look", { id = "none" })
    failure(other.call, "look", { id = "none" })
    assert.equal(2, #other.requests)
  end)

  it("gives a stale entry at once inside cache_stale_seconds, and refreshes it behind, once", function()
    local it = acme { cache_stale_seconds = 50 }
    it.call("look", { id = "a" })
    t.advance(120)
    t.all(times(20, function()
      local data, meta = it.call("look", { id = "a" })
      assert.is_true(meta.stale)
      assert.is_true(meta.from_cache)
      assert.equal(1, data.served)
    end))
    t.advance(0.1)
    assert.equal(2, #it.requests)
    local data, meta = it.call("look", { id = "a" })
    assert.equal(2, data.served)
    assert.is_false(meta.stale)
    assert.is_true(meta.from_cache)
  end)

  it("refreshes with a token that is free, and else not at all", function()
    local it = acme { cache_stale_seconds = 50, rate_limit_calls_per_minute = 1 }
    it.call("look", { id = "a" })
    it.upstream("GET /things/a", { json = { served = 2 } })
    t.advance(101)
    it.call("look", { id = "a" })
    t.advance(0.1)
    assert.equal(2, #it.requests)
    t.advance(0.1)
    local other = acme { cache_stale_seconds = 50, rate_limit_calls_per_minute = 1, cache_ttl_seconds = 1 }
    other.call("look", { id = "a" })
    t.advance(2)
    other.call("look", { id = "a" })
    t.advance(0.1)
    assert.equal(1, #other.requests)
    assert.equal("rate_limited", other.logs()[3].error_type)
  end)

  it("is forgotten by ctx.cache.forget, by the operation and its input", function()
    local it = acme()
    it.call("look", { id = "a" })
    assert.is_true(it.call("forget", { id = "a" }).had)
    it.call("look", { id = "a" })
    assert.equal(2, #it.requests)
    assert.is_false(it.call("forget", { id = "b" }).had)
  end)

  it("is not filled by a run that began before it was forgotten", function()
    local it = acme()
    it.upstream("GET /things/a", { delay = 1, json = { old = true } })
    local running <close> = task.spawn(it.call, "look", { id = "a" })
    t.advance(0.5)
    it.call("forget", { id = "a" })
    t.advance(1)
    local _, data = running:join()
    assert.is_true(data.old)
    it.upstream("GET /things/a", { json = { old = false } })
    assert.is_false(it.call("look", { id = "a" }).old)
  end)

  it("serves ctx.call too, with a table of its own each time", function()
    local it = acme()
    assert.is_false(it.call("outer", { id = "a" }).from_cache)
    assert.is_true(it.call("outer", { id = "a" }).from_cache)
    assert.equal(1, #it.requests)
  end)

  it("remembers no more inputs than there is room for, and answers all the same", function()
    local it = acme { rate_limit_enabled = false }
    it.upstream("GET /things/*", { json = { fine = true } })
    local operation = it.generation.integrations.acme.operations.look
    for index = 1, 1100 do
      it.call("outer", { id = tostring(index) })
      assert.is_true(operation.memo.count <= 1000)
    end
    assert.is_true(it.call("outer", { id = "1100" }).from_cache)
    assert.is_true(it.call("outer", { id = "1" }).from_cache)
    it.call("outer", { id = ("x"):rep(300) })
    assert.is_true(it.call("outer", { id = ("x"):rep(300) }).from_cache)
  end)

  it("counts what came of each call and each look-up", function()
    local it = acme()
    local function all()
      return metric('tidegate_calls_total{integration="acme",operation="look",outcome="ok"}'),
        metric('tidegate_calls_total{integration="acme",operation="look",outcome="cached"}'),
        metric('tidegate_cache_requests_total{integration="acme",result="hit"}'),
        metric('tidegate_cache_requests_total{integration="acme",result="miss"}')
    end
    local ok, cached, hits, misses = all()
    it.call("look", { id = "a" })
    it.call("look", { id = "a" })
    it.call("look", { id = "a" })
    assert.same({ ok + 1, cached + 2, hits + 2, misses + 1 }, { all() })
  end)
end)


describe("a mock answer", function()
  it("is never served as real, nor a real one as mock, whatever is flipped when", function()
    local it = acme { cache_stale_seconds = 1000 }
    local seed = os.time()
    math.randomseed(seed)
    local values = it.generation.integrations.acme.values
    for step = 1, 300 do
      values.is_mock_mode = math.random(2) == 1
      local mock = math.random(4) == 1 or nil
      local input = { id = tostring(math.random(5)) }
      local data, meta = it.call("look", input, { mock = mock })
      local expected = values.is_mock_mode or mock or false
      local message = "seed " .. seed .. ", step " .. step
      assert.equal(expected, meta.mock, message)
      assert.equal(expected, data.mocked ~= nil, message)
      if math.random(10) == 1 then
        t.advance(math.random(200))
      end
    end
    t.advance(1)
  end)

  it("is not shared with a real call that runs at the same time", function()
    local it = acme { mock_delay_ms = 500 }
    it.upstream("GET /things/a", { delay = 1, json = { real = true } })
    local results = t.all(times(40, function(index)
      local data, meta = it.call("look", { id = "a" }, { mock = index % 2 == 0 or nil })
      assert.equal(meta.mock, data.mocked ~= nil)
      assert.equal(not meta.mock, data.real == true)
      return true
    end))
    assert.equal(40, #results)
    assert.equal(1, #it.requests)
  end)
end)


describe("concurrent misses", function()
  it("of one key make one request, for a thousand callers", function()
    local it = acme()
    it.upstream("GET /things/a", { delay = 0.2, json = { once = true } })
    local rows = #it.logs()
    local results = t.all(times(1000, function()
      return (it.call("look", { id = "a" }))
    end))
    assert.equal(1000, #results)
    assert.equal(1, #it.requests)
    assert.equal(rows + 1000, #it.logs())
    local with_request = 0
    for _, row in ipairs(it.logs()) do
      with_request = with_request + (row.request_url and 1 or 0)
    end
    assert.equal(1, with_request)
    assert.equal(0, singleflight.count())
  end)

  it("let a leader with a short deadline fail alone", function()
    local it = acme()
    it.upstream("GET /things/a", { delay = 1, json = { late = true } })
    local leader
    local results = t.all({
      function() leader = failure(it.call, "look", { id = "a" }, { timeout_ms = 50 }) return true end,
      function() return (it.call("look", { id = "a" })) end,
      function() return (it.call("look", { id = "a" })) end,
    })
    assert.equal("timeout", leader.code)
    assert.is_true(results[2].late)
    assert.is_true(results[3].late)
    assert.equal(1, #it.requests)
  end)

  it("end with their request when the last caller has left", function()
    local it = acme()
    it.upstream("GET /things/a", { delay = 30, json = {} })
    t.all(times(3, function()
      return failure(it.call, "look", { id = "a" }, { timeout_ms = 50 })
    end))
    assert.equal(0, singleflight.count())
    it.upstream("GET /things/a", { json = { fresh = true } })
    assert.is_true(it.call("look", { id = "a" }).fresh)
  end)

  it("share a failure, and each has its row", function()
    local it = acme()
    it.upstream("GET /things/a", { delay = 0.1, status = 500, json = {} })
    local codes = t.all(times(10, function()
      local err = failure(it.call, "look", { id = "a" })
      assert.equal(500, err.status)
      assert.equal("acme", err.integration)
      return err.code
    end))
    for _, code in ipairs(codes) do
      assert.equal("upstream_error", code)
    end
    assert.equal(1, #it.requests)
    assert.equal(10, #it.logs())
  end)
end)


describe("a failure", function()
  local broken = {
    upstream_error = { status = 500, json = {} },
    network_error = { close = true },
    rate_limited = { status = 429, json = {}, headers = { ["Retry-After"] = "5" } },
    upstream_auth = { status = 403, json = {} },
    timeout = { delay = 100, json = {} },
  }

  it("of the third party is hidden by what was kept, which says so", function()
    for code, answer in pairs(broken) do
      local it = acme { timeout_seconds = 3 }
      it.call("look", { id = "a" })
      t.advance(200)
      it.upstream("GET /things/a", answer)
      local data, meta = it.call("look", { id = "a" })
      assert.equal(1, data.served)
      assert.is_true(meta.stale)
      assert.equal(code, meta.error.code)
      local row = it.logs()[2]
      assert.is_true(row.is_success)
      assert.is_true(row.is_stale)
      assert.equal(code, row.error_type)
      assert.is_string(row.error_message)
    end
  end)

  it("that says something about the input is never hidden", function()
    for code, answer in pairs({ not_found = { status = 404, json = {} }, rejected = { status = 422, json = {} } }) do
      local it = acme()
      it.call("look", { id = "a" })
      t.advance(200)
      it.upstream("GET /things/a", answer)
      assert.equal(code, failure(it.call, "look", { id = "a" }).code)
    end
    local it = acme()
    it.call("look", { id = "a" })
    it.generation.integrations.acme.values.is_enabled = false
    assert.equal("disabled", failure(it.call, "look", { id = "a" }).code)
  end)

  it("is answered by the fallback, whose result is not kept", function()
    local it = acme()
    it.upstream("GET /guess", { status = 500, json = {} })
    local data, meta = it.call("guess", { id = "7" })
    assert.same({ guessed = "7", because = "upstream_error" }, data)
    assert.is_true(meta.fallback)
    assert.is_false(meta.stale)
    assert.equal("upstream_error", meta.error.code)
    assert.is_true(it.logs()[1].is_fallback)
    assert.is_true(it.logs()[1].is_success)
    it.upstream("GET /guess", { json = { real = true } })
    assert.is_true(it.call("guess", { id = "7" }).real)
  end)

  it("stays when the fallback waits or fails itself", function()
    local it = acme()
    it.upstream("GET /guess", { status = 500, json = {} })
    assert.equal("upstream_error", failure(it.call, "waits").code)
    assert.equal("upstream_error", failure(it.call, "fetches").code)
    assert.equal("upstream_error", failure(it.call, "raises").code)
  end)

  it("of the call's own deadline is hidden too", function()
    local it = acme()
    it.call("look", { id = "a" })
    t.advance(200)
    it.upstream("GET /things/a", { delay = 100, json = {} })
    local before = time.monotonic()
    local _, meta = it.call("look", { id = "a" }, { timeout_ms = 100 })
    assert.is_true(meta.stale)
    assert.equal("timeout", meta.error.code)
    assert.is_true(time.monotonic() - before < 0.2)
  end)
end)
