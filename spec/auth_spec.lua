local t = require "tide.test"
local crypto = require "tide.crypto"
local errors = require "tide.errors"
local secrets = require "tide.secrets"

local function simple(auth)
  return ([[
return {
  auth = %s,
  config = { base_url = "https://api.acme.example", max_retries = 0 },
  operations = {
    read = { input = true, run = function(ctx, input) return ctx.http.get("/thing", input).json end },
  },
}
]]):format(auth)
end

local TOKEN = [[
return {
  secrets = { "app_key" },
  auth = {
    scheme = "token",
    fetch = function(ctx)
      local res = ctx.http.post("/token", { json = { key = ctx.secret("app_key") } })
      return res.json.token, res.json.lifetime
    end,
  },
  classify = function(res)
    if res.status == 503 then return "token_expired" end
  end,
  config = { base_url = "https://api.acme.example", max_retries = 0 },
  operations = {
    read = { run = function(ctx) return ctx.http.get("/thing").json end },
    write = { run = function(ctx) return ctx.http.post("/thing", { json = {} }).json end },
  },
}
]]


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


-- An upstream that hands out tokens t-1, t-2, … and takes the newest only.
local function with_tokens(options)
  options = options or {}
  local it = t.integration("acme", {
    source = options.source or TOKEN,
    secrets = { app_key = "app-key-0123456789" },
    config = options.config,
  })
  local state = { issued = 0, valid = nil, lifetime = options.lifetime or 3600, refusal = options.refusal or 401 }
  it.upstream("POST /token", function()
    state.issued = state.issued + 1
    state.valid = "token-value-" .. state.issued
    return { json = { token = state.valid, lifetime = state.lifetime }, delay = options.token_delay }
  end)
  local function thing(request)
    if request.headers.authorization ~= "Bearer " .. tostring(state.valid) then
      return { status = state.refusal, json = {} }
    end
    return { json = { ok = true } }
  end
  it.upstream("GET /thing", thing)
  it.upstream("POST /thing", thing)
  return it, state
end


