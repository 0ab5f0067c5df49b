local http = require "tide.http"
local json = require "tide.json"
local task = require "tide.task"
local support = require "spec.support.service"
local upstream = require "tide.test.upstream"

local SHOP = [[
local fail = require "tide.fail"
local function post(ctx, input)
  return ctx.http.post("/orders", { json = input }).json
end
local input = { type = "object", properties = { item = { type = "string" }, count = { type = "integer" } } }
return {
  config = { max_retries = 0, timeout_seconds = 5 },
  operations = {
    order = { input = input, run = post, mock = function() return { mocked = true } end },
    again = { input = input, run = post, idempotent = true },
    look_up = { input = input, run = post, cache = true },
    look_once = { input = input, run = post, cache = true, idempotent = false },
    read = { input = input, run = function(ctx) return ctx.http.get("/orders").json end },
    large = { input = input, run = function(ctx, given)
      ctx.http.post("/orders", { json = given })
      return { text = ("x"):rep(7 * 1024 * 1024 + 1) }
    end },
    raise = { input = { type = "object", properties = { code = { type = "string" } } },
      run = function(ctx, given) fail(given.code) end },
    after_post = { input = { type = "object", properties = { code = { type = "string" } } },
      run = function(ctx, given) ctx.http.post("/orders", { json = {} }) fail(given.code) end },
  },
}
]]


-- One of config.lua; another is made in the store.
local TOKEN = "the-token-of-config-lua"


