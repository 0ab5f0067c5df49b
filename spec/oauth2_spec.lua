local t = require "tide.test"
local cells = require "tide.cells"
local crypto = require "tide.crypto"
local errors = require "tide.errors"
local http = require "tide.http"
local json = require "tide.json"
local keys = require "spec.support.key_pairs"
local secrets = require "tide.secrets"
local state = require "tide.state.secrets"
local task = require "tide.task"
local time = require "tide.time"

local SOURCE = [[
return {
  auth = { scheme = "oauth2", token_url = "https://login.acme.example/oauth/token", %s },
  hosts = { "localhost" },
  classify = function(res)
    if res.json.status == "old" then return "token_expired" end
    if res.status == 400 then return "rejected", "classified" end
  end,
  config = { base_url = "https://api.acme.example/v1", max_retries = 0 },
  operations = {
    read = { input = true, run = function(ctx, input)
      return ctx.http.get(input.path or "/thing", input.options).json
    end },
  },
}
]]

local CREDENTIALS = 'grant = "client_credentials", client_id = "id", client_secret = "secret"'
local REFRESH = 'grant = "refresh_token", client_id = "id", client_secret = "secret", refresh_token = "refresh"'
local BEARER = 'grant = "jwt_bearer", client_id = "id", client_secret = "key"'

local ID = "client id&1"
local SECRET = "s3cret/+ value:9"
local REFRESH_TOKEN = "refresh-token-0000"


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


