local provider = require "tide.provider"
local sandbox = require "tide.sandbox"

local seed = tonumber(os.getenv("SEED")) or os.time()

local ACME = [[
local fail = require "tide.fail"

return {
  summary = "Parcel tracking",
  hosts   = { "*.files.acme.example", "127.0.0.1:8080", "[::1]" },
  auth    = { scheme = "bearer", secret = "api_key" },
  secrets = { "app_key" },

  config = {
    base_url = "https://api.acme.example/v2",
    timeout_seconds = 10,
    extra_config = { language = "ko" },
  },

  operations = {
    track = {
      summary = "Where a parcel is",
      input = {
        type = "object", required = { "parcel" },
        properties = { parcel = { type = "string", pattern = "^[0-9-]{10,12}$" } },
      },
      prepare = function(input) return input end,
      cache = { ttl_seconds = 60, version = 2 },
      idempotent = true,
      run = function(ctx, input) return input end,
      mock = function(ctx, input) return input end,
    },
    list = { cache = true, run = function() end },
  },

  classify = function(res) end,
  health = function(ctx) end,

  webhooks = {
    signature  = { scheme = "hmac-sha256", header = "X-Acme-Signature", secret = "webhook_secret" },
    event_type = "type",
    event_id   = "id",
    on = { ["parcel.delivered"] = function() end, ["parcel.scanned"] = false },
  },
}
]]


local function check(source, name)
  local definition = assert(sandbox.load(source, "providers/acme.lua"))
  return provider.check(definition, name or "acme", "providers/acme.lua", source)
end


-- The faults of a provider that has one operation and `extra` besides.
local function faults_of(extra)
  local _, errors = check("return {\n  operations = { a = { run = function() end } },\n  " .. extra
    .. "\n}")
  return errors or {}
end


local function operation_faults(inside)
  local _, errors = check("return {\n  operations = { a = {\n    run = function() end,\n    "
    .. inside .. " } } }")
  return errors or {}
end


