local crypto = require "tide.crypto"
local json = require "tide.json"
local keys = require "spec.support.key_pairs"
local signatures = require "tide.webhook.signatures"
local vectors = require "spec.support.webhook_vectors"

local NOW = 1767225600


local function bind(signature)
  assert.same({}, (signatures.check(signature)))
  return signatures.bind(signature, "acme")
end


local function lower(headers)
  local result = {}
  for name, value in pairs(headers or {}) do
    result[name:lower()] = value
  end
  return result
end


-- The request with what `sign` gives for it.
local function signed(scheme, request, secret, now)
  local headers, body, url = scheme.sign(request, secret, now or NOW)
  for name, value in pairs(lower(headers)) do
    request.headers[name] = value
  end
  request.body = body or request.body
  request.url = url or request.url
  request.query = request.url:match("%?(.*)$")
  return request
end


local function request_of(body, headers)
  return {
    method = "POST", url = "https://tidegate.example/api/v1/webhooks/acme", path = "/api/v1/webhooks/acme",
    headers = headers or {}, body = body, tolerance_seconds = 300,
  }
end


local function active(fields)
  local secrets = {}
  for field, value in pairs(fields) do
    secrets[field] = { { value = value, id = field } }
  end
  return secrets
end


-- A definition, what signs, and what verifies where that is another key.
local PAIRS = {
  hmac = { { scheme = "hmac", header = "X-Sig", algorithm = "sha512", encoding = "base64", prefix = "v1=",
    content = "{method} {path} {url} {id} {timestamp} {body}", timestamp_header = "X-T", id_header = "X-Id" },
    { secret = "k" } },
  ["hmac with sha384"] = { { scheme = "hmac", header = "X-Sig", algorithm = "sha384" }, { secret = "k" } },
  ["hmac with a base64 key"] = { { scheme = "hmac-sha1", header = "X-Sig", secret_encoding = "base64" },
    { secret = "AAECAwQF" } },
  ["hmac with a key without padding"] = { { scheme = "hmac-sha256", header = "X-Sig", secret_encoding = "base64" },
    { secret = "-_8" }, { secret = "+/8=" } },
  token = { { scheme = "token", header = "X-Token", secret = "shared" }, { secret = "k" } },
  basic = { { scheme = "basic", username = "user", password = "word" }, { username = "u", password = "p:w" } },
  ["standard-webhooks"] = { "standard-webhooks", { secret = "whsec_" .. crypto.base64(("k"):rep(32)) } },
  ["standard-webhooks without padding"] = { "standard-webhooks", { secret = "whsec_" .. crypto.base64(("k"):rep(32)) },
    { secret = "whsec_" .. crypto.base64url(("k"):rep(32)) } },
  ["standard-webhooks with Ed25519"] = { "standard-webhooks", { secret = vectors.WHSK },
    { secret = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=" } },
  stripe = { "stripe", { secret = "whsec_x" } },
  github = { "github", { secret = "k" } },
  slack = { "slack", { secret = "k" } },
  shopify = { "shopify", { secret = "k" } },
  twilio = { "twilio", { secret = "k" } },
  sendgrid = { "sendgrid", { secret = keys.ec_private }, { secret = keys.ec_public } },
  mailgun = { "mailgun", { secret = "k" } },
  toss = { "toss", { secret = "k" } },
  line = { "line", { secret = "k" } },
  ed25519 = { "ed25519", { secret = keys.ed25519_private }, { secret = keys.ed25519_public } },
  ["ed25519 in base64"] = { { scheme = "ed25519", header = "X-S", timestamp_header = "X-T", encoding = "base64" },
    { secret = keys.ed25519_private }, { secret = keys.ed25519_public } },
  none = { "none", {} },
}


local function sorted(map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end


describe("a webhook scheme", function()
  for _, name in ipairs(sorted(PAIRS)) do
    local definition, private, public = table.unpack(PAIRS[name])


    it("verifies what it has signed: " .. name, function()
      local scheme = bind(definition)
      for _, body in ipairs({ '{"a":1}', "{}" }) do
        local id, reason = scheme.verify(signed(scheme, request_of(body), private), active(public or private), NOW)
        assert.equal("string", type(id), reason)
      end
    end)


    it("takes an empty body: " .. name, function()
      if name ~= "mailgun" then
        local scheme = bind(definition)
        local request = signed(scheme, request_of(""), private)
        assert.equal("string", type((scheme.verify(request, active(public or private), NOW))))
        if name ~= "none" and name ~= "token" and name ~= "basic" then
          request.body = " "
          assert.is_nil((scheme.verify(request, active(public or private), NOW)))
        end
      end
    end)
  end


  it("knows the columns that it fills: a header that is a credential is none", function()
    for _, name in ipairs({ "token", "basic", "none", "mailgun" }) do
      assert.is_nil(bind(PAIRS[name][1]).signature_header)
    end
    assert.equal("x-hub-signature-256", bind("github").signature_header)
    assert.equal("x-sig", bind(PAIRS.hmac[1]).signature_header)
  end)


  it("basic: takes user name and password together, whatever the case of the scheme", function()
    local scheme = bind(PAIRS.basic[1])
    assert.same({ username = "user", password = "word" }, scheme.secret_names)
    local secrets = {
      username = { { value = "new", id = "user" }, { value = "u", id = "user:previous" } },
      password = { { value = "new", id = "word" }, { value = "p:w", id = "word:previous" } },
    }
    local function verify(value)
      return scheme.verify(request_of("", { authorization = value }), secrets, NOW)
    end
    assert.equal("word:previous", (verify("bAsIc " .. crypto.base64("u:p:w"))))
    assert.equal("word", (verify("Basic " .. crypto.base64("new:new"))))
    for _, value in ipairs({ "", "Basic", "Basic ", "Basic " .. crypto.base64("u"), "Basic " .. crypto.base64(":"),
      "Basic " .. crypto.base64("u:"), "Basic " .. crypto.base64("u:p:w "), "Bearer " .. crypto.base64("u:p:w"),
      "Basic " .. crypto.base64("u:p:w") .. "=", "Basic *" }) do
      local id, reason = verify(value)
      assert.is_nil(id)
      assert.equal("string", type(reason))
    end
    assert.is_nil((scheme.verify(request_of(""), secrets, NOW)))
  end)


  it("standard-webhooks: refuses an id with a dot, which could be cut in another place", function()
    local scheme = bind("standard-webhooks")
    local secret = PAIRS["standard-webhooks"][2]
    local request = signed(scheme, request_of("x", { ["webhook-id"] = "a.1" }), secret)
    local id, reason = scheme.verify(request, active(secret), NOW)
    assert.is_nil(id)
    assert.truthy(reason:find("without a dot", 1, true))
  end)


  it("standard-webhooks: tries each version under the secrets that are of its kind", function()
    local scheme = bind("standard-webhooks")
    local vector = vectors.list[8]
    assert.equal("standard-webhooks", vector.name)
    local text = vector.headers["webhook-signature"]
    local junk = "v1a," .. crypto.base64(("x"):rep(64))
    for _, value in ipairs({ junk .. " " .. text, text .. " " .. junk, "v2,AAAA " .. text, "v1,AAAA " .. text,
      text .. "," .. text, text .. ", " .. text }) do
      local request = vectors.request(vector, { headers = { ["webhook-signature"] = value } })
      assert.equal("webhook_secret", (scheme.verify(request, vectors.secrets(vector.secret), vector.now)), value)
    end
    -- The public key is public: nobody signs with it.
    local public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
    local request = vectors.request(vector)
    local content = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." .. vector.body
    local code = crypto.hmac("sha256", crypto.from_base64(public:sub(6)), content)
    request.headers["webhook-signature"] = "v1," .. crypto.base64(code)
    assert.is_nil((scheme.verify(request, vectors.secrets(public), vector.now)))
  end)


  it("stripe: refuses two time-stamps, and a signature of version 0", function()
    local scheme = bind("stripe")
    local content = "1767225600.x"
    local code = crypto.hex(crypto.hmac("sha256", "k", content))
    local function verify(value)
      return scheme.verify(request_of("x", { ["stripe-signature"] = value }), active({ secret = "k" }), NOW)
    end
    assert.equal("secret", (verify("t=1767225600,v1=" .. code)))
    assert.equal("secret", (verify("v0=aa, v1=" .. code .. ", t=1767225600")))
    assert.is_nil((verify("t=1767225600,t=1767225600,v1=" .. code)))
    assert.is_nil((verify("t=1767225600,v0=" .. code)))
    assert.is_nil((verify("t=1767225600.0,v1=" .. code)))
  end)


  it("takes time-stamps in seconds, milliseconds and RFC 3339 where the provider says what is signed", function()
    local scheme = bind({ scheme = "hmac", header = "X-Sig", content = "{timestamp}.{body}",
      timestamp_header = "X-Time" })
    local function verify(stamp)
      local code = crypto.hex(crypto.hmac("sha256", "k", stamp .. ".x"))
      return scheme.verify(request_of("x", { ["x-sig"] = code, ["x-time"] = stamp }), active({ secret = "k" }), NOW)
    end
    for _, stamp in ipairs({ "1767225600", "1767225600123", "2026-01-01T00:00:00Z", "2026-01-01T09:04:00.5+09:00" }) do
      assert.equal("secret", (verify(stamp)), stamp)
    end
    for _, stamp in ipairs({
      "1767225", "1767225600123456", "2026-01-01", "2026-01-01T00:00:00", "now", "1.7672256e9",
    }) do
      assert.is_nil((verify(stamp)), stamp)
    end
  end)


  it("does not take digits of the body for milliseconds of a time-stamp", function()
    for _, definition in ipairs({
      { scheme = "hmac", header = "X-Sig", content = "{timestamp}{body}", timestamp_header = "X-Time" },
      { scheme = "ed25519", header = "X-Sig", timestamp_header = "X-Time" },
    }) do
      local scheme = bind(definition)
      local is_hmac = definition.scheme == "hmac"
      local request = signed(scheme, request_of("123,4"), { secret = is_hmac and "k" or keys.ed25519_private })
      local secrets = active({ secret = is_hmac and "k" or keys.ed25519_public })
      assert.equal("secret", (scheme.verify(request, secrets, NOW)))
      request.headers["x-time"], request.body = request.headers["x-time"] .. "123", ",4"
      assert.is_nil((scheme.verify(request, secrets, NOW)))
    end
  end)


  it("refuses an id that could end elsewhere", function()
    local scheme = bind({ scheme = "hmac", header = "X-Sig", content = "{body}:{id}", id_header = "X-Id" })
    local request = signed(scheme, request_of("a=1:2", { ["x-id"] = "3" }), { secret = "k" })
    assert.equal("secret", (scheme.verify(request, active({ secret = "k" }), NOW)))
    request.body, request.headers["x-id"] = "a=1", "2:3"
    assert.is_nil((scheme.verify(request, active({ secret = "k" }), NOW)))
    request.body, request.headers["x-id"] = "a=1:2:3", ""
    assert.is_nil((scheme.verify(request, active({ secret = "k" }), NOW)))
  end)


  it("twilio: tries the address with and without its port", function()
    local scheme = bind("twilio")
    local function verify(signed_url, url)
      local request = signed(scheme, request_of(""), { secret = "k" })
      local code = crypto.base64(crypto.hmac("sha1", "k", signed_url))
      request.headers["x-twilio-signature"], request.url = code, url
      return (scheme.verify(request, active({ secret = "k" }), NOW))
    end
    assert.equal("secret", verify("https://a.example/x?b=1", "https://a.example/x?b=1"))
    assert.equal("secret", verify("https://a.example:443/x", "https://a.example/x"))
    assert.equal("secret", verify("https://a.example/x", "https://a.example:8443/x"))
    assert.equal("secret", verify("http://a.example:80", "http://a.example"))
    assert.equal("secret", verify("https://[::1]:443/", "https://[::1]/"))
    assert.is_nil(verify("https://a.example:80/x", "https://a.example/x"))
    assert.is_nil(verify("https://a.example/x", "https://a.example/y"))
    assert.is_nil(verify("https://a.example/x", "not an address"))
  end)


  it("twilio: refuses a body that the signature does not cover", function()
    local scheme = bind("twilio")
    local request = signed(scheme, request_of(""), { secret = "k" })
    assert.equal("secret", (scheme.verify(request, active({ secret = "k" }), NOW)))
    request.body = "MessageSid=SM1"
    for _, content_type in ipairs({ "text/plain", "application/json", "application/x-www-form-urlencoded" }) do
      request.headers["content-type"] = content_type
      assert.is_nil((scheme.verify(request, active({ secret = "k" }), NOW)))
    end
    request.headers["content-type"] = "application/x-www-form-urlencoded"
    request.body = ("a"):rep(1024 * 1024 + 1)
    local id, reason = scheme.verify(request, active({ secret = "k" }), NOW)
    assert.is_nil(id)
    assert.truthy(reason:find("1 MiB", 1, true))
    request.body = "a=%zz"
    assert.is_nil((scheme.verify(request, active({ secret = "k" }), NOW)))
  end)


  it("mailgun: knows an event by its token, which is signed, and by nothing else", function()
    local scheme = bind("mailgun")
    local payload = json.decode(signed(scheme, request_of('{"event-data":{"event":"opened"}}'), { secret = "k" }).body)
    assert.equal("opened", scheme.event_type(payload, {}))
    assert.equal(payload.signature.token, scheme.event_id(payload, {}))
    payload["signature.token"] = "another"
    assert.equal(payload.signature.token, scheme.event_id(payload, {}))
    for _, body in ipairs({ "", "[]", "1", "{}", '{"signature":1}', '{"signature":{}}', '{"signature":{"timestamp":1}}',
      '{"signature":{"timestamp":"1","token":"","signature":""}}',
      '{"signature":{"timestamp":1.5,"token":"a","signature":"b"}}',
      '{"signature":{"timestamp":"1767225600","token":"","signature":"' .. ("0"):rep(64) .. '"}}' }) do
      local id, reason = scheme.verify(request_of(body), active({ secret = "k" }), NOW)
      assert.is_nil(id)
      assert.equal("string", type(reason))
    end
  end)


  it("slack: answers the challenge of a new address, posted", function()
    local scheme = bind("slack")
    local request = request_of('{"type":"url_verification","challenge":"3eZbrw1a"}')
    assert.equal("3eZbrw1a", scheme.handshake(request, {}).body)
    assert.equal(200, scheme.handshake(request, {}).status)
    request.method = "GET"
    assert.is_nil(scheme.handshake(request, {}))
    for _, body in ipairs({ "", "url_verification", '{"type":"url_verification"}', '{"type":"event_callback"}',
      '{"type":"url_verification","challenge":1}', '["url_verification"]',
      '{"type":"url_verification","challenge":"' .. ("x"):rep(5000) .. '"}' }) do
      assert.is_nil(scheme.handshake(request_of(body), {}))
    end
  end)


  -- Scheme, payload, headers, and what its events are.
  local EVENTS = {
    { "slack", { type = "event_callback", event = { type = "message" } }, {}, "message" },
    { "slack", { type = "app_rate_limited" }, {}, "app_rate_limited" },
    { "twilio", { MessageSid = "SM1", MessageStatus = "sent" }, {}, "sent", "SM1:sent" },
    { "twilio", { SmsSid = "SM1", SmsStatus = "received" }, {}, "received", "SM1:received" },
    { "twilio", { CallSid = "CA1" }, {}, nil, "CA1" },
    { "twilio", {}, {} },
    { "standard-webhooks", {}, { ["webhook-id"] = "a" }, nil, "a" },
    { "standard-webhooks", {}, { ["svix-id"] = "b" }, nil, "b" },
    { "standard-webhooks", {}, { ["svix-id"] = "b", ["webhook-id"] = "a" }, nil, "a" },
    { "mailgun", {}, {} },
    { "mailgun", nil, {} },
    { "slack", nil, {} },
    { "twilio", nil, {} },
  }


  it("reads types and ids of events", function()
    for _, case in ipairs(EVENTS) do
      local scheme = bind(case[1])
      if type(scheme.event_type) == "function" then
        assert.equal(case[4], scheme.event_type(case[2], case[3]))
      end
      if type(scheme.event_id) == "function" then
        assert.equal(case[5], scheme.event_id(case[2], case[3]))
      end
    end
    assert.same({ header = "X-GitHub-Event" }, bind("github").event_type)
    assert.same({ header = "X-Shopify-Webhook-Id" }, bind("shopify").event_id)
    assert.equal("eventType", bind("toss").event_type)
  end)


  it("takes the events out of lists", function()
    assert.same({ { type = "open", id = "1", payload = { event = "open", sg_event_id = "1" } } },
      bind("sendgrid").events({ { event = "open", sg_event_id = "1" } }, {}))
    local list = bind("line").events({ destination = "U", events = { { type = "message", webhookEventId = "w" } } }, {})
    assert.same({ { type = "message", id = "w", payload = { type = "message", webhookEventId = "w" } } }, list)
    assert.same({}, bind("line").events({ events = {} }, {}))
    for _, payload in ipairs({ 1, "x", true, { events = 1 }, { events = { 1 } } }) do
      assert.has_error(function() bind("line").events(payload, {}) end)
    end
    assert.has_error(function() bind("sendgrid").events(nil, {}) end)
    assert.has_error(function() bind("sendgrid").events({ 1 }, {}) end)
  end)


  it("of a provider's own gets the request and the values of its secrets, and says yes with true alone", function()
    local seen
    local answer, words = true, nil
    local function own(request, secrets, now)
      seen = { request = request, secrets = secrets, now = now }
      request.body, request.headers["x-a"] = "changed", nil
      return answer, words
    end
    local scheme = bind({ scheme = own, secret = "main", secrets = { "other" } })
    assert.is_true(scheme.is_script)
    assert.same({ main = "main", other = "other" }, scheme.secret_names)
    local request = request_of("x", { ["x-a"] = "1" })
    local secrets = { main = { { value = "n", id = "main" }, { value = "o", id = "main:previous" } }, other = {} }
    assert.equal("function", (scheme.verify(request, secrets, NOW)))
    assert.same({ main = { "n", "o" }, other = {} }, seen.secrets)
    assert.equal(NOW, seen.now)
    assert.equal("x", request.body)
    assert.equal("1", request.headers["x-a"])
    for _, value in ipairs({ 1, "yes", {} }) do
      answer = value
      assert.is_nil((scheme.verify(request, secrets, NOW)))
    end
    answer, words = false, ("because\n"):rep(1000)
    local id, reason = scheme.verify(request, secrets, NOW)
    assert.is_nil(id)
    assert.is_true(#reason <= 200)
    assert.same({}, bind(own).secret_names)
  end)


  it("of a provider's own finds headers without regard to case, and cannot reach what requests share", function()
    local scheme = bind(function(request)
      return request.headers["X-A"] == "1" and getmetatable(request.headers) == "headers"
    end)
    assert.equal("function", (scheme.verify(request_of("", { ["x-a"] = "1" }), {}, NOW)))
  end)
end)


describe("the check of a signature", function()
  local FAULTS = {
    { "hmac-sha257", nil, "unknown scheme hmac-sha257 (did you mean hmac-sha256?)" },
    { { scheme = "githab" }, "scheme", "did you mean github?" },
    { {}, "scheme", "names no scheme" },
    { { scheme = 5 }, "scheme", "unknown scheme 5" },
    { { scheme = {} }, "scheme", "unknown scheme (table)" },
    { "hmac", nil, "scheme hmac needs the field header" },
    { "token", nil, "scheme token needs the field header" },
    { "basic", nil, "needs the field username" },
    { "sns", nil, "needs the field topics" },
    { { scheme = "github", header = "X" }, "header", "unknown key for scheme github" },
    { { scheme = "hmac-sha1", header = "X", algorithm = "sha256" }, "algorithm", "unknown key" },
    { { scheme = "hmac", header = "X", algoritm = "sha256" }, "algoritm", "did you mean algorithm?" },
    { { scheme = "hmac", header = "X", algorithm = "md5" }, "algorithm", "must be sha256, sha1, sha384 or sha512" },
    { { scheme = "hmac", header = "X Y" }, "header", "must be the name of a header" },
    { { scheme = "hmac", header = 5 }, "header", "must be the name of a header" },
    { { scheme = "hmac", header = "X", encoding = "base32" }, "encoding", "must be hex or base64" },
    { { scheme = "hmac", header = "X", prefix = 5 }, "prefix", "must be text, not a number" },
    { { scheme = "hmac", header = "X", prefix = "a\r\nb" }, "prefix", "on one line" },
    { { scheme = "hmac", header = "X", content = "{timestamp}" }, "content", "must have {body}" },
    { { scheme = "hmac", header = "X", content = "{time}{body}" }, "content", "no placeholder {time}" },
    { { scheme = "hmac", header = "X", content = "{timestamp}{body}" }, "content", "needs the field timestamp_header" },
    { { scheme = "hmac", header = "X", content = "{id}{body}" }, "content", "needs the field id_header" },
    { { scheme = "hmac", header = "X", timestamp_header = "T" }, "timestamp_header", "is not signed" },
    { { scheme = "hmac", header = "X", id_header = "I" }, "id_header", "is not signed" },
    { { scheme = "ed25519", content = "{body}", timestamp_header = "T" }, "timestamp_header", "is not signed" },
    { { scheme = "github", secret = 5 }, "secret", "must be the name of a secret" },
    { { scheme = "sns", topics = {} }, "topics", "must be a text, or a list" },
    { { scheme = "sns", topics = { a = "b" } }, "topics", "must be a text, or a list" },
    { { scheme = "sns", topics = { 1 } }, "topics", "must be a text, or a list" },
    { { scheme = "sns", topics = "" }, "topics", "must be a text, or a list" },
    { { scheme = print, secrets = "a" }, "secrets", "must be a list of names" },
    { { scheme = print, prefix = "a" }, "prefix", "unknown key for a function" },
    { 5, nil, "unknown scheme 5" },
  }


  it("names what is wrong, and where", function()
    for _, case in ipairs(FAULTS) do
      local faults = signatures.check(case[1])
      assert.equal(case[2], faults[1].field, case[3])
      assert.truthy(faults[1].words:find(case[3], 1, true), faults[1].words)
    end
  end)


  it("tells the secrets that are read", function()
    local cases = {
      { "github", { secret = "webhook_secret" } },
      { { scheme = "stripe", secret = "signing" }, { secret = "signing" } },
      { "none", {} }, { { scheme = "sns", topics = { "a", "b" } }, {} }, { print, {} },
      { { scheme = "basic", username = "u", password = "p" }, { username = "u", password = "p" } },
      { { scheme = print, secret = "a", secrets = { "b" } }, { a = "a", b = "b" } },
    }
    for _, case in ipairs(cases) do
      local faults, secrets = signatures.check(case[1])
      assert.same({}, faults)
      assert.same(case[2], secrets)
      assert.same(case[2], signatures.bind(case[1], "acme").secret_names)
    end
  end)


  it("covers every scheme: each signs, verifies and can be bound", function()
    for name, module in pairs(signatures.schemes) do
      local definition = { scheme = name, header = "X-A", username = "u", password = "p", topics = "t" }
      for field in pairs(definition) do
        definition[field] = (field == "scheme" or module.fields[field]) and definition[field] or nil
      end
      local scheme = bind(definition)
      assert.equal(name, scheme.name)
      assert.equal("function", type(scheme.sign))
      assert.equal("function", type(scheme.verify))
    end
    assert.has_error(function() signatures.bind("nothing", "acme") end)
  end)
end)
