local cache = require "tide.state.cache"
local json = require "tide.json"
local secrets = require "tide.secrets"
local t = require "tide.test"
local task = require "tide.task"

-- Each operation does to ctx.cache what its input says.
local ACME = [[
local fail = require "tide.fail"
local json = require "tide.json"
local operations = {}
for _, name in ipairs { "get", "delete", "delete_pattern" } do
  operations[name] = { run = function(ctx, input) return { ctx.cache[name](input.key) } end }
end
operations.set = { run = function(ctx, input)
  return { ctx.cache.set(input.key, input.value, input.ttl) }
end }
operations.fetch = { run = function(ctx, input)
  return { ctx.cache.fetch(input.key, input.ttl, function() return ctx.http.get("/thing").json end) }
end }
operations.fail = { run = function(ctx, input)
  return ctx.cache.fetch("failing", 60, function()
    ctx.sleep(1)
    if input.how == "return" then return nil, { code = "x" } end
    if input.how == "raise" then error("a mistake") end
    if input.how == "nothing" then return nil end
    if input.how == "function" then return print end
    fail("rate_limited", "slowly", { retry_after = 7, status = 429 })
  end)
end }
operations.delete_meanwhile = { run = function(ctx)
  return ctx.cache.fetch("key", 60, function()
    ctx.cache.delete("another")
    return "old"
  end)
end }
operations.runaway = { run = function(ctx)
  pcall(ctx.cache.fetch, "key", 60, function() while true do end end)
  return "not reached"
end }
operations.forget = { run = function(ctx, input) ctx.cache.forget(input.operation, input.input) return true end }
operations.view = { run = function(ctx)
  ctx.cache.set("view", ctx.config.extra_config)
  return ctx.cache.get("view")
end }
operations.misuse = { run = function(ctx, input)
  local long = ("k"):rep(1025)
  local ways = {
    function() ctx.cache.get() end,
    function() ctx.cache.get(long) end,
    function() ctx.cache.set({}, 1) end,
    function() ctx.cache.set("k", 1, 0) end,
    function() ctx.cache.set("k", 1, "1") end,
    function() ctx.cache.set("k", 1, 0 / 0) end,
    function() ctx.cache.delete(1) end,
    function() ctx.cache.delete_pattern(long) end,
    function() ctx.cache.fetch("k", 60, "fn") end,
    function() ctx.cache.fetch("k", -1, print) end,
    function() ctx.cache.forget(1) end,
    function() ctx.cache.forget("nothing") end,
  }
  ways[input.way]()
end }
for _, operation in pairs(operations) do operation.mock = operation.run end
return {
  config = { base_url = "https://api.acme.example", cache_ttl_seconds = 100, max_retries = 0,
    total_timeout_seconds = 50, extra_config = { language = "ko" } },
  operations = operations,
}
]]
local MISUSES = 12


local function acme(config)
  return t.integration("acme", { source = ACME, config = config })
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  return err
end


local function get(it, key)
  return it.call("get", { key = key })[1]
end


local function set(it, key, value, ttl)
  return it.call("set", { key = key, value = value, ttl = ttl })
end


-- Calls of one operation at the same time; what each gave or raised.
local function together(it, count, operation, input)
  local calls, results = {}, {}
  for index = 1, count do
    calls[index] = function() results[index] = table.pack(pcall(it.call, operation, input)) end
  end
  t.all(calls)
  return results
end


-- Random numbers that a failure can be repeated with.
local function seed()
  local value = os.time()
  math.randomseed(value)
  return "seed " .. value
end


