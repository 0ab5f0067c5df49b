-- The policies as a caller of the running service sees them: the binary with two workers, a third
-- party and clients with sockets of their own.

local json = require "tide.json"
local task = require "tide.task"
local time = require "tide.time"
local support = require "spec.support.service"
local upstream = require "tide.test.upstream"

local THINGS = [[
local input = { type = "object", required = { "id" }, properties = { id = { type = "string" } } }
local function get(ctx, given)
  return ctx.http.get("/things/{id}", { params = { id = given.id } }).json
end
local function mock(ctx, given)
  return { mocked = given.id }
end
return {
  config = { max_retries = 0, timeout_seconds = 5, rate_limit_enabled = false },
  operations = {
    get = { input = input, run = get, mock = mock },
    look = { input = input, run = get, mock = mock, cache = true },
  },
}
]]

-- One integration for each point, so that none sees another's state.
local INTEGRATIONS = {
  "breaks = { circuit_breaker_timeout_seconds = 1 }",
  "shares = {}",
  "dies = { cache_ttl_seconds = 0.05 }",
  "limited = { rate_limit_enabled = true, rate_limit_calls_per_minute = 2, rate_limit_max_wait_seconds = 0 }",
  "queues = { rate_limit_enabled = true, rate_limit_calls_per_minute = 1200, rate_limit_burst = 1, "
    .. "rate_limit_calls_per_hour = 100000 }",
  "steady = { rate_limit_enabled = true, rate_limit_calls_per_minute = 6000, rate_limit_burst = 100, "
    .. "rate_limit_calls_per_hour = 1000000 }",
  "mocks = { cache_ttl_seconds = 0.02 }",
  "mocked = { is_mock_mode = true }",
  "opened = {}",
}

local TOKEN = "the-token-of-config-lua"
local CLIENTS = 32


