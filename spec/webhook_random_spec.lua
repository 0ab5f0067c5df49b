local crypto = require "tide.crypto"
local json = require "tide.json"
local keys = require "spec.support.key_pairs"
local signatures = require "tide.webhook.signatures"
local sns = require "tide.webhook.scheme.sns"
local vectors = require "spec.support.webhook_vectors"

local NOW = 1767225600
local ROUNDS = 40
local GARBAGE_ROUNDS = 2000

-- What fails can be repeated with its seed.
local SEED = tonumber(os.getenv("TIDEGATE_SPEC_SEED")) or math.random(1, 2 ^ 31)


local function seeded()
  math.randomseed(SEED)
  return "seed " .. SEED
end


-- Bytes of the seed.
local function bytes(count)
  local list = {}
  for index = 1, count do
    list[index] = string.char(math.random(0, 255))
  end
  return table.concat(list)
end


local function text_secret()
  return { secret = bytes(math.random(1, 200)) }
end


local function same(private, public)
  return function() return { secret = private }, { secret = public } end
end


-- Scheme, keys, and a body where it cannot be any bytes.
local SCHEMES = {
  { { scheme = "hmac", header = "X-Sig" }, text_secret },
  { { scheme = "hmac", header = "X-Sig", algorithm = "sha512", encoding = "base64", content = "{id}:{timestamp}:{body}",
    timestamp_header = "X-T", id_header = "X-I" }, text_secret },
  { { scheme = "hmac-sha1", header = "X-Sig", secret_encoding = "base64" }, function()
    return { secret = crypto.base64(bytes(math.random(1, 64))) }
  end },
  { "standard-webhooks", function() return { secret = "whsec_" .. crypto.base64(bytes(math.random(24, 64))) } end },
  { "standard-webhooks", same(vectors.WHSK, "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=") },
  { "stripe", text_secret }, { "github", text_secret }, { "slack", text_secret }, { "shopify", text_secret },
  { "toss", text_secret }, { "line", text_secret }, { "twilio", text_secret },
  { "sendgrid", same(keys.ec_private, keys.ec_public) },
  { "ed25519", same(keys.ed25519_private, keys.ed25519_public) },
}


local function lower_into(headers, target)
  for name, value in pairs(headers) do
    target[name:lower()] = value
  end
end


local function signed(scheme, body, secret)
  local request = {
    method = "POST", url = "https://tidegate.example/hook", path = "/hook", headers = {}, body = body,
    tolerance_seconds = 300,
  }
  local headers, new_body, url = scheme.sign(request, secret, NOW)
  lower_into(headers, request.headers)
  request.body, request.url = new_body or body, url or request.url
  request.query = request.url:match("%?(.*)$")
  return request
end


local function active(fields)
  return { secret = { { value = fields.secret, id = "k" } } }
end