describe("ctx.cache", function()
  it("keeps a value until its time to live is over", function()
    local it = acme()
    assert.is_nil(get(it, "key"))
    assert.same({ true }, set(it, "key", { list = { 1, 2.5, "x" }, none = json.null }, 60))
    assert.same({ list = { 1, 2.5, "x" }, none = json.null }, get(it, "key"))
    t.advance(59)
    assert.is_table(get(it, "key"))
    t.advance(1)
    assert.is_nil(get(it, "key"))
  end)


  it("takes the time to live from cache_ttl_seconds", function()
    local it = acme()
    set(it, "key", false)
    t.advance(99)
    assert.is_false(get(it, "key"))
    t.advance(1)
    assert.is_nil(get(it, "key"))
  end)


  it("gives each look-up a value of its own", function()
    local it = acme()
    set(it, "key", { n = 1 })
    local first = get(it, "key")
    first.n = 2
    assert.same({ n = 1 }, get(it, "key"))
  end)


  it("deletes one key, also by setting nil", function()
    local it = acme()
    set(it, "one", 1)
    set(it, "two", 2)
    assert.same({ true }, it.call("delete", { key = "one" }))
    assert.same({ false }, it.call("delete", { key = "one" }))
    set(it, "two", nil)
    assert.is_nil(get(it, "one"))
    assert.is_nil(get(it, "two"))
  end)


  it("writes the configuration out as it is", function()
    assert.same({ language = "ko" }, acme().call("view"))
  end)


  it("keeps the keys of mock mode, and those of each integration, apart", function()
    local it = acme()
    set(it, "key", "real")
    it.call("set", { key = "key", value = "mock" }, { mock = true })
    assert.equal("real", get(it, "key"))
    assert.same({ "mock" }, (it.call("get", { key = "key" }, { mock = true })))
    assert.is_nil(get(acme(), "key"))
  end)


  it("says that a value is too large to be kept", function()
    local it = acme()
    set(it, "key", "small")
    assert.same({ false, "too_large" }, set(it, "key", ("v"):rep(1048576)))
    assert.equal("small", get(it, "key"))
  end)


  it("counts hits and misses of its own space", function()
    local it = acme()
    get(it, "key")
    set(it, "key", 1)
    get(it, "key")
    get(it, "key")
    local owner = secrets.owner(it.generation.integrations.acme)
    local stats = cache.space(owner .. "/own"):stats()
    assert.equal(2, stats.hits)
    assert.equal(1, stats.misses)
    assert.equal(1, stats.stores)
  end)


  it("raises for what makes no sense, at the line of the script", function()
    local it = acme()
    for way = 1, MISUSES do
      local err = failure(it.call, "misuse", { way = way })
      assert.equal("script_error", err.code)
      assert.is_truthy(err.message:find("acme.lua:%d+: ctx.cache"), err.message)
    end
  end)


  it("Property 30: a value expires after its time to live, whatever that is", function()
    local words = seed()
    local it = acme()
    for _ = 1, 100 do
      local ttl = math.random(1, 100000) / 10
      local share = math.random()
      local key = "key " .. math.random(10)
      set(it, key, ttl, ttl)
      t.advance(ttl * share * 0.999)
      assert.equal(ttl, get(it, key), words)
      t.advance(ttl * (1 - share * 0.999) + 1e-6)
      assert.is_nil(get(it, key), words)
    end
  end)


  it("Property 32: invalidation removes the entries that match, and no others", function()
    local words = seed()
    local it = acme()
    for _ = 1, 40 do
      local prefix, number = ("abc"):sub(math.random(3)), math.random(0, 3)
      for _, letter in ipairs { "abc", "bc", "c" } do
        for digit = 0, 3 do set(it, letter .. ":" .. digit, digit) end
      end
      local pattern = ({ prefix .. ":*", "*:" .. number, prefix .. ":" .. number, "*", "?:" .. number })[math.random(5)]
      local lua_pattern = "^" .. pattern:gsub("[*?]", { ["*"] = ".*", ["?"] = "." }) .. "$"
      local expected = 0
      local removed = it.call("delete_pattern", { key = pattern })[1]
      for _, letter in ipairs { "abc", "bc", "c" } do
        for digit = 0, 3 do
          local key = letter .. ":" .. digit
          local matches = key:find(lua_pattern) ~= nil
          expected = expected + (matches and 1 or 0)
          assert.equal(not matches and digit or nil, get(it, key), words .. " " .. pattern)
        end
      end
      assert.equal(expected, removed, words .. " " .. pattern)
    end
  end)
end)


