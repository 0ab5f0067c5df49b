-- What operators do to the policies of a running service: explain, the breaker, the cache, X-Debug;
-- who may, and what is refused.

local json = require "tide.json"
local support = require "spec.support.service"
local upstream = require "tide.test.upstream"

local THINGS = [[
local input = { type = "object", required = { "id" }, properties = { id = { type = "string" }, card = {} } }
local function get(ctx, given)
  return ctx.http.get("/things/{id}", { params = { id = given.id } }).json
end
return {
  auth = { scheme = "bearer", secret = "api_key" },
  config = { max_retries = 0, timeout_seconds = 5, rate_limit_enabled = false, redact_fields = { "card" } },
  operations = {
    get = { input = input, run = get },
    look = { input = input, run = get, cache = true, mock = function(ctx, given) return { mocked = given.id } end },
    peek = { input = input, run = get, cache = true },
  },
}
]]
local SECRET = "s3cret-value-of-the-things"
local TOKEN = "the-token-of-config-lua"


describe("an operator", function()
  local project, service, things


  setup(function()
    things = upstream.new()
    project = support.project {
      ["config.lua"] = ([[return {
        tokens = {
          { name = "owner", role = "admin", token = "%s" },
          { name = "operator", role = "operator", token = "the-token-of-an-operator" },
          { name = "viewer", role = "viewer", token = "the-token-of-a-viewer" },
          { name = "caller", role = "caller", token = "the-token-of-a-caller" },
          { name = "elsewhere", role = "operator", token = "the-token-of-another-one",
            integrations = { "other" } },
        },
        integrations = {
          things = { base_url = "%s" }, other = { provider = "things", base_url = "%s" },
          away = { provider = "things", base_url = "%s", cache_ttl_seconds = 0.01 },
        },
      }]]):format(TOKEN, things.url, things.url, things.url),
      ["providers/things.lua"] = THINGS,
      ["providers/wrong.lua"] = "return 7",
    }
    service = project:serve { workers = 2, environment = {
      TIDEGATE_THINGS_API_KEY = SECRET, TIDEGATE_OTHER_API_KEY = SECRET, TIDEGATE_AWAY_API_KEY = SECRET,
    } }
    service.token = TOKEN
  end)


  teardown(function()
    project:close()
    things:close()
  end)


  before_each(function()
    things.requests, things.routes = {}, {}
    local served = 0
    things:script("GET /things/*", function(request)
      served = served + 1
      return { json = { real = request.path:match("[^/]+$"), served = served } }
    end)
    service:request("DELETE", "/api/v1/integrations/things/cache")
    service:request("PUT", "/api/v1/integrations/things/breaker", { json = { mode = "auto" } })
  end)


  local function ask(method, path, body, options)
    options = options or {}
    options.json, options.fresh_connection = body, true
    return service:request(method, "/api/v1/integrations/" .. path, options)
  end


  local function call(operation, input, headers)
    return ask("POST", "things/" .. operation, input or { id = "a" }, { headers = headers })
  end


  local function assert_refused(status, code, got, problem, headers)
    assert.equal(status, got, json.encode(problem))
    assert.equal(code, problem.code)
    assert.equal("application/problem+json", headers["content-type"])
    assert.is_true(#json.encode(problem) < 16384, "a problem of " .. #json.encode(problem) .. " bytes")
    return problem
  end


  it("sees what a call would do, without one and without a secret", function()
    local status, body = ask("POST", "things/look/explain", { id = "a", card = "4111-2222-3333" })
    assert.equal(200, status)
    assert.equal("pass", body.data.verdict)
    assert.equal(0, #things.requests)
    assert.equal("provider", body.data.settings.max_retries.source)
    assert.is_nil(json.encode(body):find(SECRET, 1, true))
    assert.is_nil(json.encode(body):find("4111-2222-3333", 1, true))

    call("look")
    body = select(2, ask("POST", "things/look/explain", { id = "a" }))
    assert.same({ "answer", "cache" }, { body.data.verdict, body.data.policy })
    body = select(2, ask("POST", "things/look/explain", { id = "a" }, { headers = { ["X-Mock"] = "1" } }))
    assert.same({ "pass", true }, { body.data.verdict, body.data.mock })
    ask("PUT", "things/breaker", { mode = "open" })
    body = select(2, ask("POST", "things/get/explain", { id = "a" }))
    assert.same({ "refuse", "breaker" }, { body.data.verdict, body.data.policy })
    body = select(2, ask("POST", "things/get/explain", { id = 7 }))
    assert.same({ "refuse", "validate" }, { body.data.verdict, body.data.policy })
    assert.equal(1, #things.requests)
  end)


  it("holds a breaker open, or closed, or has it only observe, on every worker", function()
    local function statuses(count)
      local seen = {}
      for index = 1, count do seen[index] = (call("get")) end
      return table.concat(seen, " ")
    end
    local status, body = ask("PUT", "things/breaker", { mode = "open" })
    assert.equal(200, status)
    assert.same({ "open", "open" }, { body.data.mode, body.data.state })
    assert.equal("open", select(2, ask("GET", "things/breaker")).data.mode)
    assert.equal("503 503 503 503", statuses(4))
    assert.equal(0, #things.requests)
    body = select(2, ask("PUT", "things/breaker", { mode = "auto" }))
    assert.same({ "auto", "closed", 0 }, { body.data.mode, body.data.state, body.data.consecutive_failures })
    assert.equal("200 200", statuses(2))

    things:script("GET /things/*", { status = 500, json = {} })
    ask("PUT", "things/breaker", { mode = "closed" })
    assert.equal("502 502 502 502 502 502 502", statuses(7))
    body = select(2, ask("PUT", "things/breaker", { mode = "observe" }))
    assert.equal("observe", body.data.mode)
    assert.equal("502 502 502 502 502 502 502", statuses(7))
    body = select(2, ask("PUT", "things/breaker", { mode = "auto" }))
    assert.equal("closed", body.data.state)
    assert.equal("502 502 502 502 502 503 503", statuses(7))
    body = select(2, ask("PUT", "things/breaker", { mode = "auto" }))
    assert.equal("closed", body.data.state)
    assert.equal("502", statuses(1))
  end)


  it("warms the cache, and is told what could not be", function()
    local status, body = ask("POST", "things/cache/warm", { operation = "look",
      inputs = { { id = "a" }, { id = "b" }, { id = 7 }, json.null } })
    assert.equal(200, status)
    assert.equal(2, body.data.entries)
    local pointers = {}
    for index, failed in ipairs(body.data.failed) do
      assert.equal("invalid_input", failed.code)
      pointers[index] = failed.pointer
    end
    table.sort(pointers)
    assert.same({ "#/inputs/2", "#/inputs/3" }, pointers)
    local sent = #things.requests
    body = select(2, call("look", { id = "b" }))
    assert.is_true(body.meta.from_cache)
    assert.equal(sent, #things.requests)
  end)


  it("is not told that an entry was warmed which is only the old one", function()
    ask("POST", "away/look", { id = "a" })
    things:script("GET /things/*", { status = 500, json = {} })
    support.wait("it to expire", function()
      local _, body = ask("POST", "away/look", { id = "a" })
      return body.meta.stale
    end)
    local _, body = ask("POST", "away/cache/warm", { operation = "look", inputs = { { id = "a" } } })
    assert.equal(0, body.data.entries)
    assert.equal("upstream_error", body.data.failed[1].code)
  end)


  it("deletes what is cached: of an operation, by a pattern, all; real and mock", function()
    local function fill()
      for _, id in ipairs { "a1", "a2", "b1" } do
        call("look", { id = id })
        call("peek", { id = id })
      end
      call("look", { id = "a1" }, { ["X-Mock"] = "1" })
    end
    local function deleted(query)
      fill()
      local status, body = ask("DELETE", "things/cache" .. query)
      assert.equal(200, status)
      return body.data.deleted
    end
    assert.equal(7, deleted(""))
    assert.equal(4, deleted("?operation=look"))
    assert.equal(3, deleted("?operation=look&pattern=*a*"))
    assert.equal(3, deleted('?pattern=look:*"a?"*'))
    assert.equal(0, deleted("?pattern=nothing*"))
    assert.equal(7, deleted("?pattern=*"))
    local _, body = call("look", { id = "a1" })
    assert.is_false(body.meta.from_cache)
  end)


  it("has each change noted", function()
    ask("PUT", "things/breaker", { mode = "observe" }, { token = "the-token-of-an-operator" })
    ask("DELETE", "things/cache?operation=look", nil, { token = "the-token-of-an-operator" })
    local copy = support.project()
    os.execute(("mkdir -p '%s/var' && cp '%s'/var/tidegate.db* '%s/var/'"):format(copy.folder, project.folder,
      copy.folder))
    local rows = copy:query("SELECT actor, action, integration_name, old_value, new_value FROM audit_log "
      .. "WHERE actor = 'operator' ORDER BY action")
    copy:close()
    assert.equal(2, #rows)
    assert.same({ "breaker.mode", "cache.delete" }, { rows[1].action, rows[2].action })
    assert.equal("things", rows[1].integration_name)
    assert.same({ "auto", "observe" }, { json.decode(rows[1].old_value).mode, json.decode(rows[1].new_value).mode })
    assert.equal("look", json.decode(rows[2].new_value).operation)
  end)


  it("sees the trace of a call, of one that failed too, and nobody else does", function()
    local debug = { ["X-Debug"] = "1" }
    local status, body = call("look", { id = "a" }, debug)
    assert.equal(200, status)
    assert.equal(200, body.meta.trace[1].requests[1].status)
    assert.matches("/things/a$", body.meta.trace[1].requests[1].url)
    body = select(2, call("look", { id = "a" }, debug))
    assert.is_true(body.meta.from_cache)
    assert.is_table(body.meta.trace)
    things:script("GET /things/*", { status = 500, json = {} })
    status, body = call("get", { id = "a" }, debug)
    assert.equal(502, status)
    assert.equal(500, body.trace[1].requests[1].status)
    assert.is_nil(json.encode(body):find(SECRET, 1, true))
    body = select(2, ask("POST", "things/get", { id = "a" }, { headers = debug, token = "the-token-of-a-caller" }))
    assert.is_nil(body.trace)
  end)


  it("has a call skip what is kept", function()
    call("look")
    local _, body = call("look", nil, { ["Cache-Control"] = "no-cache" })
    assert.is_false(body.meta.from_cache)
    assert.equal(2, body.data.served)
    _, body = call("look")
    assert.is_true(body.meta.from_cache)
    assert.equal(2, body.data.served)
  end)


  it("is not everybody", function()
    local OPERATOR, VIEWER, CALLER = "the-token-of-an-operator", "the-token-of-a-viewer", "the-token-of-a-caller"
    local input = { id = "a" }
    for _, one in ipairs {
      { "POST", "things/look/explain", input, { [OPERATOR] = 200, [VIEWER] = 200, [CALLER] = 403 } },
      { "PUT", "things/breaker", { mode = "auto" }, { [OPERATOR] = 200, [VIEWER] = 403, [CALLER] = 403 } },
      { "GET", "things/breaker", nil, { [OPERATOR] = 200, [VIEWER] = 200, [CALLER] = 403 } },
      { "POST", "things/cache/warm", { operation = "look", inputs = { input } },
        { [OPERATOR] = 200, [VIEWER] = 403, [CALLER] = 403 } },
      { "DELETE", "things/cache", nil, { [OPERATOR] = 200, [VIEWER] = 403, [CALLER] = 403 } },
      { "POST", "things/look", input, { [OPERATOR] = 200, [VIEWER] = 403, [CALLER] = 200 } },
    } do
      for token, status in pairs(one[4]) do
        assert.equal(status, (ask(one[1], one[2], one[3], { token = token })), one[2] .. " by " .. token)
      end
      assert.equal(403, (ask(one[1], one[2], one[3], { token = "the-token-of-another-one" })), one[2])
      assert.equal(401, (ask(one[1], one[2], one[3], { token = false })), one[2])
    end
  end)


  describe("is refused", function()
    it("what is no mode", function()
      for _, body in ipairs { {}, { mode = "half" }, { mode = 1 }, { mode = json.null }, { mode = { "open" } },
        { mode = "open", more = 1 }, { [("m"):rep(100000)] = 1 }, { mode = ("m"):rep(100000) } } do
        if next(body) == nil then body = json.decode("{}") end
        assert_refused(400, "invalid_input", ask("PUT", "things/breaker", body))
      end
      for _, text in ipairs { "", "{", "[]", "null", '"open"', ("["):rep(100000) } do
        assert_refused(400, "invalid_input",
          service:request("PUT", "/api/v1/integrations/things/breaker", { body = text }))
      end
      assert_refused(415, "unsupported_media_type", service:request("PUT", "/api/v1/integrations/things/breaker",
        { body = "mode=open", headers = { ["Content-Type"] = "text/plain" } }))
    end)


    it("what cannot be warmed", function()
      local many = {}
      for index = 1, 1001 do many[index] = { id = tostring(index) } end
      for _, body in ipairs { json.decode("{}"), { operation = "look" },
        { operation = "get", inputs = { { id = "a" } } },
        { operation = "none", inputs = { { id = "a" } } }, { operation = 1, inputs = { { id = "a" } } },
        { operation = "look", inputs = json.array() }, { operation = "look", inputs = { id = "a" } },
        { operation = "look", inputs = "a" }, { operation = "look", inputs = many },
        { operation = ("o"):rep(100000), inputs = { { id = "a" } } },
        { operation = "look", inputs = { { id = "a" } }, more = true } } do
        assert_refused(400, "invalid_input", ask("POST", "things/cache/warm", body))
      end
      assert.equal(0, #things.requests)
    end)


    it("what cannot be deleted", function()
      for _, query in ipairs { "operation=none", "nothing=1", "pattern=a&pattern=b", "pattern=" .. ("a"):rep(2000),
        "operation=" .. ("o"):rep(2000) } do
        assert_refused(400, "invalid_input", ask("DELETE", "things/cache?" .. query))
      end
    end)


    it("what there is not", function()
      for _, one in ipairs { { "PUT", "breaker", { mode = "auto" } }, { "GET", "breaker" }, { "DELETE", "cache" },
        { "POST", "cache/warm", { operation = "look", inputs = { { id = "a" } } } },
        { "POST", "look/explain", { id = "a" } } } do
        assert_refused(404, "no_such_operation", ask(one[1], "nobody/" .. one[2], one[3]))
        assert_refused(503, "not_loaded", ask(one[1], "wrong/" .. one[2], one[3]))
        assert_refused(404, "no_such_operation", ask(one[1], ("n"):rep(3000) .. "/" .. one[2], one[3]))
      end
      assert_refused(404, "no_such_operation", ask("POST", "things/nothing/explain", { id = "a" }))
      assert_refused(405, "method_not_allowed", ask("POST", "things/breaker", { mode = "auto" }))
    end)


    it("a pattern that is slow to match", function()
      for index = 1, 50 do call("look", { id = ("a"):rep(200) .. index }) end
      local started = os.time()
      assert.equal(200, (ask("DELETE", "things/cache?pattern=" .. ("*a"):rep(300) .. "*z")))
      assert.is_true(os.time() - started <= 2)
    end)
  end)
end)