describe("auth", function()
  it("bearer sends the secret", function()
    local it = t.integration("acme", {
      source = simple('{ scheme = "bearer", secret = "api_key" }'), secrets = { api_key = "s3cret-value" },
    })
    it.upstream("GET /thing", { json = {} })
    it.call("read", {})
    assert.equal("Bearer s3cret-value", it.requests[1].headers.authorization)
  end)

  it("basic sends user name and password", function()
    local it = t.integration("acme", {
      source = simple('{ scheme = "basic", username = "user", password = "password" }'),
      secrets = { user = "kim", password = "s3cret-value" },
    })
    it.upstream("GET /thing", { json = {} })
    it.call("read", {})
    assert.equal("Basic " .. crypto.base64("kim:s3cret-value"), it.requests[1].headers.authorization)
  end)

  it("api_key sends a header with a prefix", function()
    local it = t.integration("acme", {
      source = simple('{ scheme = "api_key", secret = "key", header = "X-Key", prefix = "v1 " }'),
      secrets = { key = "s3cret-value" },
    })
    it.upstream("GET /thing", { json = {} })
    it.call("read", {})
    assert.equal("v1 s3cret-value", it.requests[1].headers["x-key"])
  end)

  it("sends a request that was refused once more when the secret changed meanwhile, and not else", function()
    local sent, changes = {}, {}
    local it = t.integration("acme", {
      source = simple('{ scheme = "bearer", secret = "api_key" }'), secrets = { api_key = "first-value" },
    })
    it.upstream("GET /thing", function(request)
      sent[#sent + 1] = request.headers.authorization
      local value = changes[#sent]
      if value then
        secrets.put(it.generation.integrations.acme, "api_key", value, "environment")
      end
      return request.headers.authorization == "Bearer good-value" and { json = { ok = true } } or { status = 401 }
    end)
    assert.equal("upstream_auth", failure(it.call, "read", {}).code)
    assert.equal(1, #sent)
    changes = { [2] = "good-value" }
    assert.same({ ok = true }, it.call("read", {}))
    assert.same({ "Bearer first-value", "Bearer first-value", "Bearer good-value" }, sent)
    -- Once: who changes it again and again is no reason to go on.
    changes = { [4] = "a-value", [5] = "another-value", [6] = "a-value" }
    secrets.put(it.generation.integrations.acme, "api_key", "old-value", "environment")
    assert.equal("upstream_auth", failure(it.call, "read", {}).code)
    assert.equal(5, #sent)
  end)

  it("api_key sends a member of the query, which the row does not show", function()
    local it = t.integration("acme", {
      source = simple('{ scheme = "api_key", secret = "key", query = "serviceKey" }'),
      secrets = { key = "s3cret+value/==" },
    })
    it.upstream("GET /thing", { json = {} })
    it.call("read", { query = { a = "1" } })
    assert.equal("s3cret+value/==", it.requests[1].query.serviceKey)
    assert.equal("1", it.requests[1].query.a)
    local url = it.logs()[1].request_url
    assert.is_nil(url:find("s3cret", 1, true), url)
    assert.is_truthy(url:find("a=1", 1, true))
  end)

  it("can be left out of a single request", function()
    local it = t.integration("acme", {
      source = simple('{ scheme = "bearer", secret = "api_key" }'), secrets = { api_key = "s3cret-value" },
    })
    it.upstream("GET /thing", { json = {} })
    it.call("read", { auth = false })
    assert.is_nil(it.requests[1].headers.authorization)
  end)
end)


describe("a token", function()
  it("is fetched once and kept", function()
    local it, state = with_tokens()
    it.call("read", {})
    it.call("read", {})
    assert.equal(1, state.issued)
    assert.equal(3, #it.requests)
    assert.is_nil(it.requests[1].headers.authorization)
  end)

  it("is fetched again when its life is over", function()
    local it, state = with_tokens({ lifetime = 100 })
    it.call("read", {})
    t.advance(101)
    it.call("read", {})
    assert.equal(2, state.issued)
  end)

  it("is renewed early while the old one serves", function()
    local it, state = with_tokens({ lifetime = 100, token_delay = 2 })
    it.call("read", {})
    state.valid = "token-value-1"
    t.advance(91)
    local _, meta = it.call("read", {})
    assert.is_true(meta.duration_ms < 1000)
    t.advance(3)
    assert.equal(2, state.issued)
    it.call("read", {})
    assert.equal("Bearer token-value-2", it.requests[#it.requests].headers.authorization)
    assert.equal(2, state.issued)
  end)

  it("that is refused is dropped and the request repeated once", function()
    local it, state = with_tokens()
    it.call("read", {})
    state.valid = "revoked"
    local data, meta = it.call("read", {})
    assert.is_true(data.ok)
    assert.equal(1, meta.attempts)
    assert.equal(2, state.issued)
  end)

  it("that classify calls token_expired is dropped too", function()
    local it, state = with_tokens({ refusal = 503 })
    it.call("read", {})
    state.valid = "revoked"
    assert.is_true((it.call("read", {})).ok)
    assert.equal(2, state.issued)
  end)

  it("lets a refused POST be sent again, as nothing was done", function()
    local it, state = with_tokens()
    it.call("read", {})
    state.valid = "revoked"
    assert.is_true((it.call("write", {})).ok)
  end)

  it("that is fresh and refused is an upstream_auth, after one repetition", function()
    local it = with_tokens({ refusal = 503 })
    it.upstream("GET /thing", { status = 503, json = {} })
    local err = failure(it.call, "read", {})
    assert.equal("upstream_auth", err.code)
    local things = 0
    for _, request in ipairs(it.requests) do
      things = things + (request.path == "/thing" and 1 or 0)
    end
    assert.equal(2, things)
  end)

  it("that was revoked costs one token request for 50 concurrent calls, and none fails", function()
    local it, state = with_tokens({ token_delay = 0.05, config = { rate_limit_enabled = false } })
    it.call("read", {})
    state.valid = "revoked"
    local list = {}
    for index = 1, 50 do
      list[index] = function()
        return (it.call("read", {})).ok
      end
    end
    local results = t.all(list)
    assert.equal(50, #results)
    for _, ok in ipairs(results) do
      assert.is_true(ok)
    end
    assert.equal(2, state.issued)
  end)

  it("that cannot be fetched fails every caller with the same error", function()
    local it = with_tokens()
    it.upstream("POST /token", { status = 403, json = {}, delay = 0.05 })
    local list = {}
    for index = 1, 5 do
      list[index] = function()
        local ok, err = pcall(it.call, "read", {})
        return not ok and err.code
      end
    end
    for _, code in ipairs(t.all(list)) do
      assert.equal("upstream_auth", code)
    end
    assert.equal(1, #it.requests)
  end)

  it("is dropped when a secret changes", function()
    local it, state = with_tokens()
    it.call("read", {})
    secrets.put(it.generation.integrations.acme, "app_key", "another-key-9876", "environment")
    it.call("read", {})
    assert.equal(2, state.issued)
  end)

  it("is in no row", function()
    local it = with_tokens()
    it.call("read", {})
    for _, row in ipairs(it.logs()) do
      for column, value in pairs(row) do
        assert.is_nil(tostring(value):find("token-value-1", 1, true), column)
        assert.is_nil(tostring(value):find("app-key-0123456789", 1, true), column)
      end
    end
  end)
end)
