local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"
local support = require "spec.support.service"
local upstream = require "tide.test.upstream"

local SHOP = [[
local fail = require "tide.fail"
return {
  summary = "A shop",
  secrets = { "api_key" },
  config = { max_retries = 0, timeout_seconds = 5 },
  operations = {
    order = {
      summary = "Orders something",
      input = {
        type = "object", required = { "item" },
        properties = { item = { type = "string" }, count = { type = "integer", default = 1 } },
      },
      run = function(ctx, input)
        local res = ctx.http.get("/orders/{item}", { params = { item = input.item } })
        return { item = input.item, count = input.count, seen = res.json }
      end,
      mock = function(ctx, input) return { item = input.item, count = input.count } end,
    },
    broken = { run = function() local nothing = nil; return nothing.field end },
    limited = { run = function() fail("rate_limited", "slower, please", { retry_after = 7 }) end },
    keyed = { run = function(ctx) return { key = ctx.idempotency_key } end },
    leak = { run = function(ctx) error("the key is " .. ctx.secret("api_key")) end },
  },
}
]]
local SECRET = "s3cret-value-of-the-shop"


describe("the HTTP API", function()
  local project, service, shop


  setup(function()
    shop = upstream.new()
    project = support.project {
      ["config.lua"] = ([[return { integrations = {
        shop = { base_url = "%s" },
        off = { provider = "shop", is_enabled = false },
      } }]]):format(shop.url),
      ["providers/shop.lua"] = SHOP,
      ["providers/wrong.lua"] = "return { operations = {\n  a = { rum = 1 } } }",
    }
    service = project:serve { environment = { TIDEGATE_SHOP_API_KEY = SECRET } }
  end)


  teardown(function()
    project:close()
    shop:close()
  end)


  before_each(function()
    shop.requests, shop.routes = {}, {}
    shop:script("GET /orders/*", { json = { state = "ordered" } })
  end)


  local function assert_problem(status, code, answer_status, problem, headers)
    assert.equal(status, answer_status, json.encode(problem))
    assert.equal("application/problem+json", headers["content-type"])
    assert.equal(code, problem.code)
    assert.equal("urn:tidegate:error:" .. code, problem.type)
    assert.equal(status, problem.status)
    assert.is_string(problem.title)
    assert.is_string(problem.detail)
    assert.is_boolean(problem.retryable)
    assert.equal(headers["x-trace-id"], problem.trace_id)
    assert.matches("^%x+$", problem.trace_id)
    return problem, headers
  end


  -- The row of a call, once it is committed.
  local function row_of(trace_id)
    local id = support.wait("the row of " .. trace_id, function()
      local _, page = service:request("GET", "/api/v1/logs?trace_id=" .. trace_id)
      return page.data[1] and page.data[1].id
    end)
    local status, answer = service:request("GET", "/api/v1/logs/" .. id)
    assert.equal(200, status)
    return answer.data
  end


  describe("calls", function()
    it("answer with data and meta, under a trace id", function()
      local status, answer, headers = service:call("shop", "order", { item = "tea" })
      assert.equal(200, status)
      assert.equal("application/json", headers["content-type"])
      assert.same({ item = "tea", count = 1, seen = { state = "ordered" } }, answer.data)
      assert.same({
        integration = "shop", operation = "order", trace_id = headers["x-trace-id"],
        duration_ms = answer.meta.duration_ms, attempts = 1, from_cache = false, age_seconds = 0, stale = false,
        fallback = false, mock = false, circuit_breaker_state = "closed",
      }, answer.meta)
      assert.equal("integer", math.type(answer.meta.duration_ms))
    end)


    it("take an input that is wrong for a 400 that points at it", function()
      local problem = assert_problem(400, "invalid_input", service:call("shop", "order", { count = "many" }))
      local pointers = {}
      for _, fault in ipairs(problem.errors) do
        pointers[fault.pointer] = true
      end
      assert.is_true(pointers["#/count"])
      assert.equal("shop", problem.integration)
      assert.equal("order", problem.operation)
      assert.equal(0, #shop.requests)
    end)


    it("to what does not exist are a 404", function()
      assert_problem(404, "no_such_operation", service:call("nothing", "order"))
      assert_problem(404, "no_such_operation", service:call("shop", "nothing"))
      assert_problem(404, "no_such_operation", service:call("shop", "or%64er%2f"))
    end)


    it("to what was misspelt say what may have been meant, and repeat it as it was typed", function()
      local function detail_of(...) return select(2, service:call(...)).detail end
      assert.equal('there is no integration "shpo" (did you mean shop?)', detail_of("shpo", "order"))
      assert.equal('shop has no operation "ordre" (did you mean order?)', detail_of("shop", "ordre"))
      assert.equal('there is no integration "날씨"', detail_of("%EB%82%A0%EC%94%A8", "x"))
      assert.is_true(#detail_of("%0A" .. ("n"):rep(3000), "x") < 150)
    end)


    it("to what is disabled or did not load are a 503 that says so", function()
      local problem, headers = assert_problem(503, "disabled", service:call("off", "order", { item = "tea" }))
      assert.is_true(problem.retryable)
      assert.equal(tostring(problem.retry_after), headers["retry-after"])
      problem = assert_problem(503, "not_loaded", service:call("wrong", "a"))
      assert.matches("providers/wrong%.lua:2", problem.detail)
    end)


    it("want a JSON object, and say which of the two is missing", function()
      local path = "/api/v1/integrations/shop/order"
      for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "application/jsonp", ";", "" } do
        assert_problem(415, "unsupported_media_type", service:request("POST", path, { body = '{"item":"tea"}',
          headers = { ["Content-Type"] = kind } }))
      end
      for _, kind in ipairs { "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.a+json" } do
        assert.equal(200, (service:request("POST", path, { body = '{"item":"tea"}',
          headers = { ["Content-Type"] = kind } })))
      end
      for _, body in ipairs { "[]", '"tea"', "null", "7", "", '{"item":"tea"', '{"item":"tea"}{}' } do
        assert_problem(400, "invalid_input", service:request("POST", path, { body = body }))
      end
    end)


    it("answer an upstream's failures as problems that say whether to try again", function()
      shop:script("GET /orders/*", { status = 503, json = {} })
      local problem = assert_problem(502, "upstream_error", service:call("shop", "order", { item = "tea" }))
      assert.equal(503, problem.upstream_status)
      assert.equal(1, problem.attempts)
      shop:script("GET /orders/*", { status = 404, json = {} })
      assert_problem(404, "not_found", service:call("shop", "order", { item = "tea" }))
      shop:script("GET /orders/*", { status = 422, json = { reason = "confidential" } })
      problem = assert_problem(422, "rejected", service:call("shop", "order", { item = "tea" }))
      assert.is_nil(json.encode(problem):find("confidential", 1, true))
      local _, headers = assert_problem(429, "rate_limited", service:call("shop", "limited"))
      assert.equal("7", headers["retry-after"])
    end)


    it("answer a script's mistake without its insides", function()
      local problem = assert_problem(500, "script_error", service:call("shop", "broken"))
      assert.is_nil(json.encode(problem):find("traceback", 1, true))
    end)


    it("end in time with X-Timeout-Ms, and nothing of them lives on", function()
      shop:script("GET /orders/*", { delay = 3, json = {} })
      local _, before = service:request("GET", "/api/v1/status")
      local started = time.monotonic()
      local problem = assert_problem(504, "timeout", service:call("shop", "order", { item = "tea" },
        { ["X-Timeout-Ms"] = "300" }))
      local seconds = time.monotonic() - started
      shop:settle(problem.trace_id)
      assert.is_true(seconds >= 0.3 and seconds < 1, seconds)
      local _, status = service:request("GET", "/api/v1/status")
      assert.equal(before.data.worker.tasks, status.data.worker.tasks)
    end)


    it("refuse headers that make no sense", function()
      for name, values in pairs {
        ["X-Timeout-Ms"] = { "0", "-1", "1.5", "soon", "" }, ["X-User-Id"] = { "17", "" }, ["X-Mock"] = { "yes" },
        ["Idempotency-Key"] = { "", ("k"):rep(256) },
      } do
        for _, value in ipairs(values) do
          local problem = assert_problem(400, "invalid_input", service:call("shop", "order", { item = "tea" },
            { [name] = value }))
          assert.equal(1, (problem.detail:find(name, 1, true)))
        end
      end
    end)


    it("answer from the mock with X-Mock", function()
      local _, answer = service:call("shop", "order", { item = "tea" }, { ["X-Mock"] = "1" })
      assert.same({ item = "tea", count = 1 }, answer.data)
      assert.is_true(answer.meta.mock)
      assert.equal(0, #shop.requests)
    end)


    it("hand the caller's Idempotency-Key to the script", function()
      local _, answer = service:call("shop", "keyed", nil, { ["Idempotency-Key"] = '"abc-1"' })
      assert.equal("abc-1", answer.data.key)
    end)
  end)


  describe("a traceparent", function()
    it("hands on whether the caller samples", function()
      for sent, passed in pairs { ["00"] = "00", ["01"] = "01", ["02"] = "00", ["03"] = "01" } do
        shop.requests = {}
        service:call("shop", "order", { item = "tea" },
          { traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-" .. sent })
        assert.matches("%-" .. passed .. "$", shop.requests[1].headers.traceparent)
      end
    end)


    local TRACE = "0af7651916cd43dd8448eb211c80319c"


    it("is kept and passed on", function()
      local _, answer, headers = service:call("shop", "order", { item = "tea" },
        { traceparent = "00-" .. TRACE .. "-b7ad6b7169203331-01" })
      assert.equal(TRACE, headers["x-trace-id"])
      assert.equal(TRACE, answer.meta.trace_id)
      assert.matches("^00%-" .. TRACE .. "%-%x+%-01$", shop.requests[1].headers.traceparent)
      assert.is_nil(shop.requests[1].headers.traceparent:find("b7ad6b7169203331", 1, true))
    end)


    it("takes its tracestate along, within what everybody has to keep", function()
      local function passed_on(traceparent, tracestate)
        shop.requests = {}
        service:call("shop", "order", { item = "tea" }, { traceparent = traceparent, tracestate = tracestate })
        return shop.requests[1].headers.tracestate
      end
      local sound = "00-" .. TRACE .. "-b7ad6b7169203331-01"
      local state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
      assert.equal(state, passed_on(sound, state))
      assert.equal(("x"):rep(512), passed_on(sound, ("x"):rep(512)))
      assert.is_nil(passed_on(sound, ("x"):rep(513)))
      assert.is_nil(passed_on(sound, "a=\xff"))
      assert.is_nil(passed_on("nonsense", state))
      assert.is_nil(passed_on(nil, state))
    end)


    it("that is unsound is not", function()
      for _, text in ipairs {
        "00-" .. ("0"):rep(32) .. "-b7ad6b7169203331-01", "00-" .. TRACE .. "-" .. ("0"):rep(16) .. "-01",
        "ff-" .. TRACE .. "-b7ad6b7169203331-01", "00-" .. TRACE:upper() .. "-b7ad6b7169203331-01",
        "00-" .. TRACE .. "-b7ad6b7169203331-01-more", "00-" .. TRACE .. "-b7ad-01", "nonsense",
      } do
        local _, _, headers = service:request("GET", "/health", { headers = { traceparent = text } })
        assert.not_equal(TRACE, headers["x-trace-id"], text)
        assert.equal(32, #headers["x-trace-id"])
      end
    end)
  end)


  describe("paths", function()
    it("that are unknown are a 404 in every method", function()
      for _, method in ipairs { "GET", "POST", "DELETE", "OPTIONS" } do
        assert_problem(404, "no_such_operation", service:request(method, "/api/v2/anything"))
      end
    end)


    it("say which methods they have", function()
      for path, allow in pairs { ["/health"] = "GET, HEAD", ["/api/v1/tokens"] = "GET, HEAD, POST",
        ["/api/v1/integrations/shop/order"] = "POST" } do
        local _, headers = assert_problem(405, "method_not_allowed", service:request("PATCH", path))
        assert.equal(allow, headers.allow)
      end
    end)


    it("answer HEAD without a body", function()
      for _, path in ipairs { "/", "/health", "/metrics", "/api/v1/integrations", "/api/v1/logs" } do
        local status, body, headers = service:request("HEAD", path)
        assert.equal(200, status)
        assert.equal("", body)
        assert.matches("^%d+$", headers["content-length"])
      end
    end)


    it("refuse parameters that they do not know", function()
      for _, query in ipairs { "?limt=1", "?limit=1&limit=2", "?limit=0", "?limit=501", "?limit=x" } do
        assert_problem(400, "invalid_input", service:request("GET", "/api/v1/logs" .. query))
      end
    end)
  end)


  it("describes integrations with their schemas and what keeps them from working", function()
    local status, list = service:request("GET", "/api/v1/integrations")
    assert.equal(200, status)
    assert.equal(json.null, list.next_cursor)
    local by_name = {}
    for _, integration in ipairs(list.data) do
      by_name[integration.name] = integration
    end
    assert.equal("healthy", by_name.shop.status)
    assert.equal("disabled", by_name.off.status)
    assert.equal("not_loaded", by_name.wrong.status)
    assert.matches("^%x+$", by_name.shop.version)
    assert.same({ "broken", "keyed", "leak", "limited", "order" }, { table.unpack(by_name.shop.operations) })
    assert.same({ "providers/wrong.lua", 2 }, { by_name.wrong.error.file:match("providers/.*"),
      by_name.wrong.error.line })
    local _, shown = service:request("GET", "/api/v1/integrations/shop")
    local order = shown.data.operations[5]
    assert.equal("Orders something", order.summary)
    assert.same({ "item" }, { table.unpack(order.input.required) })
    assert.is_true(order.has_mock)
    assert_problem(404, "no_such_operation", service:request("GET", "/api/v1/integrations/nothing"))
  end)


  it("pages through a list", function()
    local names, cursor = {}, nil
    repeat
      local _, page = service:request("GET", "/api/v1/integrations?limit=2" .. (cursor and "&cursor=" .. cursor or ""))
      for _, integration in ipairs(page.data) do
        names[#names + 1] = integration.name
      end
      cursor = page.next_cursor
    until cursor == json.null
    assert.same({ "off", "shop", "wrong" }, names)
  end)


  describe("logs", function()
    it("have one row per call, whatever its outcome, with what applies", function()
      local user = uuid.v4()
      local _, _, headers = service:call("shop", "order", { item = "tea", count = 2 }, { ["X-User-Id"] = user:upper() })
      local row = row_of(headers["x-trace-id"])
      assert.equal("shop", row.integration_name)
      assert.equal("api", row.integration_type)
      assert.equal("order", row.operation)
      assert.equal("admin", row.caller)
      assert.equal(user, row.user_id)
      assert.equal("GET", row.request_method)
      assert.equal(shop.url .. "/orders/tea", row.request_url)
      assert.equal(200, row.response_status)
      assert.same({ state = "ordered" }, row.response_body)
      assert.is_true(row.is_success)
      assert.is_false(row.is_mock)
      assert.equal(json.null, row.error_type)
      assert.equal(1, #row.attempts)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", row.created_at)
      assert.equal("integer", math.type(row.duration_ms))

      _, _, headers = service:call("shop", "order", {})
      row = row_of(headers["x-trace-id"])
      assert.is_false(row.is_success)
      assert.equal("invalid_input", row.error_type)
      assert.equal(json.null, row.request_method)
      assert.equal("validate", row.attempts[1].policy)
    end)


    it("can be searched by each filter", function()
      local user = uuid.v4()
      local before = time.format(time.now() - 0.05)
      local _, _, good = service:call("shop", "order", { item = "tea" }, { ["X-User-Id"] = user })
      local _, _, bad = service:call("shop", "limited", nil, { ["X-User-Id"] = user })
      row_of(bad["x-trace-id"])
      local function found(filters)
        local traces = {}
        local _, page = service:request("GET", "/api/v1/logs?user_id=" .. user .. filters)
        for _, row in ipairs(page.data) do
          traces[#traces + 1] = row.trace_id
        end
        return traces
      end
      local first, second = good["x-trace-id"], bad["x-trace-id"]
      assert.same({ second, first }, found(""))
      assert.same({ second, first }, found("&integration=shop&caller=admin&from=" .. before))
      assert.same({}, found("&to=" .. before))
      assert.same({}, found("&integration=off"))
      assert.same({ first }, found("&operation=order"))
      assert.same({ first }, found("&success=true"))
      assert.same({ second }, found("&success=false"))
      assert.same({ second }, found("&error_type=rate_limited"))
      assert.same({ first }, found("&trace_id=" .. first))
      local _, page = service:request("GET", "/api/v1/logs?limit=1&user_id=" .. user)
      assert.equal(second, page.data[1].trace_id)
      assert.same({ first }, found("&cursor=" .. page.next_cursor))
    end)


    it("refuse filters that make no sense", function()
      for filter, pointer in pairs { ["from=yesterday"] = "#/from", ["user_id=7"] = "#/user_id",
        ["success=maybe"] = "#/success", ["cursor=x"] = "#/cursor" } do
        local problem = assert_problem(400, "invalid_input", service:request("GET", "/api/v1/logs?" .. filter))
        assert.equal(pointer, problem.errors[1].pointer)
      end
      assert_problem(404, "not_found", service:request("GET", "/api/v1/logs/" .. uuid.v7()))
      assert_problem(400, "invalid_input", service:request("GET", "/api/v1/logs/17"))
    end)
  end)


  it("says in /health what is wrong, and to a viewer what exactly", function()
    local status, answer, headers = service:request("GET", "/health", { token = false })
    assert.equal(200, status)
    assert.same({ status = "degraded" }, answer)
    assert.equal("no-store", headers["cache-control"])
    local _, shown = service:request("GET", "/health")
    assert.same({ off = "disabled", shop = "healthy", wrong = "not_loaded" }, shown.integrations)
    assert.matches("providers/wrong%.lua:2: ", shown.reasons[1])
    assert.equal(401, (service:request("GET", "/health", { token = "wrong" })))
  end)


  it("counts calls, and shows the process and the store in /metrics", function()
    service:call("shop", "order", { item = "tea" })
    local status, text, headers = service:request("GET", "/metrics")
    assert.equal(200, status)
    assert.matches("^text/plain; version=0%.0%.4", headers["content-type"])
    for _, pattern in ipairs {
      'tidegate_calls_total{integration="shop",operation="order",outcome="ok"} %d+',
      'tidegate_call_duration_seconds_count{integration="shop",operation="order"} %d+',
      'tidegate_provider_info{integration="shop",version="%x+"} 1\n',
      'tidegate_build_info{version="[%d.]+"} 1\n', 'tidegate_lua_memory_bytes{worker="1"} %d+',
      "process_cpu_seconds_total [%d.]+\n", "process_open_fds %d+\n", "process_start_time_seconds %d+",
      "process_resident_memory_bytes %d+\n", "tidegate_store_commit_duration_seconds_count %d+\n",
      'tidegate_dropped_total{what="call_log_rows"} 0\n', 'tidegate_dropped_total{what="statistics"} 0\n',
      'tidegate_script_stops_total{reason="script_timeout"} 0\n', "process_max_fds %d+\n",
      'tidegate_script_stops_total{reason="out_of_memory"} 0\n',
      'tidegate_upstream_requests_total{integration="shop",status="200"} %d+\n',
      'tidegate_upstream_request_duration_seconds_count{integration="shop"} %d+\n',
      'tidegate_retries_total{integration="shop"} 0\n', "tidegate_store_commit_duration_seconds_sum [%d.]+\n",
    } do
      assert.matches(pattern, text)
    end
    -- Each family once, as the format wants it.
    local seen = {}
    for name in text:gmatch("# TYPE (%S+)") do
      assert.is_nil(seen[name], name)
      seen[name] = true
    end
    assert.equal(401, (service:request("GET", "/metrics", { token = false })))
  end)


  it("tells the state of the service", function()
    local _, answer = service:request("GET", "/api/v1/status")
    local status = answer.data
    assert.equal("serving", status.state)
    assert.equal(1, status.workers)
    assert.same({ service.address }, { table.unpack(status.listen) })
    assert.equal(2, status.generation.loaded)
    assert.is_true(status.uptime_seconds >= 0)
  end)


  it("shows none of the secrets anywhere", function()
    local _, problem, headers = service:call("shop", "leak")
    assert.equal("script_error", problem.code)
    local row = row_of(headers["x-trace-id"])
    local _, metrics = service:request("GET", "/metrics")
    local _, status = service:request("GET", "/api/v1/status")
    local _, shown = service:request("GET", "/api/v1/integrations/shop")
    for where, text in pairs { problem = json.encode(problem), row = json.encode(row), metrics = metrics,
      status = json.encode(status), integration = json.encode(shown), log = service:stdout(),
      messages = service:stderr() } do
      assert.is_nil(text:find(SECRET, 1, true), where .. " holds a secret")
      assert.is_nil(text:find(service.token, 1, true), where .. " holds the token")
    end
    assert.matches("%[redacted%]", json.encode(row))
  end)


  it("has a page for whoever opens the address", function()
    local status, text, headers = service:request("GET", "/", { token = false })
    assert.equal(200, status)
    assert.matches("^Tidegate ", text)
    assert.matches("^text/plain", headers["content-type"])
  end)
end)
