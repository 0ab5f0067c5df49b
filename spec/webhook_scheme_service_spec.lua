-- Schemes on a running service: what they need of it besides a request.

local crypto = require "tide.crypto"
local json = require "tide.json"
local keys = require "spec.support.key_pairs"
local signatures = require "tide.webhook.signatures"
local task = require "tide.task"
local time = require "tide.time"
local webhooks = require "spec.support.webhooks"

local TOPIC = "arn:aws:sns:us-east-2:123456789012:ses"


describe("webhook schemes on a service", function()
  local acme


  setup(function()
    acme = webhooks.start({
      ["providers/acme.lua"] = ([[
        local function seen(_, event) return { type = event.type, payload = event.payload } end
        local function of(signature) return { signature = signature, on = { ["*"] = seen } } end
        return {
          webhooks = {
            twilio = of("twilio"), slack = of("slack"), sns = of { scheme = "sns", topics = "%s" },
            spin = of { scheme = function() while true do end end }, wait = of { scheme = function(request)
              return request.headers["x-key"] == "open sesame"
            end },
          },
        }
      ]]):format(TOPIC),
    }, { top = 'public_url = "https://hooks.example.com", script_timeout_ms = 200,',
      -- Names cannot be looked up, so that SNS cannot be reached.
      environment = { TIDEGATE_DNS_SERVERS = "127.0.0.1:9" } })
  end)


  teardown(function() acme:close() end)


  local function send(source, body, headers, method)
    return acme.service:request(method or "POST", "/api/v1/webhooks/acme/" .. source, {
      token = false, body = body, headers = headers,
    })
  end


  it("verify what was signed for the public address", function()
    local body = "To=%2B8210&MessageSid=SM9&MessageStatus=sent"
    local content = "https://hooks.example.com/api/v1/webhooks/acme/twilio?a=1"
      .. "MessageSidSM9MessageStatussentTo+8210"
    local headers = { ["Content-Type"] = "application/x-www-form-urlencoded",
      ["X-Twilio-Signature"] = crypto.base64(crypto.hmac("sha1", webhooks.SECRET, content)) }
    local status, answer = send("twilio?a=1", body, headers)
    assert.equal(200, status)
    local event = acme:await(answer.id, "completed")
    assert.same({ "sent", "SM9:sent" }, { event.event_type, event.event_id })
    assert.equal(401, (send("twilio?a=2", body, headers)))
  end)


  it("answer a challenge once it is verified, and store nothing", function()
    local body = '{"type":"url_verification","challenge":"abc-123"}'
    local headers = signatures.bind("slack", "acme").sign({ body = body }, { secret = webhooks.SECRET }, time.now())
    headers["Content-Type"] = "application/json"
    local status, answer = send("slack", body, headers)
    assert.same({ 200, "abc-123" }, { status, answer })
    headers["X-Slack-Signature"] = headers["X-Slack-Signature"]:gsub("%x$", function(digit)
      return digit == "0" and "1" or "0"
    end)
    assert.equal(401, (send("slack", body, headers)))
    assert.same({}, acme:events("type=url_verification"))
  end)


  -- A message that is signed, though not by SNS.
  local function message(content)
    local scheme = signatures.bind({ scheme = "sns", topics = TOPIC }, "acme")
    local headers, body = scheme.sign({ body = json.encode(content) }, { secret = keys.rsa_private }, time.now())
    return body, headers
  end


  it("ask SNS to send again while its certificate cannot be had, and hold up nobody", function()
    local list = {}
    for index = 1, 6 do
      list[index] = function()
        local status, answer, headers = send("sns", message { Type = "Notification", Message = "m" })
        return { status, answer.code, headers["retry-after"] ~= nil }
      end
    end
    for _, outcome in ipairs(task.all(list)) do
      assert.same({ 503, "unavailable", true }, outcome)
    end
    assert.equal(401, (send("sns", message { Type = "Notification", Message = "m", TopicArn = TOPIC .. "x" })))
    assert.equal(401, (send("sns", (message { Type = "Notification", Message = "m",
      SigningCertURL = "https://127.0.0.1/a.pem" }))))
    assert.same({}, acme:events("type=Notification"))
  end)


  it("confirm nothing that was not posted and verified", function()
    local body, headers = message { Type = "SubscriptionConfirmation", Message = "m", Token = "t",
      SubscribeURL = "https://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription" }
    assert.equal(405, (send("sns", body, headers, "GET")))
    assert.equal(503, (send("sns", body, headers)))
    assert.equal(405, (send("slack", '{"type":"url_verification","challenge":"abc"}', {}, "GET")))
  end)


  it("stop a function that does not end, and refuse", function()
    assert.equal(401, (send("spin", "{}", {})))
    assert.equal(401, (send("wait", "{}", {})))
    assert.equal(200, (send("wait", "{}", { ["X-Key"] = "open sesame" })))
  end)
end)
