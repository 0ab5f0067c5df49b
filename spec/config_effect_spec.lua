-- What a change of the configuration does to calls that are under way, and to what policies know: the binary
-- with two workers and a third party.

local http = require "tide.http"
local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"
local upstream = require "tide.test.upstream"

local THINGS <const> = [[
local function get(ctx, given)
  return { value = ctx.http.get("/things/" .. given.id).json, extra = ctx.config.extra_config.number }
end
local function mock(ctx)
  return { extra = ctx.config.extra_config.number }
end
return {
  config = { max_retries = 0, timeout_seconds = 5 },
  operations = {
    get = { input = true, run = get, mock = mock },
    keep = { input = true, run = get, mock = mock, cache = true },
  },
}
]]

local HOOKED <const> = [[
return { type = "webhook", operations = {}, webhooks = { shop = {
  signature = { scheme = "none" }, event_type = "type", on = { a = function() end },
} } }
]]

local function answering(number)
  return ([[return { operations = { get = { run = function(ctx)
    return { code = %d, retries = ctx.config.max_retries }
  end } } }]]):format(number)
end


-- A change is answered when it is published; a worker takes it when its next task begins.
local EFFECT_SECONDS <const> = 0.1


describe("a change of the configuration", function()
  local project, service, things, others


  setup(function()
    things, others = upstream.new(), upstream.new()
    project = support.project {
      ["config.lua"] = ([[return { defaults = { base_url = %q }, integrations = {
        busy = { provider = "things", rate_limit_enabled = false }, limited = { provider = "things" },
        waited = { provider = "things", total_timeout_seconds = 600 }, broken = { provider = "things" },
        crowded = { provider = "things", rate_limit_enabled = false }, kept = { provider = "things" },
        cached = { provider = "things" },
      } }]]):format(things.url),
      ["providers/things.lua"] = THINGS,
      ["providers/hooked.lua"] = HOOKED,
      ["providers/both.lua"] = answering(0),
    }
    service = project:serve { workers = 2 }
  end)


  teardown(function()
    project:close()
    things:close()
    others:close()
  end)


  before_each(function()
    for index, third in ipairs { things, others } do
      third.requests, third.routes = {}, {}
      third:script("GET /things/*", { json = index })
    end
  end)


  local function change(name, changes)
    local status, body = service:request("PATCH", ("/api/v1/integrations/%s/config"):format(name), { json = changes })
    assert.equal(200, status, body.detail)
  end


  local function call(name, operation, id)
    return service:request("POST", ("/api/v1/integrations/%s/%s"):format(name, operation or "get"),
      { json = { id = id or "a" }, fresh_connection = true })
  end


  -- How a policy stands, as explain has it.
  local function state(name, policy)
    local status, body = service:request("POST", ("/api/v1/integrations/%s/get/explain"):format(name),
      { json = { id = "a" } })
    assert.equal(200, status, body.detail)
    for _, step in ipairs(body.data.policies) do
      if step.policy == policy then
        return step.state
      end
    end
  end


  local function tokens(name)
    return math.floor(state(name, "limit").minute + 0.001)
  end


  -- Values that no call can fail by.
  local FLIPS <const> = {
    { is_mock_mode = true }, { is_mock_mode = false }, { max_retries = 2, timeout_seconds = 3 },
    { cache_enabled = false }, { max_concurrency = 50 }, { max_concurrency = json.null },
    { circuit_breaker_failure_threshold = 2 },
    { rate_limit_enabled = true, rate_limit_calls_per_minute = 1000000, rate_limit_calls_per_hour = 10000000 },
    { circuit_breaker_window_seconds = 10, circuit_breaker_failure_rate = 0.5 }, { rate_limit_enabled = false },
    { log_calls = "failed", log_bodies = false }, { extra_config = { number = 7 } }, { extra_config = json.null },
  }


  it("fails no call that is under way, whatever it changes, and none that begins", function()
    local is_over, calls, failures = false, 0, {}
    local branches = {}
    for client = 1, 8 do
      branches[client] = function()
        while not is_over do
          local operation = client % 2 == 0 and "get" or "keep"
          local status, body = service:request("POST", "/api/v1/integrations/busy/" .. operation,
            { json = { id = "a" .. client }, fresh_connection = client % 4 == 0 })
          calls = calls + 1
          failures[#failures + 1] = status ~= 200 and #failures < 3 and json.encode(body) or nil
        end
        return true
      end
    end
    branches[9] = function()
      local ending, changes = time.monotonic() + 2, 0
      while time.monotonic() < ending or changes < 2 * #FLIPS do
        change("busy", FLIPS[changes % #FLIPS + 1])
        change("busy", { base_url = changes % 2 == 0 and others.url or json.null })
        changes = changes + 1
      end
      is_over = true
      return true
    end
    task.all(branches, { limit = 9 })
    assert.same({}, failures)
    assert.is_true(calls > 100)
    assert.is_true(#things.requests > 0 and #others.requests > 0)
  end)


  it("is in effect on all workers within 100 ms of its commit", function()
    for round = 1, 10 do
      local started = time.monotonic()
      change("busy", { is_mock_mode = true, extra_config = { number = round } })
      local took = time.monotonic() - started
      assert.is_true(took < 1, took)
      for _ = 1, 6 do
        local status, body = call("busy")
        assert.equal(200, status)
        assert.equal(round, body.data.extra)
      end
    end
    change("busy", { is_mock_mode = json.null, extra_config = json.null })
  end)


  it("of a limit keeps the tokens that are there, and cuts them to a smaller bucket", function()
    change("limited", { rate_limit_calls_per_minute = 10 })
    for _ = 1, 6 do
      assert.equal(200, (call("limited")))
    end
    local before = tokens("limited")
    assert.is_true(before >= 4 and before <= 5)
    change("limited", { rate_limit_calls_per_minute = 20 })
    assert.is_true(tokens("limited") <= before + 1)
    change("limited", { rate_limit_calls_per_minute = 2 })
    assert.equal(2, tokens("limited"))
    change("limited", { rate_limit_calls_per_minute = 0 })
    local status, problem = call("limited")
    assert.same({ 429, "rate_limited" }, { status, problem.code })
    change("limited", { rate_limit_enabled = false })
    assert.equal(200, (call("limited")))
  end)


  it("of a limit is at once that of those who wait in its line", function()
    change("waited", { rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 300 })
    assert.equal(200, (call("waited")))
    local started, statuses = time.monotonic(), {}
    local branches = {}
    for index = 1, 4 do
      branches[index] = function()
        statuses[index] = call("waited")
        return true
      end
    end
    branches[5] = function()
      support.wait("four to wait", function() return state("waited", "limit").waiting == 4 end)
      started = time.monotonic()
      change("waited", { rate_limit_calls_per_minute = 60000 })
      return true
    end
    task.all(branches, { limit = 5 })
    assert.is_true(time.monotonic() - started < 1 + EFFECT_SECONDS)
    assert.same({ 200, 200, 200, 200 }, statuses)
  end)


  it("of a limit ends the wait of those who would now wait too long", function()
    change("waited", { rate_limit_calls_per_minute = 1, rate_limit_max_wait_seconds = 300, rate_limit_burst = 1 })
    call("waited")
    local status, problem
    task.all({
      function() status, problem = call("waited") return true end,
      function()
        support.wait("one to wait", function() return state("waited", "limit").waiting == 1 end)
        change("waited", { rate_limit_calls_per_minute = 0 })
        return true
      end,
    })
    assert.same({ 429, "rate_limited" }, { status, problem.code })
  end)


  it("of the breaker's threshold keeps its count and its state", function()
    things:script("GET /things/*", { status = 500 })
    change("broken", { circuit_breaker_failure_threshold = 10, circuit_breaker_timeout_seconds = 300 })
    for _ = 1, 3 do
      assert.equal(502, (call("broken")))
    end
    change("broken", { circuit_breaker_failure_threshold = 4 })
    local breaker = state("broken", "breaker")
    assert.same({ "closed", 3 }, { breaker.state, breaker.consecutive_failures })
    assert.equal(502, (call("broken")))
    assert.equal("open", state("broken", "breaker").state)
    change("broken", { circuit_breaker_failure_threshold = 100 })
    assert.equal("open", state("broken", "breaker").state)
    change("broken", { circuit_breaker_enabled = false })
    assert.equal("closed", state("broken", "breaker").state)
    assert.equal(502, (call("broken")))
  end)


  it("of the breaker's failure rate keeps what is in its window", function()
    change("kept", { circuit_breaker_window_seconds = 60, circuit_breaker_failure_rate = 1,
      rate_limit_enabled = false })
    for index = 1, 12 do
      things:script("GET /things/*", { status = index % 2 == 0 and 500 or 200, json = 1 })
      call("kept")
    end
    local breaker = state("kept", "breaker")
    assert.same({ "closed", 12, 6 }, { breaker.state, breaker.calls, breaker.failures })
    change("kept", { circuit_breaker_failure_rate = 0.5 })
    breaker = state("kept", "breaker")
    assert.same({ "closed", 12, 6 }, { breaker.state, breaker.calls, breaker.failures })
    things:script("GET /things/*", { status = 500 })
    call("kept")
    assert.equal("open", state("kept", "breaker").state)
  end)


  it("of max_concurrency lets those in who wait", function()
    local gate = false
    things:script("GET /things/*", function()
      support.wait("the gate to open", function() return gate end)
      return { json = 1 }
    end)
    change("crowded", { max_concurrency = 1 })
    local statuses, branches = {}, {}
    for index = 1, 4 do
      branches[index] = function()
        statuses[index] = call("crowded", "get", "c" .. index)
        return true
      end
    end
    branches[5] = function()
      support.wait("three to wait", function() return state("crowded", "concurrency").waiting == 3 end)
      change("crowded", { max_concurrency = 4 })
      support.wait("four to run", function() return #things.requests == 4 end)
      gate = true
      return true
    end
    task.all(branches, { limit = 5 })
    assert.same({ 200, 200, 200, 200 }, statuses)
  end)


  it("leaves what is cached", function()
    assert.equal(200, (call("cached", "keep")))
    change("cached", { cache_ttl_seconds = 7200, max_retries = 3 })
    local status, body = call("cached", "keep")
    assert.same({ 200, true }, { status, body.meta.from_cache })
  end)


  it("whose sender goes away is in effect as it is stored, or neither", function()
    change("busy", { is_mock_mode = true })
    for index = 1, 30 do
      http.request { method = "PATCH", url = service.origin .. "/api/v1/integrations/busy/config",
        headers = { { "Authorization", "Bearer " .. service.token }, { "Content-Type", "application/json" } },
        body = json.encode { extra_config = { number = index } },
        timeout_seconds = 0.0005 * index, fresh_connection = true }
    end
    local stored
    support.wait("what is under way to end", function()
      local before = stored
      task.sleep(0.2)
      local _, body = service:request("GET", "/api/v1/integrations/busy/config")
      stored = body.data.version
      return stored == before
    end)
    local _, body = service:request("GET", "/api/v1/integrations/busy/config")
    for _ = 1, 8 do
      local _, answer = call("busy")
      assert.equal(body.data.values.extra_config.number, answer.data.extra)
    end
    change("busy", { is_mock_mode = json.null, extra_config = json.null })
  end)


  it("reaches what takes webhooks", function()
    local function send(body)
      return (service:request("POST", "/api/v1/webhooks/hooked/shop", { body = body, token = false }))
    end
    local large = json.encode { type = "a", text = ("x"):rep(3000000) }
    assert.equal(413, send(large))
    change("hooked", { webhook_max_bytes = 4000000 })
    support.wait("a large webhook to be taken", function() return send(large) == 200 end, 2 * EFFECT_SECONDS)
    change("hooked", { webhook_max_bytes = json.null })
    assert.same({ 413, 200 }, { send(large), send('{"type":"a"}') })
    change("hooked", { webhook_rate_limit_per_minute = 0 })
    assert.equal(429, send('{"type":"b"}'))
    change("hooked", { webhook_rate_limit_per_minute = json.null, webhook_ip_allowlist = { "10.0.0.0/8" } })
    assert.equal(403, send('{"type":"c"}'))
    change("hooked", { webhook_ip_allowlist = json.null, is_enabled = false })
    assert.equal(503, send('{"type":"e"}'))
    change("hooked", { is_enabled = true })
    assert.equal(200, send('{"type":"f"}'))
  end)


  it("and a reload at the same time are both in effect in the end", function()
    local rounds = 12
    task.all {
      function()
        for index = 1, rounds do
          project:write("providers/both.lua", answering(index))
          task.sleep(0.05)
        end
        return true
      end,
      function()
        for index = 1, rounds do
          change("both", { max_retries = index })
          local status, body = call("both")
          assert.same({ 200, index }, { status, body.data and body.data.retries or body.detail })
          task.sleep(0.04)
        end
        return true
      end,
    }
    support.wait("the last version", function()
      local _, body = call("both")
      return body.data.code == rounds
    end)
    for _ = 1, 8 do
      local _, body = call("both")
      assert.same({ code = rounds, retries = rounds }, body.data)
    end
  end)


  it("takes no memory, however many there are", function()
    local function used()
      local sum = 0
      for bytes in select(2, service:request("GET", "/metrics")):gmatch("\ntidegate_lua_memory_bytes{[^}]*} (%d+)") do
        sum = sum + tonumber(bytes)
      end
      return sum
    end
    local function changes(count)
      local branches = {}
      for index = 1, count do
        branches[index] = function()
          change("crowded", { slow_call_ms = index % 100 + 1,
            extra_config = { text = ("x"):rep(1000), number = index } })
          return true
        end
      end
      task.all(branches, { limit = 8 })
    end
    changes(50)
    local before = used()
    changes(300)
    assert.is_true(before > 0)
    assert.is_true(used() - before < 16 * 1024 * 1024)
  end)
end)
