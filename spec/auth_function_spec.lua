local t = require "tide.test"
local crypto = require "tide.crypto"
local errors = require "tide.errors"

local SIGNED = [[
local crypto = require "tide.crypto"
local fail = require "tide.fail"

return {
  secrets = { "app_key" },
  hosts = { "localhost" },
  auth = function(ctx, request)
    %s
  end,
  config = { base_url = "https://api.acme.example/v1", max_retries = 0 },
  operations = {
    read = { input = true, run = function(ctx, input)
      return ctx.http.get(input.path or "/thing", input.options).json
    end },
    write = { input = true, run = function(ctx, input) return ctx.http.post("/thing", { json = input }).json end },
  },
}
]]

local KEY = "app-key-0123456789"


local function acme(body, config)
  local it = t.integration("acme", { source = SIGNED:format(body), secrets = { app_key = KEY }, config = config })
  it.upstream("* /*", { json = { ok = true } })
  return it
end


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


describe("auth as a function", function()
  it("sees the request as it will be sent", function()
    local it = acme([[
      request.headers["X-Seen"] = table.concat({ request.method, request.url:match("//[^/]*(.*)"),
        request.query.a or "-", request.body or "-", request.headers["Content-Type"] or "-" }, " ")
    ]])
    it.call("write", { item = "tea" })
    assert.equal('POST /v1/thing - {"item":"tea"} application/json', it.requests[1].headers["x-seen"])
    it.call("read", { options = { query = { a = 1 } } })
    assert.equal("GET /v1/thing 1 - -", it.requests[2].headers["x-seen"])
  end)

  it("changes method, url, headers, query and body", function()
    local it = acme([[
      request.method, request.url = "PUT", request.url .. "/signed"
      local mac = crypto.hmac("sha256", ctx.secret("app_key"), request.body)
      request.headers = { ["X-Sign"] = crypto.hex(mac), ["X-N"] = 3 }
      request.query.stamp, request.query.list = 7, { "a", "b" }
      request.body = "<" .. request.body .. ">"
    ]])
    it.call("write", { item = "tea" })
    local request = it.requests[1]
    assert.equal("PUT", request.method)
    assert.equal("/v1/thing/signed?list=a&list=b&stamp=7", request.target)
    assert.equal(crypto.hex(crypto.hmac("sha256", KEY, '{"item":"tea"}')), request.headers["x-sign"])
    assert.equal("3", request.headers["x-n"])
    assert.equal('<{"item":"tea"}>', request.body)
    assert.is_nil(request.headers["user-agent"])
  end)

  it("takes a body and a header away", function()
    local it = acme('request.body, request.headers["Content-Type"] = nil, nil')
    it.call("write", { item = "tea" })
    assert.equal("", it.requests[1].body)
    assert.is_nil(it.requests[1].headers["content-type"])
  end)

  it("runs again for every attempt, on the request as the script made it", function()
    local it = acme('request.query.n = (request.query.n or "") .. ctx.attempt', { max_retries = 1 })
    it.upstream("* /*", { { status = 503 }, { json = {} } })
    it.call("read", {})
    assert.equal("1", it.requests[1].query.n)
    assert.equal("2", it.requests[2].query.n)
  end)

  it("may send requests of its own, which it does not authorise", function()
    local it = acme([[
      local nonce = ctx.http.post("/nonce").json.nonce
      request.headers["X-Nonce"] = nonce
    ]])
    it.upstream("POST /v1/nonce", { json = { nonce = "n-1" } })
    it.call("read", {})
    assert.equal(2, #it.requests)
    assert.is_nil(it.requests[1].headers["x-nonce"])
    assert.equal("n-1", it.requests[2].headers["x-nonce"])
  end)

  it("fails the call with what it raises", function()
    local it = acme('fail("not_configured", "no account")')
    assert.equal("not_configured", failure(it.call, "read", {}).code)
    it = acme("local x = nil; x.y = 1")
    local err = failure(it.call, "read", {})
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("providers/acme.lua:8", 1, true), err.message)
    it = acme('return nil, "no"')
    assert.equal("script_error", failure(it.call, "read", {}).code)
    assert.equal(0, #it.requests)
  end)

  it("is stopped by the budget of a script", function()
    local it = acme("while true do end")
    assert.equal("script_timeout", failure(it.call, "read", {}).code)
  end)

  it("leaves a request that cannot be sent: a script error that says why", function()
    for body, words in pairs({
      ["request.verb = 1"] = 'no member "verb"',
      ["request.method = 'get'"] = "upper-case letters",
      ["request.method = nil"] = "method is missing",
      ["request.url = 5"] = "url must be a string, got number",
      ["request.url = '/thing'"] = "the address cannot be read",
      ["request.headers = nil"] = "headers is missing",
      ["request.headers.x = {}"] = "auth: headers.x must be text or a number, got table",
      ["request.headers.x = 'a\\nb'"] = "line break",
      ["request.query.x = print"] = "auth: query.x must be text or a number, got function",
      ["request.body = {}"] = "body must be a string, got table",
      ["request.url = 'https://other.example/'"] = "other.example",
    }) do
      local it = acme(body)
      local err = failure(it.call, "read", {})
      assert.equal("script_error", err.code, body)
      assert.is_truthy(err.message:find(words, 1, true), body .. ": " .. err.message)
      assert.equal(0, #it.requests)
    end
  end)

  it("is not asked for another host, nor after a redirect there, nor when a request is without", function()
    local it = acme('request.headers["X-Sign"] = ctx.secret("app_key")')
    local elsewhere = it.url:gsub("127.0.0.1", "localhost")
    it.call("read", { path = elsewhere .. "/plain" })
    it.call("read", { options = { auth = false } })
    assert.is_nil(it.requests[1].headers["x-sign"])
    assert.is_nil(it.requests[2].headers["x-sign"])
    it.upstream("GET /v1/thing", { status = 302, headers = { Location = elsewhere .. "/there" } })
    it.call("read", {})
    assert.equal(KEY, it.requests[3].headers["x-sign"])
    assert.equal("/there", it.requests[4].path)
    assert.is_nil(it.requests[4].headers["x-sign"])
  end)

  it("may lead to another host that is declared", function()
    local it = acme('request.url = request.url:gsub("127.0.0.1", "localhost")')
    it.call("read", {})
    assert.is_truthy(it.requests[1].headers.host:find("localhost", 1, true))
  end)

  it("shows no secret in a row", function()
    local it = acme('request.headers["X-Sign"] = ctx.secret("app_key"); request.query.key = ctx.secret("app_key")')
    it.call("read", {})
    for column, value in pairs(it.logs()[1]) do
      assert.is_nil(tostring(value):find(KEY, 1, true), column)
    end
  end)
end)
