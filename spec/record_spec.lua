local t = require "tide.test"
local json = require "tide.json"
local errors = require "tide.errors"

local SHOP = [[
return {
  auth = { scheme = "api_key", secret = "api_key", query = "key" },
  secrets = { "password" },
  config = { base_url = "https://shop.example", max_retries = 0 },
  operations = {
    order = {
      input = true,
      run = function(ctx, input)
        local res = ctx.http.post("/orders", {
          headers = { ["X-Api-Key"] = ctx.secret("password"), ["X-Shop"] = "7" },
          json = { item = input.item, password = "hunter2", note = ctx.secret("password") },
        })
        return { id = res.json.id }
      end,
    },
    login = {
      run = function(ctx)
        return (ctx.http.post("/login", { form = { user = "kim", password = "hunter22" } })).json
      end,
    },
    big = { run = function(ctx) return { size = #ctx.http.get("/big").body } end },
    raw = { run = function(ctx) return { size = #ctx.http.get("/raw").body } end },
    leak = {
      run = function(ctx)
        error("could not log in with " .. ctx.secret("password"))
      end,
    },
  },
}
]]

local SECRETS = { api_key = "key-0123456789", password = "p@ss word/9876" }


local function shop(config)
  return t.integration("shop", { source = SHOP, secrets = SECRETS, config = config })
end


local function assert_no_secret(row)
  for column, value in pairs(row) do
    for _, secret in pairs(SECRETS) do
      assert.is_nil(tostring(value):find(secret, 1, true), column .. " holds a secret")
    end
    assert.is_nil(tostring(value):find("p%40ss", 1, true), column .. " holds an encoded secret")
    assert.is_nil(tostring(value):find("hunter2", 1, true), column .. " holds a password")
  end
end


describe("a row", function()
  it("property 23: request and response are there with all fields", function()
    local it = shop()
    it.upstream("POST /orders", { status = 201, json = { id = 17 }, headers = { ["X-Region"] = "kr" } })
    it.call("order", { item = "tea" }, { trace_id = ("0af7"):rep(8) })
    local row = it.logs()[1]
    for _, column in ipairs({
      "id", "created_at", "integration_name", "integration_type", "operation", "request_method", "request_url",
      "request_headers", "request_body", "response_status", "response_headers", "response_body", "duration_ms",
      "trace_id", "retry_count", "circuit_breaker_state", "provider_version", "attempts",
    }) do
      assert.is_not_nil(row[column], column)
    end
    assert.is_true(row.is_success)
    assert.is_false(row.is_from_cache)
    assert.equal("closed", row.circuit_breaker_state)
    assert.is_truthy(row.created_at:match("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$"))
    assert.is_truthy(row.id:match("^%x+%-%x+%-7%x+%-%x+%-%x+$"))
  end)

  it("property 47: the request's method, URL, headers and body are in the row", function()
    local it = shop()
    it.upstream("POST /orders", { status = 201, json = { id = 17 } })
    it.call("order", { item = "tea" })
    local row = it.logs()[1]
    assert.equal("POST", row.request_method)
    assert.is_truthy(row.request_url:find("/orders", 1, true))
    assert.equal("7", json.decode(row.request_headers)["x-shop"])
    assert.equal("tea", json.decode(row.request_body).item)
  end)

  it("property 48: the response's status, headers and body are in the row", function()
    local it = shop()
    it.upstream("POST /orders", { status = 201, json = { id = 17 }, headers = { ["X-Region"] = "kr" } })
    it.call("order", { item = "tea" })
    local row = it.logs()[1]
    assert.equal(201, row.response_status)
    assert.equal("kr", json.decode(row.response_headers)["x-region"])
    assert.same({ id = 17 }, json.decode(row.response_body))
  end)

  it("property 49: no secret is in a row, neither by name nor by value", function()
    local it = shop()
    it.upstream("POST /orders", function(request)
      return { json = { id = 1, echo = request.json.note, token = "tok-99999999" } }
    end)
    it.upstream("POST /login", { status = 401, json = { error = "wrong password " .. SECRETS.password } })
    it.call("order", { item = "tea" })
    pcall(it.call, "login", {})
    pcall(it.call, "leak", {})
    local rows = it.logs()
    assert.equal(3, #rows)
    for _, row in ipairs(rows) do
      assert_no_secret(row)
    end
    assert.equal("tea", json.decode(rows[1].request_body).item)
    assert.equal("kim", json.decode(rows[2].request_body).user)
  end)

  it("holds no secret in the error that callers see", function()
    local it = shop()
    local ok, err = pcall(it.call, "leak", {})
    assert.is_false(ok)
    assert.is_nil(json.encode(errors.problem(err)):find(SECRETS.password, 1, true))
  end)

  it("property 50: every row has a trace id", function()
    local it = shop()
    it.upstream("POST /orders", { json = { id = 1 } })
    it.call("order", { item = "tea" }, { trace_id = ("0af7"):rep(8) })
    it.call("order", { item = "tea" })
    pcall(it.call, "leak", {})
    local rows = it.logs()
    assert.equal(("0af7"):rep(8), rows[1].trace_id)
    assert.equal(32, #rows[2].trace_id)
    assert.equal(32, #rows[3].trace_id)
    assert.not_equal(rows[2].trace_id, rows[3].trace_id)
  end)

  it("holds a long body cut, as a JSON string", function()
    local it = shop()
    local list = {}
    for index = 1, 2000 do
      list[index] = index
    end
    it.upstream("GET /big", { json = list })
    it.call("big", {})
    local body = json.decode(it.logs()[1].response_body)
    assert.is_string(body)
    assert.equal(4096, #body)
  end)

  it("holds a body that is no text as its length", function()
    local it = shop()
    it.upstream("GET /raw", { body = "\xff\xfe\x00\x01" })
    it.call("raw", {})
    assert.equal("[4 bytes]", json.decode(it.logs()[1].response_body))
  end)

  it("shows headers that are no text as their length, and no credential in them", function()
    local it = shop()
    it.upstream("POST /orders", { json = { id = 1 }, headers = {
      ["X-Bytes"] = "\xff\xfe", Location = "https://a.example/?access_token=abc12345&x=1",
      ["Set-Cookie"] = "session=1234567890", ["X-Note"] = "see " .. SECRETS.api_key,
    } })
    it.call("order", { item = "tea" })
    local headers = json.decode(it.logs()[1].response_headers)
    assert.equal("[2 bytes]", headers["x-bytes"])
    assert.equal("https://a.example/?access_token=[redacted]&x=1", headers.location)
    assert.equal("[redacted]", headers["set-cookie"])
    assert.equal("see [redacted]", headers["x-note"])
  end)

  it("shows no credential in a header that holds JSON or a quoted value", function()
    local it = shop()
    it.upstream("POST /orders", { json = { id = 1 }, headers = {
      ["X-Debug"] = '{"password": "hunter2-hunter2"}', ["X-Plain"] = '"quoted"',
    } })
    it.call("order", { item = "tea" })
    local headers = json.decode(it.logs()[1].response_headers)
    assert.is_nil(headers["x-debug"]:find("hunter2", 1, true), headers["x-debug"])
    assert.equal('"quoted"', headers["x-plain"])
  end)

  it("masks further fields that the configuration names", function()
    local it = shop({ redact_fields = { "item" } })
    it.upstream("POST /orders", { json = { id = 1 } })
    it.call("order", { item = "tea" })
    assert.not_equal("tea", json.decode(it.logs()[1].request_body).item)
  end)
end)
