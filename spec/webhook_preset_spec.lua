-- The presets in a provider: what is known of an event without a word from its author.

local keys = require "spec.support.key_pairs"
local t = require "tide.test"

local SOURCE = [[
  local function seen(_, event) return { type = event.type, payload = event.payload } end
  local function of(signature, more)
    local definition = { signature = signature, on = { ["*"] = seen } }
    for name, value in pairs(more or {}) do
      definition[name] = value
    end
    return definition
  end
  return {
    webhooks = {
      github = of("github"), stripe = of("stripe"), slack = of("slack"), shopify = of("shopify"),
      twilio = of("twilio"), mailgun = of("mailgun"), toss = of("toss"), line = of("line"),
      standard = of("standard-webhooks"), sendgrid = of { scheme = "sendgrid", secret = "sendgrid_key" },
      postmark = of({ scheme = "basic", username = "user", password = "word" },
        { event_type = "RecordType", event_id = "MessageID" }),
      kakao = of { scheme = "token", header = "Authorization", prefix = "KakaoAK ", secret = "admin_key" },
      works = of({ scheme = "hmac", header = "X-WORKS-Signature", encoding = "base64" }, { event_type = "type" }),
      discord = of({ scheme = "ed25519", secret = "discord_key" }, { handshake = function(request)
        if request.body == '{"type":1}' then
          return { status = 200, headers = { ["Content-Type"] = "application/json" }, body = '{"type":1}' }
        end
      end }),
      own = of { secret = "own_secret", scheme = function(request, secrets, now)
        return request.headers["X-Own"] == secrets.own_secret[1] and now > 1, "it is not ours"
      end },
      broken = of { scheme = function() error("boom") end },
    },
  }
]]

-- Source, body, options, and the type and id that are known.
local CASES = {
  { "github", { action = "opened" }, { headers = { ["X-GitHub-Delivery"] = "d-1" }, type = "issues" }, "issues",
    "d-1" },
  { "stripe", { type = "charge.succeeded", id = "evt_1" }, {}, "charge.succeeded", "evt_1" },
  { "slack", { type = "event_callback", event = { type = "message" }, event_id = "Ev1" }, {}, "message", "Ev1" },
  { "shopify", { id = 1 }, { headers = { ["X-Shopify-Webhook-Id"] = "w-1" }, type = "orders/create" },
    "orders/create", "w-1" },
  { "twilio", "MessageSid=SM1&MessageStatus=delivered&To=%2B82",
    { content_type = "application/x-www-form-urlencoded" }, "delivered", "SM1:delivered" },
  { "mailgun", { ["event-data"] = { event = "opened" } }, {}, "opened" },
  { "toss", { eventType = "payout.changed" }, { headers = { ["tosspayments-webhook-transmission-id"] = "t-1" } },
    "payout.changed", "t-1" },
  { "standard", { type = "user.created" }, {}, "user.created" },
  { "postmark", { RecordType = "Bounce", MessageID = "m-1" }, {}, "Bounce", "m-1" },
  { "works", { type = "message" }, {}, "message" },
}


describe("a preset of webhooks", function()
  local acme


  before_each(function()
    acme = t.integration("acme", { source = SOURCE, secrets = {
      webhook_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", sendgrid_key = keys.ec_public, user = "postmark",
      word = "pass-word-1", admin_key = "0123456789abcdef", discord_key = keys.ed25519_public,
      own_secret = "own-value-1",
    } })
  end)


  for _, case in ipairs(CASES) do
    local source, body, options, event_type, id = table.unpack(case)


    it("knows type and id: " .. source, function()
      local event = acme.webhook(source, body, options)
      assert.equal("completed", event.status, event.error_message)
      assert.equal(event_type, event.type)
      if id then
        assert.equal(id, event.event_id)
      else
        assert.equal("string", type(event.event_id))
      end
    end)


    it("refuses another secret: " .. source, function()
      local wrong = "whsec_" .. ("A"):rep(32)
      local _, err = pcall(acme.webhook, source, body, {
        secrets = { webhook_secret = wrong, word = wrong }, content_type = options.content_type,
      })
      assert.equal("unauthorized", err.code)
    end)
  end


  it("takes lists apart: SendGrid and LINE", function()
    local list = { { event = "open", sg_event_id = "a" }, { event = "click", sg_event_id = "b" } }
    local result = acme.webhook("sendgrid", list, { secrets = { sendgrid_key = keys.ec_private } })
    assert.same({ "open", "a", "click", "b" }, { result.events[1].type, result.events[1].event_id,
      result.events[2].type, result.events[2].event_id })
    result = acme.webhook("line", { destination = "U", events = { { type = "follow", webhookEventId = "w" } } })
    assert.same({ 1, "follow", "w" }, { #result.events, result.events[1].type, result.events[1].event_id })
    assert.same({}, acme.webhook("line", '{"destination":"U","events":[]}').events)
  end)


  it("answers the challenge of Slack after it has verified it", function()
    local challenge = { type = "url_verification", challenge = "3eZbrw1a" }
    assert.equal("3eZbrw1a", acme.webhook("slack", challenge).response.body)
    local _, err = pcall(acme.webhook, "slack", challenge, { secrets = { webhook_secret = "another-one" } })
    assert.equal("unauthorized", err.code)
  end)


  it("leaves a ping to the provider: Discord", function()
    local options = { secrets = { discord_key = keys.ed25519_private } }
    assert.equal('{"type":1}', acme.webhook("discord", '{"type":1}', options).response.body)
    assert.equal("completed", acme.webhook("discord", { type = 2 }, options).status)
  end)


  it("of Kakao is a header with the key", function()
    assert.equal("completed", acme.webhook("kakao", { app_id = 1 }).status)
    local _, err = pcall(acme.webhook, "kakao", { app_id = 1 }, { headers = { Authorization = "KakaoAK 0" } })
    assert.equal("unauthorized", err.code)
  end)


  it("may be the provider's own function, and one that fails refuses", function()
    assert.equal("completed", acme.webhook("own", {}, { headers = { ["X-Own"] = "own-value-1" } }).status)
    local _, err = pcall(acme.webhook, "own", {}, { headers = { ["X-Own"] = "no" } })
    assert.equal("unauthorized", err.code)
    _, err = pcall(acme.webhook, "broken", {})
    assert.equal("unauthorized", err.code)
  end)
end)