-- A token endpoint that hands out access-1, access-2, …; the API takes the newest. `answer(fields,
-- request)` may change what the endpoint answers.
local function acme(fields, answer, options)
  options = options or {}
  local values = { id = ID }
  for _, name in ipairs({ "secret", "refresh", "key" }) do
    if fields:find('"' .. name .. '"', 1, true) then
      values[name] = ({ secret = SECRET, refresh = REFRESH_TOKEN, key = options.key or keys.rsa_private })[name]
    end
  end
  local it = t.integration("acme", { source = SOURCE:format(fields), secrets = values, config = options.config })
  local issued = {}
  it.upstream("POST /oauth/token", function(request)
    local answered = { access_token = "access-token-" .. #issued + 1, token_type = "Bearer", expires_in = 3600 }
    issued[#issued + 1] = request
    issued.valid = answered.access_token
    return answer and answer(answered, request, #issued) or { json = answered }
  end)
  it.upstream("GET /v1/thing", function(request)
    if request.headers.authorization ~= "Bearer " .. tostring(issued.valid) then
      return { status = 401, json = {} }
    end
    return { json = { ok = true } }
  end)
  return it, issued
end


local function decoded_assertion(form)
  local head, payload, signature = form.assertion:match("^([^.]+)%.([^.]+)%.([^.]+)$")
  local function part(text)
    return json.decode((crypto.from_base64url(text)))
  end
  return part(head), part(payload), head .. "." .. payload, crypto.from_base64url(signature)
end


describe("oauth2", function()
  it("client_credentials asks with the client's name and secret in the body", function()
    local it, issued = acme(CREDENTIALS .. ', scope = "read write", audience = "https://api"')
    assert.is_true((it.call("read", {})).ok)
    assert.same({
      grant_type = "client_credentials", client_id = ID, client_secret = SECRET, scope = "read write",
      audience = "https://api",
    }, issued[1].form)
    assert.is_nil(issued[1].headers.authorization)
    assert.equal("application/json", issued[1].headers.accept)
    assert.equal("Bearer access-token-1", it.requests[2].headers.authorization)
  end)

  it("asks with both in a header, encoded, when client_auth says so", function()
    local it, issued = acme(CREDENTIALS .. ', client_auth = "basic"')
    it.call("read", {})
    assert.same({ grant_type = "client_credentials" }, issued[1].form)
    assert.equal("Basic " .. crypto.base64(http.encode(ID) .. ":" .. http.encode(SECRET)),
      issued[1].headers.authorization)
  end)

  it("refresh_token asks with the refresh token", function()
    local it, issued = acme(REFRESH)
    it.call("read", {})
    assert.same({ grant_type = "refresh_token", refresh_token = REFRESH_TOKEN, client_id = ID, client_secret = SECRET },
      issued[1].form)
  end)

  it("refresh_token needs no secret of the client", function()
    local it, issued = acme((REFRESH:gsub('client_secret = "secret"', 'client_auth = "basic"')))
    it.call("read", {})
    assert.same({ grant_type = "refresh_token", refresh_token = REFRESH_TOKEN, client_id = ID }, issued[1].form)
  end)

  it("jwt_bearer asks with an assertion, signed with RS256", function()
    local it, issued = acme(BEARER .. ', scope = "read", key_id = "k-1"')
    local now = time.now()
    it.call("read", {})
    local form = issued[1].form
    assert.equal("urn:ietf:params:oauth:grant-type:jwt-bearer", form.grant_type)
    assert.equal("read", form.scope)
    assert.is_nil(form.client_secret)
    local head, claims, input, signature = decoded_assertion(form)
    assert.same({ alg = "RS256", typ = "JWT", kid = "k-1" }, head)
    assert.equal(ID, claims.iss)
    assert.equal(ID, claims.sub)
    assert.equal("read", claims.scope)
    assert.equal(it.url .. "/oauth/token", claims.aud)
    assert.equal(math.floor(now), claims.iat)
    assert.equal(claims.iat + 180, claims.exp)
    assert.equal(36, #claims.jti)
    assert.is_true(crypto.verify("rsa-sha256", keys.rsa_public, input, signature))
  end)

  it("jwt_bearer signs with ES256 when the key is of P-256, for whom and to whom the fields say", function()
    local it, issued = acme(BEARER .. ', subject = "kim@acme.example", audience = "https://acme.example"', nil,
      { key = keys.ec_private })
    it.call("read", {})
    local head, claims, input, signature = decoded_assertion(issued[1].form)
    assert.same({ alg = "ES256", typ = "JWT" }, head)
    assert.equal("kim@acme.example", claims.sub)
    assert.equal("https://acme.example", claims.aud)
    assert.is_nil(issued[1].form.audience)
    assert.is_true(crypto.verify("es256", keys.ec_public, input, signature))
  end)

  it("jwt_bearer names nobody when the subject is empty, and a new assertion each time", function()
    local it, issued = acme(BEARER .. ', subject = ""')
    it.call("read", {})
    issued.valid = "revoked"
    it.call("read", {})
    local _, first = decoded_assertion(issued[1].form)
    local _, second = decoded_assertion(issued[2].form)
    assert.is_nil(first.sub)
    assert.are_not.equal(first.jti, second.jti)
  end)

  it("jwt_bearer with a key that cannot sign says which secret, and nothing of it", function()
    for _, key in ipairs({ "not a key at all", keys.short_private, keys.rsa_public, keys.p384_private }) do
      local it = acme(BEARER, nil, { key = key })
      local err = failure(it.call, "read", {})
      assert.equal("not_configured", err.code)
      assert.is_truthy(err.message:find("secret key of acme", 1, true), err.message)
      assert.is_nil(err.message:find(key:sub(-20, -10), 1, true))
      assert.equal(0, #it.requests)
    end
  end)

  it("names a secret that is missing", function()
    local it = t.integration("acme", { source = SOURCE:format(CREDENTIALS), secrets = { id = ID } })
    local err = failure(it.call, "read", {})
    assert.equal("not_configured", err.code)
    assert.is_truthy(err.message:find("TIDEGATE_ACME_SECRET", 1, true))
  end)

  it("takes a token_url that is a path below base_url", function()
    local source = SOURCE:gsub("https://login.acme.example/oauth/token", "/token")
    local it = t.integration("acme", { source = source:format(CREDENTIALS), secrets = { id = ID, secret = SECRET } })
    it.upstream("POST /v1/token", { json = { access_token = "access-token-1" } })
    it.upstream("GET /v1/thing", { json = { ok = true } })
    it.call("read", {})
    assert.equal("Bearer access-token-1", it.requests[2].headers.authorization)
  end)
end)


describe("a token of oauth2", function()
  it("is kept, and fetched again at the end of its life, given as a number or as text", function()
    for _, lifetime in ipairs({ 100, "100" }) do
      local it, issued = acme(CREDENTIALS, function(answer)
        answer.expires_in = lifetime
        return { json = answer }
      end)
      it.call("read", {})
      it.call("read", {})
      assert.equal(1, #issued)
      t.advance(101)
      it.call("read", {})
      assert.equal(2, #issued)
    end
  end)

  it("without a life of its own serves until it is refused", function()
    local it, issued = acme(CREDENTIALS, function(answer)
      answer.expires_in, answer.token_type = nil, nil
      return { json = answer }
    end)
    it.call("read", {})
    t.advance(10 * 86400)
    it.call("read", {})
    assert.equal(1, #issued)
    issued.valid = "revoked"
    local data, meta = it.call("read", {})
    assert.is_true(data.ok)
    assert.equal(1, meta.attempts)
    assert.equal(2, #issued)
  end)

  it("is renewed early while the old one serves", function()
    local it, issued = acme(CREDENTIALS, function(answer, _, count)
      answer.expires_in = 100
      return { json = answer, delay = count > 1 and 2 or nil }
    end)
    it.call("read", {})
    t.advance(91)
    local sent = {}
    it.upstream("GET /v1/thing", function(request)
      sent[#sent + 1] = request.headers.authorization
      return { json = { ok = true } }
    end)
    it.call("read", {})
    t.advance(3)
    it.call("read", {})
    assert.same({ "Bearer access-token-1", "Bearer access-token-2" }, sent)
    assert.equal(2, #issued)
  end)

  it("is fetched once for fifty calls at a time", function()
    for _, fields in ipairs({ CREDENTIALS, REFRESH }) do
      local it, issued = acme(fields, function(answer) return { json = answer, delay = 0.05 } end)
      local list = {}
      for index = 1, 50 do
        list[index] = function() return (it.call("read", {})).ok end
      end
      for _, ok in ipairs(t.all(list)) do
        assert.is_true(ok)
      end
      assert.equal(1, #issued)
    end
  end)

  it("is dropped when a secret changes", function()
    local it, issued = acme(CREDENTIALS)
    it.call("read", {})
    secrets.put(it.generation.integrations.acme, "secret", "another-secret-99", "environment")
    it.call("read", {})
    assert.equal(2, #issued)
    assert.equal("another-secret-99", issued[2].form.client_secret)
  end)

  it("is fetched with the new secret when that changes while it is fetched, for all who wait", function()
    for _, refused in ipairs { false, true } do
      local it, issued
      it, issued = acme(CREDENTIALS, function(answered, request)
        if request.form.client_secret == SECRET then
          task.sleep(0.05)
          secrets.put(it.generation.integrations.acme, "secret", "another-secret-99", "environment")
          issued.valid = nil
          return refused and { status = 401, json = { error = "invalid_client" } } or { json = answered }
        end
        return { json = answered }
      end)
      local calls = {}
      for index = 1, 5 do
        calls[index] = function() return it.call("read", {}) end
      end
      for _, result in ipairs(t.all(calls)) do
        assert.same({ ok = true }, result)
      end
      assert.equal(2, #issued)
      assert.equal("another-secret-99", issued[2].form.client_secret)
    end
  end)

  it("of a definition that was changed does not serve the new one, and is not kept", function()
    local it, issued = acme(CREDENTIALS .. ', scope = "read"')
    it.call("read", {})
    local other, other_issued = acme(CREDENTIALS .. ', scope = "write"')
    local owner = it.generation.integrations.acme.owner
    other.generation.integrations.acme.owner = owner
    other.call("read", {})
    assert.equal(1, #issued)
    assert.equal(1, #other_issued)
    local kept = 0
    for _, entry in ipairs(state.list(owner)) do
      kept = kept + (entry.name:match("^auth:token:") and 1 or 0)
    end
    assert.equal(1, kept)
  end)

  it("goes to the origin of base_url alone", function()
    local it = acme(CREDENTIALS)
    local elsewhere = it.url:gsub("127.0.0.1", "localhost")
    it.upstream("GET /there", { json = {} })
    it.call("read", { path = elsewhere .. "/there" })
    assert.equal(1, #it.requests)
    assert.is_nil(it.requests[1].headers.authorization)
  end)

  it("cannot be asked for by a single request", function()
    local it = acme(CREDENTIALS)
    local err = failure(it.call, "read", { options = { auth = { scheme = "oauth2" } } })
    assert.equal("script_error", err.code)
    assert.is_truthy(err.message:find("bearer, basic, api_key or sigv4", 1, true))
    err = failure(it.call, "read", { options = { auth = { scheme = "api_key", secret = "id" } } })
    assert.is_truthy(err.message:find("needs header or query", 1, true), err.message)
  end)
end)


describe("a refresh token", function()
  local function rotating(answer, _, count)
    answer.refresh_token = "refresh-token-000" .. count
    return { json = answer }
  end

  it("that an answer brings is used from then on", function()
    local it, issued = acme(REFRESH, rotating)
    for round = 1, 3 do
      issued.valid = "revoked"
      it.call("read", {})
      assert.equal("refresh-token-000" .. round - 1, issued[round].form.refresh_token)
    end
  end)

  it("stays when an answer brings none", function()
    local it, issued = acme(REFRESH, function(answer, request, count)
      return count == 1 and rotating(answer, request, count) or { json = answer }
    end)
    for _ = 1, 3 do
      issued.valid = "revoked"
      it.call("read", {})
    end
    assert.equal("refresh-token-0001", issued[2].form.refresh_token)
    assert.equal("refresh-token-0001", issued[3].form.refresh_token)
  end)

  it("that came is dropped when it is refused: the configured one is next", function()
    local it, issued = acme(REFRESH, function(answer, request, count)
      if count == 2 then
        return { status = 400, json = { error = "invalid_grant" } }
      end
      return rotating(answer, request, count)
    end)
    it.call("read", {})
    issued.valid = "revoked"
    assert.equal("upstream_auth", failure(it.call, "read", {}).code)
    issued.valid = "revoked"
    it.call("read", {})
    assert.equal(REFRESH_TOKEN, issued[3].form.refresh_token)
  end)

  it("that came is dropped when a secret changes", function()
    local it, issued = acme(REFRESH, rotating)
    it.call("read", {})
    secrets.put(it.generation.integrations.acme, "refresh", "refresh-token-new1", "environment")
    it.call("read", {})
    assert.equal("refresh-token-new1", issued[2].form.refresh_token)
  end)

  it("that comes is not lost when the call ends before its answer", function()
    local it, issued = acme(REFRESH, function(answer, request, count)
      if count == 1 then
        task.sleep(1.5)
      end
      return rotating(answer, request, count)
    end)
    assert.equal("timeout", failure(it.call, "read", {}, { timeout_ms = 1000 }).code)
    t.advance(1)
    it.call("read", {})
    assert.equal(1, #issued)
    issued.valid = "revoked"
    it.call("read", {})
    assert.equal("refresh-token-0001", issued[2].form.refresh_token)
  end)
end)


describe("a token endpoint", function()
  local function answers(answer, fields, config)
    local it, issued = acme(fields or CREDENTIALS, function() return answer end, { config = config })
    local err = failure(it.call, "read", {})
    return err, it, issued
  end

  it("that refuses is an upstream_auth with its words, which are redacted and bounded", function()
    local err, it = answers({ status = 400, json = {
      error = "invalid_client", error_description = "unknown secret " .. SECRET .. ("x"):rep(5000),
    } })
    assert.equal("upstream_auth", err.code)
    assert.equal(400, err.status)
    assert.is_truthy(err.message:find("gave no token: invalid_client (unknown secret [redacted]", 1, true), err.message)
    assert.is_true(#err.message < 800)
    assert.is_nil(err.message:find("classified", 1, true))
    assert.equal("upstream_auth", it.logs()[1].error_type)
  end)

  it("that refuses without JSON, with 404, or with 200 is one as well", function()
    for _, answer in ipairs({
      { status = 401, body = "<html>no</html>" }, { status = 404, json = {} }, { status = 403, json = { error = 7 } },
      { json = { error = "bad_verification_code" } }, { status = 400, json = json.array() },
    }) do
      assert.equal("upstream_auth", (answers(answer)).code)
    end
  end)

  it("that fails, is overrun or redirects is named by that", function()
    assert.equal("upstream_error", (answers({ status = 500, json = {} })).code)
    assert.equal("upstream_error", (answers({ status = 302, headers = { Location = "/elsewhere" } })).code)
    local err = answers({ status = 429, json = {}, headers = { ["Retry-After"] = "7" } })
    assert.equal("rate_limited", err.code)
    assert.equal(7, err.retry_after)
    err = answers({ close = true })
    assert.equal("network_error", err.code)
  end)

  it("that answers with no token of use is an upstream_error", function()
    for _, fields in ipairs({
      {}, { access_token = "" }, { access_token = 5 }, { access_token = "a\r\nb" }, { access_token = "a b" },
      { access_token = ("a"):rep(16385) },
      { access_token = "token-1", token_type = "mac" }, { access_token = "token-1", token_type = 1 },
      { access_token = "token-1", expires_in = "soon" }, { access_token = "token-1", expires_in = -1 },
      { access_token = "token-1", expires_in = {} },
    }) do
      local err, _, issued = answers({ json = fields })
      assert.equal("upstream_error", err.code, json.encode(fields))
      assert.equal(1, #issued)
    end
    assert.equal("upstream_error", (answers({ body = "not json" })).code)
  end)

  it("that fails is asked again within the attempts of the call", function()
    local it, issued = acme(CREDENTIALS, function(answer, _, count)
      return count == 1 and { status = 503, json = {} } or { json = answer }
    end, { config = { max_retries = 1 } })
    local _, meta = it.call("read", {})
    assert.equal(2, meta.attempts)
    assert.equal(2, #issued)
  end)

  it("that fails counts against the breaker, and then is not asked", function()
    for _, fields in ipairs({ CREDENTIALS, REFRESH }) do
      local it, issued = acme(fields, function() return { status = 500, json = {} } end,
        { config = { circuit_breaker_failure_threshold = 3 } })
      for _ = 1, 3 do
        assert.equal("upstream_error", failure(it.call, "read", {}).code)
      end
      assert.equal("circuit_open", failure(it.call, "read", {}).code)
      assert.equal(3, #issued)
    end
  end)

  it("is asked by the probe of a half-open breaker, whose verdict is the call's", function()
    for _, fields in ipairs({ CREDENTIALS, REFRESH }) do
      local broken = true
      local it = acme(fields, function(answer)
        return broken and { status = 500, json = {} } or { json = answer }
      end, { config = { circuit_breaker_failure_threshold = 1, circuit_breaker_timeout_seconds = 60 } })
      failure(it.call, "read", {})
      broken = false
      t.advance(61)
      assert.is_true((it.call("read", {})).ok)
      local _, meta = it.call("read", {})
      assert.equal("closed", meta.circuit_breaker_state)
    end
  end)

  it("that renews a token gives its place among the probes back", function()
    local it, issued = acme(CREDENTIALS, function(answer)
      answer.expires_in = 1000
      return { json = answer }
    end, { config = {
      circuit_breaker_failure_threshold = 1, circuit_breaker_timeout_seconds = 60, circuit_breaker_half_open_calls = 3,
    } })
    it.upstream("GET /v1/thing", { { status = 500, json = {} }, { json = { ok = true } } })
    failure(it.call, "read", {})
    t.advance(945)
    it.call("read", {})
    t.advance(1)
    assert.equal(2, #issued)
    assert.equal(0, cells.of(it.generation.integrations.acme, false).breaker:info().probes_out)
    it.call("read", {})
    local _, meta = it.call("read", {})
    assert.equal("half_open", meta.circuit_breaker_state)
    _, meta = it.call("read", {})
    assert.equal("closed", meta.circuit_breaker_state)
  end)

  it("that is left in the middle gives the probe back", function()
    local broken = true
    local it = acme(REFRESH, function(answer, _, count)
      if count == 2 then
        task.sleep(1.5)
      end
      return broken and { status = 500, json = {} } or { json = answer }
    end, { config = { circuit_breaker_failure_threshold = 1, circuit_breaker_timeout_seconds = 60 } })
    failure(it.call, "read", {})
    broken = false
    t.advance(61)
    assert.equal("timeout", failure(it.call, "read", {}, { timeout_ms = 1000 }).code)
    assert.is_true((it.call("read", {})).ok)
  end)

  it("is in the row of a call that got no token", function()
    for _, fields in ipairs({ CREDENTIALS, REFRESH }) do
      local _, it = answers({ status = 400, json = { error = "invalid_scope" } }, fields)
      local row = it.logs()[1]
      assert.equal(400, row.response_status)
      assert.is_truthy(row.request_url:find("/oauth/token", 1, true))
      assert.equal("invalid_scope", json.decode(row.response_body).error)
    end
  end)

  it("is among the requests of the attempt", function()
    local it = acme(CREDENTIALS)
    it.call("read", {})
    local attempts = json.decode(it.logs()[1].attempts)
    assert.equal(2, #attempts[1].requests)
    assert.equal("auth", attempts[1].requests[1].purpose)
    assert.equal("POST", attempts[1].requests[1].method)
    assert.equal("GET", attempts[1].requests[2].method)
  end)

  it("leaves no secret and no token in a row, whatever happens", function()
    local rows = {}
    local function collect(it)
      pcall(it.call, "read", {})
      for _, row in ipairs(it.logs()) do
        rows[#rows + 1] = row
      end
    end
    local assertion
    for _, fields in ipairs({ CREDENTIALS, CREDENTIALS .. ', client_auth = "basic"', REFRESH, BEARER }) do
      for _, status in ipairs({ 200, 400, 500 }) do
        collect((acme(fields, function(answer, request)
          answer.refresh_token, answer.echo = "refresh-token-0001", request.body
          assertion = request.form.assertion or assertion
          return { status = status, json = answer }
        end)))
      end
    end
    assert.equal(12, #rows)
    for _, row in ipairs(rows) do
      for column, value in pairs(row) do
        for _, secret in ipairs({ SECRET, http.encode(SECRET), REFRESH_TOKEN, "refresh-token-0001", "access-token-1",
          assertion, crypto.base64(http.encode(ID) .. ":" .. http.encode(SECRET)) }) do
          assert.is_nil(tostring(value):find(secret, 1, true), column .. ": " .. tostring(value))
        end
      end
    end
  end)
end)