-- `text` with one byte changed, in what counts.
local function flipped(text)
  local at = math.random(1, #text)
  return text:sub(1, at - 1) .. string.char(text:byte(at) ~ (1 << math.random(0, 7))) .. text:sub(at + 1)
end


-- Another digit of the same alphabet.
local function with_other_digit(text)
  local at = math.random(1, #text)
  local digit = text:sub(at, at)
  return text:sub(1, at - 1) .. (digit:lower() == "b" and "c" or "b") .. text:sub(at + 1)
end


describe("random webhooks", function()
  it("are accepted as they were signed, and refused with one bit changed", function()
    local note = seeded()
    for _, case in ipairs(SCHEMES) do
      local scheme = signatures.bind(case[1], "acme")
      for _ = 1, ROUNDS do
        local private, public = case[2]()
        local secrets = active(public or private)
        local request = signed(scheme, bytes(math.random(1, 600)), private)
        assert.equal("k", (scheme.verify(request, secrets, NOW)), scheme.name .. " " .. note)
        local body = request.body
        request.body = flipped(body)
        assert.is_nil((scheme.verify(request, secrets, NOW)), scheme.name .. " body " .. note)
        request.body = body
        local name = scheme.signature_header
        local value = request.headers[name]
        request.headers[name] = value:gsub("[^=:,]+=*$", with_other_digit)
        if request.headers[name]:lower() ~= value:lower() then
          assert.is_nil((scheme.verify(request, secrets, NOW)), scheme.name .. " header " .. value .. " " .. note)
        end
      end
    end
  end)


  -- Pieces of which headers, bodies and addresses are made, right and wrong.
  local PIECES = {
    "", " ", ",", ";", "=", ":", ".", "?", "&", "%", "%zz", "\0", "\255", "t=", "v1=", "v1,", "v1a,", "v0=", "v1:",
    "sha256=", "Basic ", "KakaoAK ", "1767225600", "1767225600000", "2026-01-01T00:00:00Z", "-1", "1e308",
    ("9"):rep(400), ("0"):rep(64), ("A"):rep(43) .. "=", ("A"):rep(27) .. "=", ("A"):rep(86) .. "==",
    ("f"):rep(128), ("x"):rep(5000), "{", "}", "[", "]", '"', "null", "true", '{"signature":', '{"Type":',
    '{"signature":{"timestamp":1767225600,"token":"a","signature":"b"}}', '{"signature":{"timestamp":{}}}',
    '{"type":"url_verification","challenge":[]}', '{"Type":"SubscriptionConfirmation","SubscribeURL":{}}',
    '{"Type":"Notification","TopicArn":"t","Message":"","MessageId":"","Timestamp":"2026-01-01T00:00:00Z",'
      .. '"SignatureVersion":"2","Signature":"AAAA","SigningCertURL":"https://sns.abc.amazonaws.com/a.pem"}',
    ("["):rep(200), "bodySHA256=", "a=1&a=2", "https://", "https://a:b@c:99999/", "홍길동",
  }
  local HEADERS = {
    "x-sig", "x-t", "x-i", "authorization", "webhook-id", "webhook-timestamp", "webhook-signature", "svix-id",
    "svix-timestamp", "svix-signature", "stripe-signature", "x-hub-signature-256", "x-slack-signature",
    "x-slack-request-timestamp", "x-shopify-hmac-sha256", "x-twilio-signature", "content-type", "x-line-signature",
    "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp", "x-signature-ed25519",
    "x-signature-timestamp", "tosspayments-webhook-signature", "tosspayments-webhook-transmission-time",
  }
  local CONTENT_TYPES = {
    "application/json", "application/x-www-form-urlencoded", "APPLICATION/X-WWW-FORM-URLENCODED; x", ";", "",
  }


  local function garbage()
    local list = {}
    for index = 1, math.random(0, 4) do
      list[index] = math.random() < 0.8 and PIECES[math.random(#PIECES)] or bytes(math.random(0, 40))
    end
    return table.concat(list)
  end


  local function garbage_request()
    local request = {
      method = math.random() < 0.8 and "POST" or "GET", url = garbage(), path = garbage(),
      query = math.random() < 0.5 and garbage() or nil, headers = {}, body = garbage(), tolerance_seconds = 300,
    }
    for _, name in ipairs(HEADERS) do
      if math.random() < 0.7 then
        request.headers[name] = garbage()
      end
    end
    if math.random() < 0.8 then
      request.headers["content-type"] = CONTENT_TYPES[math.random(#CONTENT_TYPES)]
    end
    return request
  end


  local function schemes()
    local list = {}
    for _, case in ipairs(SCHEMES) do
      list[#list + 1] = signatures.bind(case[1], "acme")
    end
    list[#list + 1] = signatures.bind("mailgun", "acme")
    list[#list + 1] = signatures.bind({ scheme = "token", header = "X-Sig" }, "acme")
    list[#list + 1] = signatures.bind({ scheme = "basic", username = "u", password = "p" }, "acme")
    list[#list + 1] = sns.new({ fetch = function() return keys.rsa_certificate end }).bind({ topics = "t" })
    return list
  end


  -- Of every kind, also such as are no keys. None is among the pieces of garbage.
  local SECRETS = { "one key", "", "whpk_", "whsec_", "whsec_*", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    keys.ec_public, keys.rsa_public, keys.ed25519_public, ("01"):rep(32), "\0 key" }


  it("raise nothing and pass nothing, whatever they are", function()
    local note = seeded()
    local all = schemes()
    for _ = 1, GARBAGE_ROUNDS do
      local scheme = all[math.random(#all)]
      local one, other = SECRETS[math.random(#SECRETS)], SECRETS[math.random(#SECRETS)]
      local list = { { value = one, id = "k" }, { value = other, id = "k:previous" } }
      local request = garbage_request()
      local ok, id, reason = pcall(scheme.verify, request, { secret = list, username = list, password = list }, NOW)
      assert.is_true(ok, tostring(id) .. " " .. note)
      assert.is_nil(id, tostring(scheme.name) .. " " .. note .. " " .. (json.encode(request) or ""))
      assert.equal("string", type(reason), note)
    end
  end)


  it("raise nothing in what reads their events", function()
    local note = seeded()
    local all = schemes()
    for _ = 1, GARBAGE_ROUNDS do
      local scheme, request = all[math.random(#all)], garbage_request()
      local payload = json.decode(request.body, { null = "absent" })
      for _, read in ipairs({ scheme.event_type, scheme.event_id }) do
        if type(read) == "function" then
          assert.is_true(pcall(read, payload, request.headers), note)
        end
      end
      if scheme.handshake then
        assert.is_true(pcall(scheme.handshake, request, {}), note)
      end
    end
  end)


  -- As long as a head may be. What is read in the square of its length takes a second or more.
  it("are read in time, however long what is repeated in them is", function()
    for _, piece in ipairs { "x", " ", ",", "=", "/", ":", ".", "1", "v1,", "t=", "[", "a/", " ,", "x=1,", "v1 " } do
      local long = piece:rep(30000 // #piece)
      for _, value in ipairs { long, long .. "x", "v1," .. long, "https://" .. long, "10.0.0.1," .. long } do
        for _, scheme in ipairs(schemes()) do
          local request = { method = "POST", url = value, path = value, query = value, headers = {}, body = "{}",
            tolerance_seconds = 300 }
          for _, name in ipairs(HEADERS) do
            request.headers[name] = value
          end
          request.headers["webhook-id"], request.headers["webhook-timestamp"] = "id", tostring(NOW)
          local list = { { value = "k", id = "k" } }
          local started = os.clock()
          scheme.verify(request, { secret = list, username = list, password = list }, NOW)
          local seconds = os.clock() - started
          assert.is_true(seconds < 0.3, ("%s took %.2f s for %q…"):format(scheme.name, seconds, value:sub(1, 20)))
        end
      end
    end
  end)
end)