describe("Idempotency-Key", function()
  local project, service, shop
  local keys = 0


  local function start()
    service = project:serve()
    service.token = TOKEN
  end


  setup(function()
    shop = upstream.new()
    project = support.project {
      ["config.lua"] = ([[return {
        tokens = { { name = "owner", role = "admin", token = "%s" } },
        integrations = { shop = { base_url = "%s" }, off = { provider = "shop", is_enabled = false },
          second = { provider = "shop", base_url = "%s" } },
      }]]):format(TOKEN, shop.url, shop.url),
      ["providers/shop.lua"] = SHOP,
      ["providers/wrong.lua"] = "return 7",
    }
    start()
  end)


  teardown(function()
    project:close()
    shop:close()
  end)


  local key


  before_each(function()
    keys = keys + 1
    key = "key-" .. keys
    shop.requests, shop.routes = {}, {}
    shop:script("POST /orders", { json = { state = "ordered" } })
    shop:script("GET /orders", { json = { state = "seen" } })
  end)


  -- The upstream need not end answers that nobody waits for any more.
  local function settle()
    for _, request in ipairs(shop.requests) do
      shop:settle(request.headers.traceparent:sub(4, 35))
    end
    support.wait("the upstream's answers", function() return next(shop.sleepers) == nil end)
  end


  -- Status, body as it came, headers by lower-case name.
  local function send(operation, input, headers, token)
    local list = { { "Authorization", "Bearer " .. (token or service.token) }, { "Content-Type", "application/json" } }
    local by_name = { ["Idempotency-Key"] = key }
    for name, value in pairs(headers or {}) do by_name[name] = value end
    for name, value in pairs(by_name) do list[#list + 1] = { name, value } end
    local integration = operation:match("^(.*)%.") or "shop"
    local response, message = http.request {
      method = "POST", headers = list, timeout_seconds = 9, max_response_bytes = 16 * 1024 * 1024,
      url = ("http://%s/api/v1/integrations/%s/%s"):format(service.address, integration, operation:match("[^.]+$")),
      body = type(input) == "string" and input or json.encode(input or json.decode("{}")),
    }
    assert(response, message)
    local found = {}
    for _, pair in ipairs(response.headers) do found[pair[1]:lower()] = pair[2] end
    return response.status, response.body, found
  end


  local function assert_problem(status, code, got, body, headers)
    assert.equal(status, got, body)
    local problem = json.decode(body)
    assert.equal(code, problem.code)
    assert.equal("application/problem+json", headers["content-type"])
    assert.is_nil(headers["idempotent-replayed"])
    return problem, headers
  end


  -- The same request again gets the same answer, and nothing is sent.
  local function assert_replayed(operation, input, status, body, headers)
    local sent = #shop.requests
    local again, same, seen = send(operation, input)
    assert.equal(status, again)
    assert.equal(body, same)
    assert.equal("true", seen["idempotent-replayed"])
    assert.equal(headers["content-type"], seen["content-type"])
    assert.is_nil(headers["idempotent-replayed"])
    assert.equal(sent, #shop.requests)
    return seen
  end


  it("gives the first answer again, byte for byte", function()
    local status, body, headers = send("order", { item = "tea", count = 2 })
    assert.equal(200, status)
    assert_replayed("order", { count = 2, item = "tea" }, status, body, headers)
    assert_replayed("order", '{ "count": 2, "item": "\\u0074ea" }', status, body, headers)
    assert.equal(1, #shop.requests)
  end)


  it("gives kept failures again too", function()
    shop:script("POST /orders", { status = 404, json = {} })
    local status, body, headers = send("order")
    assert_problem(404, "not_found", status, body, headers)
    assert_replayed("order", nil, status, body, headers)

    key = key .. "-rejected"
    shop:script("POST /orders", { status = 409, json = {} })
    status, body, headers = send("order")
    assert_problem(422, "rejected", status, body, headers)
    assert_replayed("order", nil, status, body, headers)

    key = key .. "-invalid"
    status, body, headers = send("order", { count = "many" })
    assert_problem(400, "invalid_input", status, body, headers)
    assert_replayed("order", { count = "many" }, status, body, headers)
  end)


  it("writes no row of the call log for an answer that is given again", function()
    local status, body, headers = send("order", { item = "tea" })
    local seen = assert_replayed("order", { item = "tea" }, status, body, headers)
    local first = headers["x-trace-id"]
    support.wait("the row", function()
      local _, page = service:request("GET", "/api/v1/logs?trace_id=" .. first)
      return page.data[1]
    end)
    assert.not_equal(first, seen["x-trace-id"])
    local _, page = service:request("GET", "/api/v1/logs?trace_id=" .. seen["x-trace-id"])
    assert.same({}, { table.unpack(page.data) })
  end)


  it("is for one input", function()
    send("order", { item = "tea" })
    local problem = assert_problem(422, "idempotency_mismatch", send("order", { item = "tea", count = 1 }))
    assert.is_false(problem.retryable)
    assert.equal("shop", problem.integration)
    assert_problem(422, "idempotency_mismatch", send("order", { item = "tea" }, { ["X-Mock"] = "1" }))
    assert.equal(1, #shop.requests)
  end)


  it("is for one token, integration and operation", function()
    local _, made = service:request("POST", "/api/v1/tokens", { json = { name = "owner", role = "caller" } })
    send("order", { item = "tea" })
    for _, one in ipairs { { "again" }, { "second.order" }, { "order", made.data.token } } do
      local status, _, headers = send(one[1], { item = "tea" }, nil, one[2])
      assert.equal(200, status)
      assert.is_nil(headers["idempotent-replayed"])
    end
    assert.equal(4, #shop.requests)
  end)


  it("is the same quoted and bare, may be odd, and is 255 characters at most", function()
    local odd = [[ '"); DROP TABLE idempotency_keys; -- \ % _ ~{}]]
    for _, one in ipairs { ("k"):rep(255), odd:sub(2), "0", "null" } do
      key = one
      local status, body, headers = send("order", { item = one })
      assert.equal(200, status, body)
      key = '"' .. one .. '"'
      assert_replayed("order", { item = one }, status, body, headers)
    end
    key = ("k"):rep(256)
    assert_problem(400, "invalid_input", send("order"))
    assert.equal(4, #shop.requests)
  end)


  it("lets one of a hundred at once run", function()
    shop:script("POST /orders", { delay = 0.3, json = {} })
    local counts, sends = { ran = 0, replayed = 0, running = 0 }, {}
    for index = 1, 100 do
      sends[index] = task.spawn(function()
        local status, body, headers = send("order", { item = "tea" })
        local code = json.decode(body).code
        local kind = status == 200 and (headers["idempotent-replayed"] and "replayed" or "ran")
          or status == 409 and code == "conflict" and headers["retry-after"] and "running"
          or ("%d %s"):format(status, body)
        counts[kind] = (counts[kind] or 0) + 1
      end)
    end
    for _, one in ipairs(sends) do assert(one:join()) end
    assert.equal(1, #shop.requests)
    assert.equal(1, counts.ran)
    assert.equal(99, counts.replayed + counts.running, json.encode(counts))
  end)


  it("lets one of a hundred at once run of a cached operation, and keeps an answer of the cache too", function()
    shop:script("POST /orders", { delay = 0.3, json = { n = 1 } })
    local ran, sends = 0, {}
    for index = 1, 100 do
      sends[index] = task.spawn(function()
        local status, _, headers = send("look_up", { item = "cached once" })
        if status == 200 and not headers["idempotent-replayed"] then ran = ran + 1 end
        assert(status == 200 or status == 409 and headers["retry-after"], status)
      end)
    end
    for _, one in ipairs(sends) do assert(one:join()) end
    assert.equal(1, #shop.requests)
    assert.equal(1, ran)
    -- Without a key the answer comes the short way, from the cache; with a new one it is kept.
    assert.equal(200, (service:call("shop", "look_up", { item = "cached once" })))
    key = key .. "-other"
    local status, body, headers = send("look_up", { item = "cached once" })
    assert.is_nil(headers["idempotent-replayed"])
    assert.is_true(json.decode(body).meta.from_cache)
    assert_replayed("look_up", { item = "cached once" }, status, body, headers)
    assert.equal(1, #shop.requests)
  end)


  it("lets one of a hundred at once run again", function()
    shop:script("POST /orders", { status = 500, json = {} })
    assert_problem(502, "upstream_error", send("again"))
    shop:script("POST /orders", { delay = 0.3, json = {} })
    local ran, sends = 0, {}
    for index = 1, 100 do
      sends[index] = task.spawn(function()
        local status, _, headers = send("again")
        if status == 200 and not headers["idempotent-replayed"] then ran = ran + 1 end
        assert(status == 200 or status == 409 and headers["retry-after"], status)
      end)
    end
    for _, one in ipairs(sends) do assert(one:join()) end
    assert.equal(2, #shop.requests)
    assert.equal(1, ran)
  end)


  it("says how long a call that still runs may take", function()
    shop:script("POST /orders", { delay = 0.5, json = {} })
    local first = task.spawn(function() return (send("order", nil, { ["X-Timeout-Ms"] = "4000" })) end)
    support.wait("the upstream", function() return shop.requests[1] end)
    local problem, headers = assert_problem(409, "conflict", send("order"))
    local seconds = tonumber(headers["retry-after"])
    assert.is_true(seconds >= 1 and seconds <= 4, seconds)
    assert.is_true(problem.retryable)
    local _, status = first:join()
    assert.equal(200, status)
    assert_replayed("order", nil, 200, select(2, send("order")), { ["content-type"] = "application/json" })
  end)


  it("goes on without the client, whose next request gets the answer", function()
    shop:script("POST /orders", { delay = 0.3, json = { state = "late" } })
    local first = task.spawn(function() send("order") end)
    support.wait("the upstream", function() return shop.requests[1] end)
    first:cancel()
    local body = support.wait("the answer", function()
      local status, body, headers = send("order")
      assert(status == 409 or headers["idempotent-replayed"] == "true", body)
      return status == 200 and body
    end)
    assert.equal("late", json.decode(body).data.state)
    assert.equal(1, #shop.requests)
  end)


  describe("of a call that failed", function()
    it("never sends a second time what may have taken effect", function()
      for index, answer in ipairs { { status = 500, json = {} }, { close = true }, { status = 200, body = "{" } } do
        key = ("%s-%d"):format(key, index)
        shop:script("POST /orders", answer)
        assert.is_true(send("order") >= 500)
        local problem = assert_problem(409, "outcome_unknown", send("order"))
        assert.is_false(problem.retryable)
        assert.is_nil(problem.retry_after)
        assert.equal(index, #shop.requests)
      end
    end)


    it("runs again where nothing was done", function()
      shop:script("POST /orders", { status = 429, headers = { ["Retry-After"] = "1" }, json = {} })
      assert_problem(429, "rate_limited", send("order"))
      shop:script("POST /orders", { json = {} })
      local status, body, headers = send("order")
      assert.equal(200, status)
      assert_replayed("order", nil, status, body, headers)
      assert.equal(2, #shop.requests)
    end)


    it("runs again where the operation may: idempotent, cached, or what only read", function()
      for _, operation in ipairs { "again", "look_up", "read" } do
        shop:script("* /orders", { status = 500, json = {} })
        assert_problem(502, "upstream_error", send(operation))
        shop:script("* /orders", { json = {} })
        assert.equal(200, (send(operation)))
      end
    end)


    it("does not run again where the operation says no, cached or not", function()
      shop:script("POST /orders", { status = 500, json = {} })
      assert_problem(502, "upstream_error", send("look_once"))
      assert_problem(409, "outcome_unknown", send("look_once"))
    end)


    it("depends on the code only as far as the answer is kept", function()
      for code, status in pairs { invalid_input = 400, not_found = 404, rejected = 422 } do
        for _, operation in ipairs { "raise", "after_post" } do
          key = operation .. code
          local got, body, headers = send(operation, { code = code })
          assert_problem(status, code, got, body, headers)
          assert_replayed(operation, { code = code }, got, body, headers)
        end
      end
      for code, status in pairs {
        conflict = 409, upstream_auth = 502, upstream_error = 502, network_error = 502, timeout = 504,
        script_error = 500, rate_limited = 429, unavailable = 503, not_configured = 503, payload_too_large = 413,
      } do
        key = "raise" .. code
        for _ = 1, 2 do assert_problem(status, code, send("raise", { code = code })) end
        key = "after_post" .. code
        assert_problem(status, code, send("after_post", { code = code }))
        assert_problem(409, "outcome_unknown", send("after_post", { code = code }))
      end
    end)


    it("by its deadline may run again only where the operation may", function()
      shop:script("POST /orders", { delay = 2, json = {} })
      assert_problem(504, "timeout", send("order", nil, { ["X-Timeout-Ms"] = "200" }))
      assert_problem(504, "timeout", send("again", nil, { ["X-Timeout-Ms"] = "200" }))
      shop:script("POST /orders", { json = {} })
      assert_problem(409, "outcome_unknown", send("order"))
      assert.equal(200, (send("again")))
      assert.equal(3, #shop.requests)
      settle()
    end)
  end)


  it("is not used up by what was never a call", function()
    assert_problem(404, "no_such_operation", send("nothing"))
    assert_problem(404, "no_such_operation", send("nobody.order"))
    assert_problem(503, "not_loaded", send("wrong.order"))
    assert_problem(503, "not_loaded", send("wrong.order"))
    for _ = 1, 2 do assert_problem(503, "disabled", send("off.order")) end
    assert_problem(400, "invalid_input", send("order", "{"))
    assert.equal(200, (send("order")))
  end)


  it("of an answer that is too long to keep gives none again, and sends nothing", function()
    local status, body = send("large")
    assert.equal(200, status)
    assert.is_true(#body > 7 * 1024 * 1024)
    local problem = assert_problem(409, "outcome_unknown", send("large"))
    assert.matches("ended in 200", problem.detail)
    assert.equal(1, #shop.requests)
  end)


  it("outlives the process, also one that is killed in the middle of a call", function()
    local status, body, headers = send("order", { item = "kept" })
    local kept = key
    shop:script("POST /orders", { delay = 5, json = {} })
    local cut = {}
    for _, operation in ipairs { "order", "again" } do
      cut[#cut + 1] = task.spawn(function()
        pcall(send, operation, { item = "cut" }, { ["Idempotency-Key"] = "cut" })
      end)
    end
    support.wait("the upstream", function() return #shop.requests == 3 end)
    service:stop("KILL")
    for _, one in ipairs(cut) do one:cancel() end
    settle()
    start()
    shop:script("POST /orders", { json = {} })
    key = kept
    assert_replayed("order", { item = "kept" }, status, body, headers)
    key = "cut"
    assert_problem(409, "outcome_unknown", send("order", { item = "cut" }))
    assert_problem(422, "idempotency_mismatch", send("order", { item = "other" }))
    assert.equal(3, #shop.requests)
    status, body, headers = send("again", { item = "cut" })
    assert.equal(200, status)
    assert.equal(4, #shop.requests)
    assert_replayed("again", { item = "cut" }, status, body, headers)
  end)
end)
