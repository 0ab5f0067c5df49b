local t = require "tide.test"
local errors = require "tide.errors"
local json = require "tide.json"
local redirect = require "tide.upstream.redirect"

-- One operation that sends what its input says, so that each `it` reads as one request.
local ACME = [[
return {
  hosts = { "localhost", "*.files.acme.example" },
  auth = { scheme = "bearer", secret = "api_key" },
  config = { base_url = "https://api.acme.example/v2/", max_retries = 0, timeout_seconds = 5 },
  classify = function(res)
    if res.status == 200 and res.headers["X-Failed"] then
      return "rejected", "the upstream says no", { pointer = "#/a" }
    end
    if res.json.error == "slow down" then
      return "rate_limited"
    end
  end,
  operations = {
    send = {
      input = true,
      run = function(ctx, input)
        local res = ctx.http.request(input.method or "GET", input.path, input.options)
        return {
          status = res.status, body = res.body, header = res.headers["CONTENT-TYPE"],
          json = input.decode and res.json or nil,
        }
      end,
    },
    null_members = {
      run = function(ctx)
        local data = ctx.http.get("/thing").json
        local names = {}
        for name in pairs(data) do names[#names + 1] = name end
        return { names = names }
      end,
    },
    typo = { run = function(ctx) local res = ctx.http.get("/thing", { jsn = {} }); return res end },
    two_bodies = { run = function(ctx) return (ctx.http.post("/thing", { json = {}, body = "" })) end },
    in_parallel = {
      run = function(ctx)
        local list = {}
        for index = 1, 5 do
          list[index] = function() return ctx.http.get("/item/{n}", { params = { n = index } }).body end
        end
        return { bodies = ctx.all(list, { limit = 2 }) }
      end,
    },
  },
}
]]


local function acme(config)
  return t.integration("acme", { source = ACME, secrets = { api_key = "key-0123456789" }, config = config })
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


describe("ctx.http", function()
  it("appends a path to base_url with one slash", function()
    local it = acme()
    it.upstream("GET /v2/a", { json = {} })
    it.call("send", { path = "/a" })
    it.call("send", { path = "a" })
    assert.equal(2, #it.requests)
  end)

  it("fills params percent-encoded", function()
    local it = acme()
    it.upstream("GET /v2/*", { json = {} })
    it.call("send", { path = "/a/{id}", options = { params = { id = "x/y ?가" } } })
    assert.equal("/v2/a/x%2Fy%20%3F%EA%B0%80", it.requests[1].target)
  end)

  it("refuses params that would be another path", function()
    local it = acme()
    for _, value in ipairs({ ".", "..", "" }) do
      local err = failure(it.call, "send", { path = "/a/{id}", options = { params = { id = value } } })
      assert.equal("invalid_input", err.code)
    end
    assert.equal(0, #it.requests)
  end)

  it("names a param that is missing, at the script's line", function()
    local err = failure(acme().call, "send", { path = "/a/{id}" })
    assert.is_truthy(err.message:find("acme.lua:%d+: .*params.id"), err.message)
  end)

  it("repeats the key of a list in the query", function()
    local it = acme()
    it.upstream("GET /v2/a", { json = {} })
    it.call("send", { path = "/a", options = { query = { b = { "1", "2" }, c = true, d = 3 } } })
    assert.same({ b = { "1", "2" }, c = "true", d = "3" }, it.requests[1].query)
  end)

  it("sends JSON, forms, bytes and multipart", function()
    local it = acme()
    it.upstream("POST /v2/a", { json = {} })
    local function post(options)
      it.call("send", { method = "POST", path = "/a", options = options })
      return it.requests[#it.requests]
    end
    local request = post({ json = { x = 1, list = json.array() } })
    assert.equal("application/json", request.headers["Content-Type"])
    assert.equal('{"list":[],"x":1}', json.encode(json.decode(request.body), { canonical = true }))
    request = post({ form = { a = "1 2", b = "가" } })
    assert.same({ a = "1 2", b = "가" }, request.form)
    request = post({ body = "raw", headers = { ["content-type"] = "text/plain" } })
    assert.equal("raw", request.body)
    assert.equal("text/plain", request.headers["Content-Type"])
    request = post({ multipart = { { name = "f", filename = 'a"b.txt', body = "hello" } } })
    assert.is_truthy(request.headers["Content-Type"]:find("multipart/form-data; boundary=", 1, true))
    assert.is_truthy(request.body:find('name="f"; filename="a%22b.txt"', 1, true))
  end)

  it("refuses unknown options and two bodies, at the script's line", function()
    local it = acme()
    local err = failure(it.call, "typo", {})
    assert.is_truthy(err.message:find('acme.lua:%d+: ctx.http: unknown option "jsn"'), err.message)
    err = failure(it.call, "two_bodies", {})
    assert.is_truthy(err.message:find("json or body"), err.message)
  end)

  it("refuses a line break in a header", function()
    local it = acme()
    local err = failure(it.call, "send", { path = "/a", options = { headers = { a = "b\r\nc: d" } } })
    assert.equal("script_error", err.code)
    assert.equal(0, #it.requests)
  end)

  it("looks headers up without regard to case, and leaves null members out", function()
    local it = acme()
    it.upstream("GET /v2/thing", { body = '{"a":1,"b":null}', headers = { ["content-type"] = "application/json" } })
    local data = it.call("send", { path = "/thing" })
    assert.equal("application/json", data.header)
    assert.same({ "a" }, (it.call("null_members", {})).names)
  end)

  it("raises upstream_error when a body is not JSON", function()
    local it = acme()
    it.upstream("GET /v2/thing", { body = "<html>" })
    local err = failure(it.call, "send", { path = "/thing", decode = true })
    assert.equal("upstream_error", err.code)
    assert.is_truthy(err.message:find("not JSON", 1, true))
  end)

  it("returns a status that the script expects", function()
    local it = acme()
    it.upstream("GET /v2/thing", { status = 404, json = {} })
    assert.equal(404, (it.call("send", { path = "/thing", options = { expect = { 404 } } })).status)
    assert.equal(404, (it.call("send", { path = "/thing", options = { expect = "any" } })).status)
    assert.equal("not_found", failure(it.call, "send", { path = "/thing" }).code)
  end)

  it("maps the other statuses to codes", function()
    local it = acme()
    local expected = { [400] = "rejected", [401] = "upstream_auth", [403] = "upstream_auth", [408] = "upstream_error",
      [410] = "not_found", [429] = "rate_limited", [500] = "upstream_error", [503] = "upstream_error" }
    for status, code in pairs(expected) do
      it.upstream("GET /v2/thing", { status = status, json = {} })
      local err = failure(it.call, "send", { path = "/thing" })
      assert.equal(code, err.code)
      assert.equal(status, err.status)
    end
  end)

  it("asks classify first, whatever the status", function()
    local it = acme()
    it.upstream("GET /v2/thing", { json = {}, headers = { ["X-Failed"] = "1" } })
    local err = failure(it.call, "send", { path = "/thing", options = { expect = "any" } })
    assert.equal("rejected", err.code)
    assert.equal("the upstream says no", err.message)
    it.upstream("GET /v2/thing", { status = 403, json = { error = "slow down" } })
    assert.equal("rate_limited", failure(it.call, "send", { path = "/thing" }).code)
  end)

  it("falls back to the status when classify took something else for JSON", function()
    local it = acme()
    it.upstream("GET /v2/thing", { status = 404, body = "<html>" })
    assert.equal("not_found", failure(it.call, "send", { path = "/thing" }).code)
  end)

  it("times out a single request", function()
    local it = acme()
    it.upstream("GET /v2/thing", { delay = 60, json = {} })
    local err = failure(it.call, "send", { path = "/thing", options = { timeout_seconds = 2 } })
    assert.equal("timeout", err.code)
    assert.equal(2000, it.logs()[1].duration_ms)
  end)

  it("ends with X-Timeout-Ms when that is earlier, and nothing of it lives on", function()
    local it = t.integration("acme", { source = ACME, secrets = { api_key = "key-0123456789" }, clock = "real" })
    it.upstream("GET /v2/thing", { delay = 1, json = {} })
    local err = failure(it.call, "send", { path = "/thing" }, { timeout_ms = 300 })
    assert.equal("timeout", err.code)
    assert.equal(504, errors.problem(err).status)
    local duration = it.logs()[1].duration_ms
    assert.is_true(duration >= 300 and duration < 400, tostring(duration))
    local attempts = json.decode(it.logs()[1].attempts)
    assert.equal("timeout", attempts[1].requests[1].error)
  end)

  it("reaches declared hosts only", function()
    local it = acme()
    local err = failure(it.call, "send", { path = "https://evil.example/x" })
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("evil.example", 1, true))
  end)

  it("sends no credential to a declared host that is not base_url's origin", function()
    local it = acme()
    it.upstream("GET /other", { json = {} })
    it.call("send", { path = it.url:gsub("127.0.0.1", "localhost") .. "/other" })
    assert.equal(1, #it.requests)
    assert.is_nil(it.requests[1].headers.authorization)
  end)

  it("sends requests in parallel, with results in order", function()
    local it = acme()
    it.upstream("GET /v2/item/*", function(request)
      local n = tonumber(request.path:match("%d+$"))
      return { body = "item " .. n, delay = (6 - n) / 10 }
    end)
    assert.same({ "item 1", "item 2", "item 3", "item 4", "item 5" }, (it.call("in_parallel", {})).bodies)
  end)
end)


describe("a redirect", function()
  it("is followed, keeping the credential inside its origin", function()
    local it = acme()
    it.upstream("GET /v2/a", { status = 302, headers = { Location = "b?x=1" } })
    it.upstream("GET /v2/b", { json = {} })
    it.call("send", { path = "/a" })
    assert.equal("/v2/b?x=1", it.requests[2].target)
    assert.equal("Bearer key-0123456789", it.requests[2].headers.authorization)
  end)

  it("loses every credential when it leaves the origin, and does not get it back", function()
    local it = acme()
    local other = it.url:gsub("127.0.0.1", "localhost")
    it.upstream("GET /v2/a", { status = 302, headers = { Location = other .. "/b" } })
    it.upstream("GET /b", { status = 302, headers = { Location = it.url .. "/c" } })
    it.upstream("GET /c", { json = {} })
    it.call("send", { path = "/a", options = { headers = { ["X-Api-Key"] = "k", Cookie = "c=1" } } })
    assert.equal("k", it.requests[1].headers["x-api-key"])
    for index = 2, 3 do
      local headers = it.requests[index].headers
      assert.is_nil(headers.authorization)
      assert.is_nil(headers["x-api-key"])
      assert.is_nil(headers.cookie)
      assert.is_string(headers.traceparent)
    end
  end)

  it("of a POST becomes a GET for 301 to 303", function()
    local it = acme()
    for _, status in ipairs({ 301, 302, 303 }) do
      it.upstream("POST /v2/a", { status = status, headers = { Location = "/v2/b" } })
      it.upstream("GET /v2/b", { json = {} })
      it.call("send", { method = "POST", path = "/a", options = { json = { x = 1 } } })
      local last = it.requests[#it.requests]
      assert.equal("GET", last.method)
      assert.equal("", last.body)
    end
  end)

  it("keeps method and body for 307 and 308 inside the origin, and refuses it elsewhere", function()
    local it = acme()
    it.upstream("POST /v2/a", { status = 307, headers = { Location = "/v2/b" } })
    it.upstream("POST /v2/b", { json = {} })
    it.call("send", { method = "POST", path = "/a", options = { json = { x = 1 } } })
    assert.same({ x = 1 }, it.requests[2].json)
    it.upstream("POST /v2/a", { status = 308, headers = { Location = it.url:gsub("127.0.0.1", "localhost") .. "/b" } })
    local err = failure(it.call, "send", { method = "POST", path = "/a", options = { json = { x = 1 } } })
    assert.equal("upstream_error", err.code)
    assert.equal(3, #it.requests)
  end)

  it("leads to declared hosts only, and five times at most", function()
    local it = acme()
    it.upstream("GET /v2/a", { status = 302, headers = { Location = "http://evil.example/" } })
    local refused = failure(it.call, "send", { path = "/a" })
    assert.equal("upstream_error", refused.code)
    assert.is_false(refused.retryable)
    assert.matches("evil.example is not among the hosts", refused.message)
    assert.equal(1, #it.requests)
    it.upstream("GET /v2/loop", { status = 302, headers = { Location = "/v2/loop" } })
    local err = failure(it.call, "send", { path = "/loop" })
    assert.equal("upstream_error", err.code)
    assert.equal(7, #it.requests)
  end)

  it("is returned when the script expects its status", function()
    local it = acme()
    it.upstream("GET /v2/a", { status = 302, headers = { Location = "/v2/b" } })
    assert.equal(302, (it.call("send", { path = "/a", options = { expect = { 302 } } })).status)
  end)

  it("resolves relative addresses", function()
    local base = "http://h:1/a/b?q=1"
    for location, wanted in pairs({
      ["c"] = "http://h:1/a/c", ["../c"] = "http://h:1/c", ["/x/./y/../z"] = "http://h:1/x/z",
      ["?r=2"] = "http://h:1/a/b?r=2", ["//g/c"] = "http://g/c", ["https://g/#f"] = "https://g/",
      ["../../../c/"] = "http://h:1/c/",
    }) do
      assert.equal(wanted, redirect.resolve(base, location))
    end
  end)
end)
