-- `tidegate webhooks send`: what a sender would send, taken by the running service.

local events = require "spec.support.events"
local json = require "tide.json"
local key_pairs = require "spec.support.key_pairs"
local support = require "spec.support.service"

local SECRET = "the-secret-of-the-shop"


describe("tidegate webhooks send", function()
  local project, service, environment


  setup(function()
    environment = {
      TIDEGATE_SHOP_WEBHOOK_SECRET = SECRET, TIDEGATE_MANY_GITHUB_SECRET = SECRET, TIDEGATE_MANY_TWILIO_SECRET = SECRET,
      TIDEGATE_MANY_USER = "someone-else", TIDEGATE_MANY_PASSWORD = SECRET, TIDEGATE_MANY_KEY = SECRET,
      TIDEGATE_MANY_PUBLIC_KEY = key_pairs.ed25519_public,
      TIDEGATE_MANY_SVIX_SECRET = "whsec_c2VjcmV0LW9mLXN2aXgtZm9yLXNwZWNz",
    }
    project = support.project {
      ["providers/shop.lua"] = [[return {
        webhooks = { signature = { scheme = "hmac-sha256", header = "X-Signature" }, event_type = "type",
          on = { ["*"] = false } },
      }]],
      ["providers/many.lua"] = [[return {
        webhooks = {
          github = { signature = { scheme = "github", secret = "github_secret" }, on = { ["*"] = false } },
          twilio = { signature = { scheme = "twilio", secret = "twilio_secret" }, on = { ["*"] = false } },
          svix = { signature = { scheme = "standard-webhooks", secret = "svix_secret" }, on = { ["*"] = false } },
          keys = { signature = { scheme = "ed25519", secret = "public_key" }, event_type = "type",
            on = { ["*"] = false } },
          basic = { signature = { scheme = "basic", username = "user", password = "password" }, event_type = "type",
            on = { ["*"] = false } },
          own = { signature = { scheme = function(request, secrets)
              return request.headers["X-Key"] == secrets.key[1]
            end, secret = "key" }, event_type = "type", on = { ["*"] = false } },
          open = { signature = "none", event_type = "type", on = { ["*"] = false },
            respond = { status = 202, body = "thanks" } },
        },
      }]],
      ["providers/calls.lua"] = "return { operations = { go = { run = function() return {} end } } }",
      ["providers/wrong.lua"] = "return 7",
      ["body.json"] = '{"type": "order.made",\n "id": 7}\n',
      ["form"] = "MessageSid=SM1&MessageStatus=sent&To=%2B82",
      ["secret"] = SECRET .. "\n",
      ["wrong-secret"] = "another-secret-altogether",
    }
    service = project:serve { environment = environment }
  end)


  teardown(function()
    project:close()
  end)


  before_each(function()
    events.execute(project, { { sql = "DELETE FROM webhook_events", values = json.array() },
      { sql = "DELETE FROM webhook_dedupe", values = json.array() } })
  end)


  local function send(arguments, given, input)
    local code, out, err = project:run({ "webhooks", "send", table.unpack(arguments) }, given or environment, input)
    assert.is_nil((out .. err):find(SECRET, 1, true))
    return code, out, err
  end


  -- The stored event of a request that is taken.
  local function sent(...)
    local code, out, err = send(...)
    assert.equal(0, code, err)
    local answer = json.decode(out)
    return events.query(project, "SELECT integration_name, source, event_type, event_id, CAST(body AS TEXT) AS body, "
      .. "content_type FROM webhook_events WHERE id = $1", answer.id)[1], answer
  end


  local function assert_refused(code, words, ...)
    local got, out, err = send(...)
    assert.equal(code, got, out .. err)
    assert.matches(words, err, 1, true)
  end


  it("signs the body as it is, with the project's secret", function()
    local event, answer = sent { "shop", "--file", "body.json" }
    assert.same({ "shop", "order.made", '{"type": "order.made",\n "id": 7}\n', "application/json" },
      { event.integration_name, event.event_type, event.body, event.content_type })
    assert.is_false(answer.duplicate)
    assert.is_true(select(2, sent { "shop", "--file", "body.json" }).duplicate)
  end)


  it("reads the body from standard input, and the secret from where it is told", function()
    assert.equal("order.made", sent({ "shop", "--file", "-" }, nil, '{"type":"order.made"}').event_type)
    assert.is_table(sent({ "shop", "--file", "body.json", "--secret-file", "secret" }, {}))
    assert.is_table(sent({ "shop", "--file", "form", "--secret", SECRET }, {}))
    assert.is_table(sent({ "shop", "--file", "body.json", "--secret-file", "-" }, {}, SECRET))
    assert_refused(1, "unauthorized", { "shop", "--file", "body.json", "--secret-file", "wrong-secret" })
  end)


  it("knows the schemes of named webhooks, and where they have type and id", function()
    local event = sent { "many/github", "--file", "body.json", "--type", "push" }
    assert.same({ "github", "push", 36 }, { event.source, event.event_type, #event.event_id })
    local _, answer = sent { "many/github", "--file", "body.json", "--type", "push" }
    assert.is_false(answer.duplicate)
    event = sent { "many/twilio", "--file", "form" }
    assert.same({ "sent", "SM1:sent", "application/x-www-form-urlencoded" },
      { event.event_type, event.event_id, event.content_type })
    assert.equal("twilio", sent { "many/twilio", "--file", "body.json" }.source)
    assert.equal("basic", sent { "many/basic", "--file", "body.json" }.source)
  end)


  it("signs over the headers that it is given", function()
    local event = sent { "many/svix", "--file", "body.json", "--header", "webhook-id: msg_7" }
    assert.equal("msg_7", event.event_id)
    event = sent { "many/github", "--file", "body.json", "--header", "x-github-event: push",
      "--header", "X-GitHub-Delivery: one" }
    assert.same({ "push", "one" }, { event.event_type, event.event_id })
    event = sent { "shop", "--file", "form", "--header", "Content-Type: text/plain" }
    assert.equal("text/plain", event.content_type)
  end)


  it("signs with the private key of a scheme that has two", function()
    project:write("key.pem", key_pairs.ed25519_private)
    assert.equal("keys", sent({ "many/keys", "--file", "body.json", "--secret-file", "key.pem" }).source)
    assert_refused(1, "could not be signed", { "many/keys", "--file", "body.json" })
    local _, _, err = send { "many/keys", "--file", "body.json" }
    assert.is_nil(err:find(key_pairs.ed25519_public:match("\n(%S+)"), 1, true))
  end)


  it("leaves it to headers what a function of the provider verifies", function()
    project:write("key", SECRET)
    assert_refused(1, "unauthorized", { "many/own", "--file", "body.json" })
    local code, _, err = project:run({ "webhooks", "send", "many/own", "--file", "body.json", "--header",
      "X-Key: " .. SECRET }, environment)
    assert.equal(0, code, err)
    assert.matches("with a function of its own", err, 1, true)
  end)


  it("prints what the provider answers", function()
    local code, out = send { "many/open", "--file", "body.json" }
    assert.same({ 0, "thanks" }, { code, out })
  end)


  it("sends to another address, as its sender would", function()
    assert.is_table(sent { "shop", "--file", "body.json", "--url", service.origin })
    assert.is_table(sent { "many/twilio", "--file", "form", "--url", service.origin .. "/" })
    assert.is_table(sent { "many/twilio", "--file", "body.json", "--url",
      service.origin .. "/api/v1/webhooks/many/twilio?a=b" })
    assert_refused(1, "no_such_operation", { "shop", "--file", "body.json", "--url", service.origin .. "/elsewhere" })
    assert_refused(2, "--url is no address", { "shop", "--file", "body.json", "--url", "elsewhere" })
  end)


  it("says what is missing", function()
    assert_refused(2, "an integration is needed", { "--file", "body.json" })
    assert_refused(2, "an integration is needed", { "shop", "more", "--file", "body.json" })
    assert_refused(2, "--file is needed", { "shop" })
    assert_refused(2, "not both", { "shop", "--file", "body.json", "--secret", "x", "--secret-file", "secret" })
    assert_refused(2, "not both", { "shop", "--file", "-", "--secret-file", "-" })
    assert_refused(2, '--header X is not "Name: value"', { "shop", "--file", "body.json", "--header", "X" })
    assert_refused(2, "--dry-run is for retry", { "shop", "--file", "body.json", "--dry-run" })
    assert_refused(1, "nothing.json", { "shop", "--file", "nothing.json" })
    assert_refused(1, "there is no integration shp (did you mean shop?)", { "shp", "--file", "body.json" })
    assert_refused(1, "wrong.lua", { "wrong", "--file", "body.json" })
    assert_refused(1, "calls takes no webhooks", { "calls", "--file", "body.json" })
    assert_refused(1, "say which webhooks of many: basic, github, keys, open, own, svix, twilio",
      { "many", "--file", "body.json" })
    assert_refused(1, "have no names: leave out /x", { "shop/x", "--file", "body.json" })
    assert_refused(1, "in the field type", { "shop", "--file", "body.json", "--type", "x" })
    assert_refused(1, "set TIDEGATE_SHOP_WEBHOOK_SECRET", { "shop", "--file", "body.json" }, {})
    assert_refused(1, "does not read one secret", { "many/basic", "--file", "body.json", "--secret-file", "secret" })
    assert_refused(1, "could not be signed", { "many/svix", "--file", "body.json", "--secret-file", "secret" })
  end)


  it("needs a service, unless it is told where to", function()
    local other = support.project { ["providers/shop.lua"] = project:read("providers/shop.lua"), ["body.json"] = "{}" }
    local code, _, err = other:run({ "webhooks", "send", "shop", "--file", "body.json" }, environment)
    other:close()
    assert.equal(1, code)
    assert.matches("no service runs in", err, 1, true)
  end)
end)