describe("ctx.cache.fetch", function()
  it("computes once for all who wait, and keeps the value", function()
    local it = acme()
    it.upstream("GET /thing", { json = { n = 1 }, delay = 1 })
    local results = together(it, 20, "fetch", { key = "key", ttl = 60 })
    for index = 1, 20 do
      assert.same({ true, { { n = 1 } } }, { results[index][1], results[index][2] })
    end
    assert.equal(1, #it.requests)
    assert.same({ n = 1 }, get(it, "key"))
    t.advance(58)
    it.call("fetch", { key = "key", ttl = 60 })
    assert.equal(1, #it.requests)
    t.advance(2)
    it.call("fetch", { key = "key", ttl = 60 })
    assert.equal(2, #it.requests)
  end)


  it("gives an error to all who wait, with what the policies need to know, and keeps nothing", function()
    local it = acme()
    for _, result in ipairs(together(it, 5, "fail", {})) do
      assert.is_false(result[1])
      local err = result[2]
      assert.equal("rate_limited", err.code)
      assert.equal("slowly", err.message)
      assert.equal(7, err.retry_after)
      assert.equal(429, err.status)
    end
    assert.is_nil(get(it, "failing"))
  end)


  it("makes a script_error of a mistake, for all who wait", function()
    local it = acme()
    for _, how in ipairs { "raise", "return", "function" } do
      for _, result in ipairs(together(it, 3, "fail", { how = how })) do
        assert.is_false(result[1])
        assert.equal("script_error", result[2].code)
      end
    end
    local results = together(it, 3, "fail", { how = "raise" })
    for index = 1, 3 do assert.is_truthy(results[index][2].message:find("acme.lua:%d+: a mistake")) end
  end)


  it("passes the error of a failed request on as it is", function()
    local it = acme()
    it.upstream("GET /thing", { status = 500, delay = 1 })
    for _, result in ipairs(together(it, 4, "fetch", { key = "key" })) do
      assert.equal("upstream_error", result[2].code)
      assert.equal(500, result[2].status)
    end
    assert.equal(1, #it.requests)
  end)


  it("does not keep nil", function()
    local it = acme()
    assert.equal(json.null, (it.call("fail", { how = "nothing" })))
    assert.is_nil(get(it, "failing"))
  end)


  it("lets a delete that came meanwhile win", function()
    local it = acme()
    assert.equal("old", (it.call("delete_meanwhile")))
    assert.is_nil(get(it, "key"))
  end)


  it("does not give who comes after a delete what was begun before it", function()
    local it = acme()
    local answers = { { json = "old", delay = 2 }, { json = "new", delay = 2 } }
    it.upstream("GET /thing", answers)
    local old, new
    t.all {
      function() old = it.call("fetch", { key = "key" }) end,
      function()
        task.sleep(1)
        it.call("delete", { key = "key" })
        new = it.call("fetch", { key = "key" })
      end,
    }
    assert.same({ "old" }, old)
    assert.same({ "new" }, new)
    assert.equal("new", get(it, "key"))
  end)


  it("is handed over when the call that computes reaches its deadline", function()
    local it = acme()
    it.upstream("GET /thing", { { json = 1, delay = 3 }, { json = 2, delay = 3 } })
    local first, second
    t.all {
      function() first = failure(it.call, "fetch", { key = "key" }, { timeout_ms = 1000 }) end,
      function()
        task.sleep(0.5)
        second = it.call("fetch", { key = "key" })
      end,
    }
    assert.equal("timeout", first.code)
    assert.same({ 2 }, second)
  end)


  it("does not let a script survive an overrun of its budget", function()
    local it = t.integration("acme", { source = ACME })
    it.generation.config.script_timeout_ms = 50
    assert.equal("script_timeout", failure(it.call, "runaway").code)
  end)
end)


describe("ctx.cache.forget", function()
  it("asks the call, for operations that there are", function()
    local it = acme()
    assert.is_true(it.call("forget", { operation = "get", input = { key = "key" } }))
  end)
end)