describe("a service of two workers", function()
  local project, service, things


  local function serve()
    service = project:serve { workers = 2 }
    service.token = TOKEN
  end


  setup(function()
    things = upstream.new()
    local list = {}
    for index, text in ipairs(INTEGRATIONS) do
      list[index] = text:gsub("= {", ('= { provider = "things", base_url = "%s", '):format(things.url), 1)
    end
    project = support.project {
      ["config.lua"] = ([[return {
        tokens = { { name = "owner", role = "admin", token = "%s" } },
        integrations = { %s },
      }]]):format(TOKEN, table.concat(list, ",\n")),
      ["providers/things.lua"] = THINGS,
    }
    serve()
  end)


  teardown(function()
    project:close()
    things:close()
  end)


  before_each(function()
    things.requests, things.routes = {}, {}
    things:script("GET /things/*", function(request) return { json = { real = request.path:match("[^/]+$") } } end)
    things:script("POST /orders", { json = { state = "ordered" } })
  end)


  -- Runs `fn(index)` for 1 to `count`, `width` at a time; the results in order.
  local function times(count, width, fn)
    local branches = {}
    for index = 1, count do
      branches[index] = function() return fn(index) end
    end
    return task.all(branches, { limit = width })
  end


  local function call(integration, operation, input, headers)
    return service:call(integration, operation, input or { id = "a" }, headers)
  end


  -- Over a connection of its own, so that the workers take turns.
  local function call_fresh(integration, operation, input, headers)
    return service:request("POST", ("/api/v1/integrations/%s/%s"):format(integration, operation),
      { json = input or { id = "a" }, headers = headers, fresh_connection = true })
  end


  local function metrics()
    return select(2, service:request("GET", "/metrics"))
  end


  local function metric(text, series)
    return tonumber(text:match("\n" .. series:gsub("%p", "%%%0") .. " (%S+)"))
  end


  local function row_of(trace_id)
    return support.wait("the row", function()
      local _, page = service:request("GET", "/api/v1/logs?trace_id=" .. trace_id)
      return page.data[1]
    end)
  end


  local function log_line(what, wanted)
    return support.wait(what, function()
      for text in service:stdout():gmatch("[^\n]+") do
        local line = json.decode(text)
        if line and wanted(line) then
          return line
        end
      end
    end)
  end


  -- The middle of the milliseconds that `fn` takes.
  local function median_ms(count, fn)
    local list = {}
    for index = 1, count do
      local started = time.monotonic()
      fn()
      list[index] = (time.monotonic() - started) * 1000
    end
    table.sort(list)
    return list[count // 2 + 1]
  end


  describe("opens the breaker of an integration", function()
    local function break_it(integration)
      things:script("GET /things/*", { status = 500, json = {} })
      for _ = 1, 5 do
        assert.equal(502, (call_fresh(integration, "get")))
      end
    end


    it("after five failures, refuses on every worker without a request, and closes it by one probe", function()
      break_it("breaks")
      local sent = #things.requests
      for _ = 1, 8 do
        local status, problem, headers = call_fresh("breaks", "get")
        assert.equal(503, status)
        assert.equal("circuit_open", problem.code)
        assert.equal("breaker", problem.policy)
        assert.is_true(problem.retryable)
        assert.equal("1", headers["retry-after"])
      end
      assert.equal(sent, #things.requests)
      assert.equal(1, metric(metrics(), 'tidegate_breaker_state{integration="breaks",state="open"}'))
      things:script("GET /things/*", { json = { back = true } })
      support.wait("the probe", function()
        local status, body = call_fresh("breaks", "get")
        assert(status == 200 or status == 503, status)
        return status == 200 and body.meta.circuit_breaker_state == "half_open"
      end)
      assert.equal(sent + 1, #things.requests)
      for _ = 1, 8 do
        local status, body = call_fresh("breaks", "get")
        assert.equal(200, status)
        assert.equal("closed", body.meta.circuit_breaker_state)
      end
      local text = metrics()
      assert.equal(1, metric(text, 'tidegate_breaker_state{integration="breaks",state="closed"}'))
      assert.equal(0, metric(text, 'tidegate_breaker_state{integration="breaks",state="open"}'))
      assert.equal(1, metric(text, 'tidegate_breaker_transitions_total{integration="breaks",state="open"}'))
    end)


    it("and refuses in no time", function()
      break_it("opened")
      -- What the machine needs for any request goes off: it may be busy.
      local health = median_ms(21, function() service:request("GET", "/health") end)
      local refusal = median_ms(21, function() assert.equal(503, (call("opened", "get"))) end)
      assert.is_true(refusal < health + 5, ("%.1f ms, /health %.1f ms"):format(refusal, health))
    end)
  end)


  describe("lets callers share", function()
    it("one request of a thousand that ask the same at once", function()
      things:script("GET /things/*", { delay = 1.5, json = { shared = true } })
      local seen = {}
      times(1000, 1000, function()
        local status, body = call_fresh("shares", "look", { id = "same" })
        assert(status == 200 and body.data.shared, status)
        seen[body.meta.from_cache] = (seen[body.meta.from_cache] or 0) + 1
        return true
      end)
      assert.equal(1, #things.requests)
      assert.equal(1000, (seen[false] or 0) + (seen[true] or 0))
      local text = metrics()
      local ok = metric(text, 'tidegate_calls_total{integration="shares",operation="look",outcome="ok"}') or 0
      local cached = metric(text, 'tidegate_calls_total{integration="shares",operation="look",outcome="cached"}') or 0
      assert.equal(1000, ok + cached)
      assert.equal(1, metric(text, 'tidegate_upstream_requests_total{integration="shares",status="200"}'))
    end)


    it("a run that outlives the one who began it", function()
      things:script("GET /things/*", { delay = 0.4, json = { shared = true } })
      local first = task.spawn(function()
        return call_fresh("shares", "look", { id = "hurried" }, { ["X-Timeout-Ms"] = "50" })
      end)
      support.wait("the upstream", function() return things.requests[1] end)
      local others = times(20, 20, function()
        return (call_fresh("shares", "look", { id = "hurried" }))
      end)
      local _, status, problem = first:join()
      assert.equal(504, status)
      assert.equal("timeout", problem.code)
      for _, other in ipairs(others) do
        assert.equal(200, other)
      end
      assert.equal(1, #things.requests)
    end)


    it("one failure, which each is told", function()
      things:script("GET /things/*", { delay = 0.3, status = 500, json = {} })
      local codes = times(50, 50, function()
        local status, problem = call_fresh("shares", "look", { id = "failing" })
        return status .. problem.code .. problem.attempts
      end)
      for _, code in ipairs(codes) do
        assert.equal("502upstream_error1", code)
      end
      assert.equal(1, #things.requests)
    end)
  end)


  it("gives what it kept while the third party is away, says so, and hides no 404", function()
    assert.equal(200, (call("dies", "look")))
    things:script("GET /things/*", { status = 404, json = {} })
    support.wait("the entry to expire", function()
      local status = call("dies", "look")
      return status == 404
    end)
    things:script("GET /things/*", { close = true })
    local status, body = call_fresh("dies", "look")
    assert.equal(200, status)
    assert.is_true(body.meta.stale)
    assert.is_true(body.meta.from_cache)
    assert.equal("network_error", body.meta.error.code)
    assert.is_string(body.meta.error.detail)
    assert.equal("a", body.data.real)
    local row = row_of(body.meta.trace_id)
    assert.is_true(row.is_success)
    assert.is_true(row.is_stale)
    assert.equal("network_error", row.error_type)
    -- Nobody listens any more.
    local address = things.listener.address
    things.listener:close()
    status, body = call_fresh("dies", "look")
    things:listen(address)
    assert.equal(200, status)
    assert.is_true(body.meta.stale)
    assert.equal("network_error", body.meta.error.code)
  end)


  describe("limits the requests to a third party", function()
    it("and says so in the answer, the log, the metrics and the row", function()
      assert.equal(200, (call_fresh("limited", "get")))
      assert.equal(200, (call_fresh("limited", "get")))
      local status, problem, headers = call_fresh("limited", "get")
      assert.equal(429, status)
      assert.equal("rate_limited", problem.code)
      assert.equal("limit", problem.policy)
      assert.is_true(problem.retryable)
      local seconds = tonumber(headers["retry-after"])
      assert.is_true(seconds >= 1 and seconds <= 30, headers["retry-after"])
      assert.equal(seconds, problem.retry_after)
      assert.equal(2, #things.requests)
      local line = log_line("the line of the log", function(line) return line.message == "rate limit reached" end)
      assert.equal("limited", line.integration)
      assert.equal(problem.trace_id, line.trace_id)
      local text = metrics()
      assert.equal(1, metric(text, 'tidegate_rate_limited_total{integration="limited"}'))
      assert.equal(1,
        metric(text, 'tidegate_calls_total{integration="limited",operation="get",outcome="rate_limited"}'))
      assert.is_true(metric(text, 'tidegate_rate_limit_tokens{integration="limited",window="minute"}') < 1)
      local row = row_of(problem.trace_id)
      assert.equal("rate_limited", row.error_type)
      assert.is_false(row.is_success)
    end)


    it("in the order in which they came", function()
      call("queues", "get", { id = "0" })
      local order = {}
      local calls = {}
      for index = 1, 8 do
        calls[index] = task.spawn(function()
          local status, body = call_fresh("queues", "get", { id = tostring(index) })
          assert(status == 200, status)
          order[#order + 1] = tonumber(body.data.real)
        end)
        support.wait("it to wait", function()
          return metric(metrics(), 'tidegate_rate_limit_waiting{integration="queues"}') + #things.requests > index
        end)
      end
      for _, one in ipairs(calls) do
        assert(one:join())
      end
      local sent = {}
      for index, request in ipairs(things.requests) do
        sent[index] = tonumber(request.path:match("%d+$"))
      end
      assert.same({ 0, 1, 2, 3, 4, 5, 6, 7, 8 }, sent)
      assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, order)
    end)


    it("to what the rate and the burst allow, however many callers press", function()
      local seconds = tonumber(os.getenv("SPEC_LIMIT_SECONDS")) or 5
      things:script("GET /things/*", { json = {} })
      local ending
      times(CLIENTS, CLIENTS, function(client)
        while not ending or time.monotonic() < ending do
          local status = call("steady", "get", { id = tostring(client) })
          ending = ending or time.monotonic() + seconds
          assert(status == 200, status)
        end
        return true
      end)
      -- From the first to the last request as the third party saw them.
      local first, last, count = things.requests[1].at, 0, 0
      for _, request in ipairs(things.requests) do
        if request.at - first <= seconds then
          count, last = count + 1, request.at - first
        end
      end
      local expected = 100 * seconds + 100
      assert.is_true(math.abs(count - expected) <= expected / 100, ("%d requests in %.3f s, expected %d"):format(count,
        last, expected))
      if os.getenv("SPEC_LIMIT_SECONDS") then
        print(("%d requests in %.3f s, expected %d"):format(count, last, expected))
      end
    end)
  end)


  it("never takes a mock's answer for a real one, nor a real one for a mock's", function()
    local seed = os.time()
    math.randomseed(seed)
    local choices = {}
    for index = 1, 600 do
      choices[index] = { mock = math.random(2) == 1, id = tostring(math.random(4)),
        operation = math.random(2) == 1 and "look" or "get", fresh = math.random(8) == 1 }
    end
    times(#choices, 16, function(index)
      local choice = choices[index]
      local headers = { ["X-Mock"] = choice.mock and "1" or math.random(2) == 1 and "0" or nil }
      local status, body = (choice.fresh and call_fresh or call)("mocks", choice.operation, { id = choice.id }, headers)
      local about = ("seed %d, call %d"):format(seed, index)
      assert(status == 200, about)
      assert(body.meta.mock == choice.mock, about)
      assert(body.data[choice.mock and "mocked" or "real"] == choice.id, about)
      return true
    end)
    for _, operation in ipairs { "look", "get", "look" } do
      local status, body = call_fresh("mocked", operation, { id = "m" }, { ["X-Mock"] = "0" })
      assert.equal(200, status)
      assert.is_true(body.meta.mock)
      assert.equal("m", body.data.mocked)
    end
  end)
end)