describe("provider contract", function()
  it("takes the example of the documentation", function()
    local acme, errors = check(ACME)
    assert.is_nil(errors)
    assert.equal("acme", acme.name)
    assert.equal("api", acme.type)
    assert.same({ api_key = true, app_key = true, webhook_secret = true }, acme.secrets)
    assert.same({ "*.files.acme.example", "127.0.0.1:8080", "[::1]" }, acme.hosts)
    assert.equal(10, acme.config.timeout_seconds)
    local track = acme.operations.track
    assert.is_true(track.cacheable)
    assert.same({ ttl_seconds = 60, version = 2 }, track.cache)
    assert.is_true(track.idempotent)
    assert.same({ parcel = "1234567890" }, (track.input:validate({ parcel = "1234567890" })))
    assert.is_nil((track.input:validate({ parcel = "x" })))
    assert.equal("function", type(track.definition.run))
    assert.is_nil(acme.operations.list.idempotent)
    assert.is_true(acme.operations.list.cacheable)
    assert.equal("function", type(acme.classify))
    assert.equal("id", acme.webhooks[""].event_id)
  end)

  it("tells the type from the base_url where none is given", function()
    assert.equal("smtp",
      check('return { config = { base_url = "smtp://h:25" }, operations = { a = { run = print } } }').type)
    assert.equal("webhook", check('return { webhooks = { signature = "none" } }').type)
    assert.equal("api", check("return { operations = { a = { run = print } } }").type)
  end)

  it("takes several named webhooks", function()
    local acme, errors = check([[return { webhooks = {
      ses = { signature = { scheme = "sns", topics = "arn:aws:sns:us-east-1:1:ses" } },
      sendgrid = { signature = { scheme = "sendgrid", secret = "k" } } } }]])
    assert.is_nil(errors)
    assert.equal("sns", acme.webhooks.ses.signature.scheme)
    assert.is_true(acme.secrets.k)
  end)

  local FAULTS = {
    { "sumary = 'x',", "sumary: unknown key (did you mean summary?)" },
    { "summary = 5,", "summary: must be text, not a number" },
    { "hosts = 'a.example',", "hosts: must be a list of texts, not text" },
    { "hosts = { 'https://a.example/x' },", "without scheme or path" },
    { "hosts = { '*' },", "is not the name of a host" },
    { "hosts = { 'a b' },", "is not the name of a host" },
    { "name = 'other',", "name: is other, but the file's name is acme" },
    { "type = 'rest',", 'type: must be "api", "smtp" or "webhook"' },
    { "secrets = { 'App-Key' },", "the name of a secret is" },
    { "health = true,", "health: must be a function, not a boolean" },
    { "config = { timeout_second = 5 },",
      "config.timeout_second: unknown key (did you mean timeout_seconds?)" },
    { "config = { max_retries = 'x' },", "config.max_retries: expected a whole number" },
    { "config = { provider = 'x' },", "belongs into config.lua" },
    { "config = { base_url = 'https://u:p@h' },", "declare a secret" },
    { "auth = 'bearer',", "auth: must be a table or a function, not text" },
    { "auth = { scheme = 'barer', secret = 'k' },", "unknown scheme barer (did you mean bearer?)" },
    { "auth = { scheme = 'bearer' },", "scheme bearer needs the field secret" },
    { "auth = { scheme = 'bearer', secret = 5 },", "auth.secret: must be the name of a secret" },
    { "auth = { scheme = 'bearer', secret = 'k', header = 'x' },",
      "auth.header: unknown key for scheme bearer" },
    { "auth = { scheme = 'basic', username = 'u' },", "needs the field password" },
    { "auth = { scheme = 'api_key', secret = 'k' },", "needs header or query, and only one" },
    { "auth = { scheme = 'api_key', secret = 'k', header = 'X-Key', query = 'k' },",
      "and only one" },
    { "auth = { scheme = 'api_key', secret = 'k', header = 'X\\r\\nY' },", "on one line" },
    { "auth = { scheme = 'token' },", "needs the field fetch" },
    { "auth = { scheme = 'token', fetch = 'x' },", "auth.fetch: must be a function" },
    { "auth = { scheme = 'oauth2' },", "scheme oauth2 needs the field grant" },
    { "auth = { scheme = 'oauth2', grant = 'password' },",
      "auth.grant: must be client_credentials, refresh_token or jwt_bearer" },
    { "auth = { scheme = 'oauth2', grant = 'refresh_token', token_url = '/t', client_id = 'i' },",
      "needs the field refresh_token" },
    { "auth = { scheme = 'oauth2', token_url = 'ftp://x.example' },", "auth.token_url: must be an http address" },
    { "auth = { scheme = 'sigv4', access_key = 'a', secret_key = 'b', service = 's' },", "needs the field region" },
    { "auth = { scheme = 'sigv4', region = 5 },", "auth.region: must be text, not a number" },
    { "tls = { cert = 'x' },", "tls.cert: unknown key" },
    { "tls = { ca = 5 },", "tls.ca: must be the name of a secret" },
    { "tls = { ca = '/etc/ca.pem' },", "tls.ca: the name of a secret is" },
    { "tls = { key = 'k' },", "tls.key: is of no use without a certificate" },
    { "webhooks = { on = {} },", "has no signature" },
    { "webhooks = { signature = 'hmac-sha257' },",
      "unknown scheme hmac-sha257 (did you mean hmac-sha256?)" },
    { "webhooks = { signature = 'none', on = { x = true } },", "must be a function, or false" },
    { "webhooks = { signature = 'none', evnt_type = 'x' },",
      "unknown key (did you mean event_type?)" },
    { "webhooks = { Ses = {} },", "neither a key of a webhook nor a name" },
  }

  for _, case in ipairs(FAULTS) do
    it("property 34: refuses " .. case[1]:sub(1, -2), function()
      local errors = faults_of(case[1])
      assert.is_true(#errors >= 1)
      local all = table.concat(errors, "\n")
      assert.truthy(all:find(case[2], 1, true), all)
      for _, fault in ipairs(errors) do
        assert.truthy(fault:find("^providers/acme.lua:3: "), fault)
      end
    end)
  end

  local OPERATION_FAULTS = {
    { "inptu = {},", "operations.a.inptu: unknown key (did you mean input?)" },
    { "input = { patern = 'x' },", "operations.a.input#/patern: unsupported keyword patern" },
    { "output = { type = 'strin' },", "operations.a.output#/type: unknown type strin" },
    { "input = 5,", "operations.a.input: must be a table or a boolean, not a number" },
    { "cache = 60,", "operations.a.cache: must be a boolean or a table, not a number" },
    { "cache = { ttl = 60 },", "operations.a.cache.ttl: unknown key" },
    { "cache = { ttl_seconds = -1 },", "at least 0" },
    { "mock = {},", "operations.a.mock: must be a function, not a table" },
    { "idempotent = 'yes',", "operations.a.idempotent: must be a boolean, not text" },
  }

  for _, case in ipairs(OPERATION_FAULTS) do
    it("property 34: refuses an operation with " .. case[1]:sub(1, -2), function()
      local errors = operation_faults(case[1])
      assert.equal(1, #errors, table.concat(errors, "\n"))
      assert.truthy(errors[1]:find(case[2], 1, true), errors[1])
      assert.truthy(errors[1]:find("^providers/acme.lua:4: "), errors[1])
    end)
  end

  it("refuses operations whose names the API needs, and names that are none", function()
    for _, name in ipairs({ "config", "secrets", "breaker", "cache", "health", "explain", "batch",
      "Track", "2nd", "a-b", ("a"):rep(51) }) do
      local _, errors = check(("return { operations = { [%q] = { run = print } } }"):format(name))
      assert.equal(1, #errors, name)
    end
    assert.is_nil(select(2,
      check(("return { operations = { [%q] = { run = print } } }"):format(("a"):rep(50)))))
  end)

  it("refuses an operation without run and one that is no table", function()
    local _, errors = check("return {\n operations = {\n a = {}, b = 5 } }")
    assert.equal(2, #errors)
    assert.truthy(errors[1]:find("operations.a: has no function `run`", 1, true))
  end)

  it("refuses a provider that is no table, or has nothing to do", function()
    for _, source in ipairs({ "return 5", "return 'x'", "return function() end" }) do
      local _, errors = provider.check(sandbox.load(source, "p.lua"), "acme", "p.lua", source)
      assert.truthy(errors[1]:find("p.lua: must return a table", 1, true))
    end
    local _, errors = provider.check(nil, "acme", "p.lua", "")
    assert.truthy(errors[1]:find("got nothing", 1, true))
    _, errors = check("return { summary = 'x' }")
    assert.truthy(errors[1]:find("neither operations nor webhooks", 1, true))
    _, errors = check(ACME, "Not-A-Name")
    assert.is_true(#errors >= 1)
  end)

  it("takes every scheme with what it needs, and declares the secrets that it names", function()
    local source = "return { auth = %s, operations = { a = { run = print } } }"
    for _, case in ipairs({
      { '{ scheme = "bearer", secret = "a" }', "a" },
      { '{ scheme = "basic", username = "a", password = "b" }', "a,b" },
      { '{ scheme = "api_key", secret = "a", header = "X-Key" }', "a" },
      { '{ scheme = "token", fetch = print }', "" },
      { '{ scheme = "oauth2", grant = "client_credentials", token_url = "https://x.example/t", client_id = "a", '
        .. 'client_secret = "b", client_auth = "basic", scope = "read" }', "a,b" },
      { '{ scheme = "oauth2", grant = "refresh_token", token_url = "/t", client_id = "a", refresh_token = "b" }',
        "a,b" },
      { '{ scheme = "oauth2", grant = "jwt_bearer", token_url = "/t", client_id = "a", client_secret = "b", '
        .. 'subject = "", audience = "x", key_id = "k" }', "a,b" },
      { '{ scheme = "sigv4", access_key = "a", secret_key = "b", session_token = "c", region = "r", service = "s" }',
        "a,b,c" },
      { "function(ctx, request) end", "" },
    }) do
      local checked, errors = check(source:format(case[1]))
      assert.is_truthy(checked, errors and errors[1])
      local names = {}
      for name in pairs(checked.secrets) do
        names[#names + 1] = name
      end
      table.sort(names)
      assert.equal(case[2], table.concat(names, ","))
    end
    assert.equal(0, #faults_of("tls = { certificate = 'c', key = 'k', ca = 'a' },"))
  end)

  it("reports all faults at once, at most 100", function()
    assert.equal(3, #faults_of("a = 1, b = 2, c = 3,"))
    local many = {}
    for i = 1, 300 do
      many[i] = ("bad_%d = 1,"):format(i)
    end
    assert.equal(100, #faults_of(table.concat(many, " ")))
  end)

  it("property 34: every fault of any mangled provider names the file, and nothing raises",
    function()
    math.randomseed(seed)
    for _ = 1, 150 do
      local source = ACME
      for _ = 1, math.random(3) do
        local from = math.random(#source)
        source = source:sub(1, from) .. source:sub(from + math.random(6))
      end
      local definition, err = sandbox.load(source, "providers/acme.lua")
      local faults = err and { err }
      if not faults then
        local _, found = provider.check(definition, "acme", "providers/acme.lua", source)
        faults = found or {}
      end
      for _, fault in ipairs(faults) do
        assert.truthy(fault:find("^providers/acme.lua"), ("seed %d: %s"):format(seed, fault))
      end
    end
  end)

  it("never runs metamethods of the table that it checks", function()
    local ran = false
    local function run() ran = true end
    local definition = setmetatable({ operations = { a = { run = print } } }, { __pairs = run })
    provider.check(definition, "acme", "p.lua", "")
    assert.is_false(ran)
  end)


  it("asks tables for inherited members once, and never when they are in use", function()
    local is_checked = false
    local base = { mock = print, event_type = "type" }
    local function inherit(_, key)
      assert(not is_checked, "asked for " .. key)
      return base[key]
    end
    local function new(members) return setmetatable(members, { __index = inherit }) end
    local made = assert(provider.check({
      auth = new { scheme = "basic", username = "user", password = "word" },
      tls = new { certificate = "own", key = "key" },
      operations = { a = new { run = print } },
      webhooks = { one = new { signature = "none", on = {} } },
    }, "acme", "p.lua", ""))
    is_checked = true
    local operation, webhook = made.operations.a.definition, made.webhooks.one
    assert.equal(print, operation.mock)
    assert.is_nil(operation.fallback)
    assert.equal("type", webhook.event_type)
    assert.is_nil(webhook.ordering_key)
    assert.same({ scheme = "basic", username = "user", password = "word" }, made.auth)
    assert.is_nil(made.auth.token_url)
    assert.same({ certificate = "own", key = "key" }, made.tls)
  end)


  describe("with webhooks", function()
    local function faults_in(fields)
      local source = "return { webhooks = { signature = \"none\", on = {}, " .. fields .. " } }"
      local _, faults = provider.check(assert(load(source))(), "acme", "providers/acme.lua", source)
      return table.concat(faults or {}, "\n")
    end


    it("names what cannot say where a type or an id is", function()
      for _, fields in ipairs { 'event_type = {}', 'event_id = { header = 5 }',
        'ordering_key = { header = "X", y = 1 }' } do
        assert.truthy(faults_in(fields):find("as a table is { header", 1, true), fields)
      end
      assert.equal("", faults_in 'event_type = { header = "X-Type" }, event_id = "id", ordering_key = print')
    end)


    it("names a handler whose type is longer than what is kept of one", function()
      assert.truthy(faults_in(('on = { ["%s"] = print }'):format(("t"):rep(101))):find("is never called", 1, true))
      assert.equal("", faults_in(('on = { ["%s"] = print }'):format(("t"):rep(100))))
    end)


    it("names an answer of its own that would make senders send again", function()
      assert.truthy(faults_in("respond = { status = 500 }"):find("from 200 to 299", 1, true))
      assert.truthy(faults_in("respond = { state = 200 }"):find("respond.state: unknown key", 1, true))
      assert.truthy(faults_in('respond = { headers = { ["X-A"] = "a\\nb" } }'):find("on one line", 1, true))
      assert.equal("", faults_in('respond = { status = 204, headers = { ["X-A"] = "a" }, body = "" }'))
    end)
  end)
end)
