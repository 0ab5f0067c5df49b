local t = require "tide.test"
local time = require "tide.time"
local errors = require "tide.errors"
local call = require "tide.call"
local generation = require "tide.generation"
local http = require "tide.http"

local ACME = [[
return {
  config = { base_url = "https://api.acme.example/v2", max_retries = 0 },
  operations = {
    get = { input = true, run = function(ctx, input) return { body = ctx.http.get(input.path).body } end },
    nap = { run = function(ctx) ctx.sleep(3600) return {} end },
    post_then_fail = {
      run = function(ctx)
        ctx.call("beta", "create", {})
        return ctx.http.get("/status").json
      end,
    },
  },
}
]]

local BETA = [[
return {
  config = { base_url = "https://beta.example/b", max_retries = 0 },
  operations = { create = { run = function(ctx) return ctx.http.post("/create", { json = {} }).json end } },
}
]]


local function acme(options)
  options = options or {}
  options.source = ACME
  return t.integration("acme", options)
end


describe("tide.test", function()
  it("fails a call whose request no script answers, naming it", function()
    local it = acme()
    local ok, problem = pcall(it.call, "get", { path = "/nowhere?a=1" })
    assert.is_false(ok)
    assert.is_truthy(tostring(problem):find("GET /v2/nowhere?a=1", 1, true))
  end)

  it("answers a list one after the other, and stays at the last", function()
    local it = acme()
    it.upstream("GET /v2/a", { { body = "one" }, { body = "two" } })
    local bodies = {}
    for index = 1, 3 do
      bodies[index] = (it.call("get", { path = "/a" })).body
    end
    assert.same({ "one", "two", "two" }, bodies)
  end)

  it("answers by the latest script that matches", function()
    local it = acme()
    it.upstream("* /v2/*", { body = "any" })
    it.upstream("GET /v2/a", { body = "exact" })
    assert.equal("exact", (it.call("get", { path = "/a" })).body)
    assert.equal("any", (it.call("get", { path = "/b" })).body)
  end)

  it("shows a script that raises as the failure of the call", function()
    local it = acme()
    it.upstream("GET /v2/a", function() error("no idea") end)
    local ok, problem = pcall(it.call, "get", { path = "/a" })
    assert.is_false(ok)
    assert.is_truthy(tostring(problem):find("no idea", 1, true))
  end)

  it("moves the clock on while a call waits, in no time", function()
    local it = acme({ config = { total_timeout_seconds = 4000 } })
    local before = time.monotonic()
    it.call("nap", {})
    assert.is_true(time.monotonic() - before > 3599)
  end)

  it("moves the clock on when told", function()
    acme()
    local before, wall = time.monotonic(), time.now()
    t.advance(60)
    assert.is_true(math.abs(time.monotonic() - before - 60) < 0.01)
    assert.is_true(math.abs(time.now() - wall - 60) < 0.01)
  end)

  it("gives every runtime state of its own", function()
    local source = [[
return { secrets = { "key" }, operations = { key = { run = function(ctx) return { key = ctx.secret("key") } end } } }
]]
    local first = t.integration("acme", { source = source, secrets = { key = "first-0123456789" } })
    local second = t.integration("acme", { source = source, secrets = { key = "second-0123456789" } })
    assert.equal("first-0123456789", (first.call("key", {})).key)
    assert.equal("second-0123456789", (second.call("key", {})).key)
  end)

  it("ends a runtime with the test that made it", function()
    local it = acme()
    it.close()
    local answer, _, code = http.request({ method = "GET", url = it.url .. "/" })
    assert.is_nil(answer)
    assert.equal("network_error", code)
  end)

  it("refuses options and secrets that do not exist", function()
    assert.has_error(function() t.integration("acme", { source = ACME, secret = {} }) end)
    assert.has_error(function() t.integration("acme", { source = ACME, secrets = { nothing = "x" } }) end)
    assert.has_error(function() t.integration("no_such_provider") end)
  end)
end)


describe("a call of an integration that did not load", function()
  it("says so, with the place of the fault", function()
    local built = assert(generation.build({
      config = { integrations = { broken = {} } },
      files = { { name = "broken", path = "providers/broken.lua", text = "return {\n  operations = 5,\n}\n" } },
    }))
    call.bind(built)
    local result, err = call.run(built, "broken", "anything", {}, { trace_id = ("ab"):rep(16) })
    assert.is_nil(result)
    assert.equal("not_loaded", err.code)
    assert.is_truthy(err.message:find("providers/broken.lua:2", 1, true), err.message)
    assert.is_number(errors.problem(err).retry_after)
    assert.equal(("ab"):rep(16), err.trace_id)
  end)
end)


describe("an attempt that called another integration", function()
  it("is not repeated when that call may have taken effect", function()
    local it = acme({ config = { max_retries = 3 }, also = { beta = { source = BETA } } })
    it.upstream("POST /b/create", { json = {} })
    it.upstream("GET /v2/status", { status = 500 })
    local ok, err = pcall(it.call, "post_then_fail", {})
    assert.is_false(ok)
    assert.equal(1, err.attempts)
    assert.equal(2, #it.requests)
  end)
end)
