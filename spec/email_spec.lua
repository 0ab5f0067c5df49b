local t = require "tide.test"
local crypto = require "tide.crypto"
local errors = require "tide.errors"
local generation = require "tide.generation"
local host = require "tide.host"
local json = require "tide.json"
local time = require "tide.time"
local keys = require "spec.support.key_pairs"

local MAILGUN_KEY = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
local SIGNING = { sendgrid_key = keys.ec_private }
-- SendGrid's own example, of the same curve.
local OTHER_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNN"
  .. "RaINXvVpiglSI8eNEc6wEA3F+g=="


local function failure(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  return err
end


describe("email", function()
  local email


  before_each(function()
    email = t.integration("email", { secrets = { sendgrid_key = keys.ec_public, mailgun_key = MAILGUN_KEY } })
  end)


  describe("from SendGrid", function()
    local function event_of(changes)
      local event = {
        email = "user@example.com", timestamp = 1600112492, event = "delivered", response = "250 OK",
        ["smtp-id"] = "<uuid@own-domain>", sg_event_id = "sg-1", sg_message_id = "LRzXl.filterdrecv-1",
      }
      for name, value in pairs(changes) do
        event[name] = value
      end
      return event
    end


    local function send(...)
      return email.webhook("sendgrid", json.array { ... }, { secrets = SIGNING }).events
    end


    it("gives every delivery event in one form", function()
      for kind, expected in pairs({
        deferred = { "deferred", "451 4.7.1 try later", { response = "451 4.7.1 try later" } },
        delivered = { "delivered", "250 OK", {} },
        bounce = { "bounced", "550 5.1.1 user unknown", { reason = "550 5.1.1 user unknown", status = "5.1.1" } },
        dropped = { "failed", "Bounced Address", { reason = "Bounced Address" } },
      }) do
        local changes = expected[3]
        changes.event, changes.sg_event_id = kind, "sg-" .. kind
        local event = send(event_of(changes))[1]
        assert.same({ "completed", kind, {
          message = "uuid@own-domain", recipient = "user@example.com", status = expected[1], detail = expected[2],
        } }, { event.status, event.type, event.processing_result })
      end
    end)

    it("knows openings and complaints by SendGrid's own id", function()
      for kind, status in pairs({ open = "opened", spamreport = "complained" }) do
        local event = send({ email = "user@example.com", event = kind, sg_event_id = kind,
          sg_message_id = "LRzXl.f" })[1]
        assert.same({ message = "LRzXl.f", recipient = "user@example.com", status = status }, event.processing_result)
      end
    end)

    it("takes many in one request, and leaves out what says nothing of a delivery", function()
      local events = send(event_of { sg_event_id = "a" }, event_of { event = "click", sg_event_id = "b" },
        event_of { event = "processed", sg_event_id = "c" }, event_of { event = "unsubscribe", sg_event_id = "d" },
        event_of { event = "group_unsubscribe", sg_event_id = "e" },
        event_of { event = "group_resubscribe", sg_event_id = "f" })
      assert.equal(6, #events)
      for index, event in ipairs(events) do
        assert.same({ "completed", index == 1 }, { event.status, event.processing_result ~= nil })
      end
      assert.is_true(send(event_of { sg_event_id = "a" })[1].duplicate)
    end)

    it("fails for good what it does not know, and what names no message or recipient", function()
      local events = send(event_of { event = "teleported", sg_event_id = "a" },
        { event = "delivered", sg_event_id = "b", email = "user@example.com" },
        { event = "delivered", sg_event_id = "c", sg_message_id = "x", email = json.null })
      assert.same({ "failed", "failed", "failed" }, { events[1].status, events[2].status, events[3].status })
      assert.same({ "not_found", "invalid_input", "invalid_input" },
        { events[1].error_type, events[2].error_type, events[3].error_type })
    end)

    it("refuses what was changed on its way, came too late, or was signed with another key", function()
      local body, now = json.encode(json.array { event_of {} }), math.floor(time.now())
      local function sent(text, stamp)
        return email.webhook("sendgrid", text, { secrets = SIGNING, headers = {
          ["X-Twilio-Email-Event-Webhook-Timestamp"] = tostring(stamp or now),
          ["X-Twilio-Email-Event-Webhook-Signature"] = crypto.base64(crypto.sign("ecdsa-sha256", keys.ec_private,
            now .. body)),
        } })
      end
      assert.equal("unauthorized", failure(sent, (body:gsub("user@", "uzer@"))).code)
      assert.equal("unauthorized", failure(sent, body .. "\n").code)
      assert.equal("unauthorized", failure(sent, body, now + 1).code)
      assert.equal("completed", sent(body).events[1].status)
      local late = { secrets = SIGNING, now = now - 310 }
      assert.equal("unauthorized", failure(email.webhook, "sendgrid", body, late).code)
      local other = t.integration("email", { secrets = { sendgrid_key = OTHER_KEY, mailgun_key = MAILGUN_KEY } })
      assert.equal("unauthorized", failure(other.webhook, "sendgrid", body, { secrets = SIGNING }).code)
    end)
  end)


  describe("from Mailgun", function()
    local function send(changes, options)
      local data = {
        event = "delivered", recipient = "user@example.com",
        message = { headers = { ["message-id"] = "20240101.1@mg.example.com" } },
      }
      for name, value in pairs(changes) do
        data[name] = value
      end
      return email.webhook("mailgun", { ["event-data"] = data }, options)
    end


    it("gives every delivery event in one form", function()
      for _, case in ipairs({
        { "delivered", {} }, { "opened", { event = "opened" } }, { "complained", { event = "complained" } },
        { "deferred", { event = "failed", severity = "temporary", reason = "generic",
          ["delivery-status"] = { code = 498, message = "No MX for example.com" } }, "No MX for example.com" },
        { "bounced", { event = "failed", severity = "permanent", reason = "bounce",
          ["delivery-status"] = { code = 550, message = "", description = "user unknown" } }, "user unknown" },
        { "bounced", { event = "failed", severity = "permanent", reason = "generic",
          ["delivery-status"] = { code = "554", message = "refused" } }, "refused" },
        { "failed", { event = "failed", severity = "permanent", reason = "suppress-bounce",
          ["delivery-status"] = { code = 605, message = "" } }, "suppress-bounce" },
        { "failed", { event = "failed", severity = "permanent", reason = "old" }, "old" },
      }) do
        local event = send(case[2])
        assert.same({ "completed", {
          message = "20240101.1@mg.example.com", recipient = "user@example.com", status = case[1], detail = case[3],
        } }, { event.status, event.processing_result })
      end
    end)

    it("leaves out what says nothing of a delivery", function()
      for _, kind in ipairs({ "accepted", "clicked", "unsubscribed" }) do
        local event = send { event = kind }
        assert.same({ "completed", kind }, { event.status, event.type })
        assert.is_nil(event.processing_result)
      end
    end)

    it("fails for good what it does not know, and what names no message or recipient", function()
      assert.equal("not_found", send({ event = "stored" }).error_type)
      for _, changes in ipairs({ { recipient = json.null }, { message = { headers = "x" } }, { message = 1 } }) do
        local event = send(changes)
        assert.same({ "failed", "invalid_input" }, { event.status, event.error_type })
      end
    end)

    it("refuses another key, and a time long past", function()
      assert.equal("unauthorized", failure(send, {}, { secrets = { mailgun_key = "key-another-one" } }).code)
      assert.equal("unauthorized", failure(send, {}, { now = time.now() - 310 }).code)
      assert.equal("unauthorized", failure(email.webhook, "sendgrid", { ["event-data"] = {} },
        { headers = { ["X-Twilio-Email-Event-Webhook-Signature"] = "AAAA" }, secrets = SIGNING }).code)
    end)
  end)


  it("is there in a project that names it, and only there", function()
    local bundled = { { name = "email", path = "providers/email.lua", text = host.asset("providers/email.lua") } }
    local function build(integrations)
      return assert(generation.build { config = { integrations = integrations }, config_path = "config.lua", files = {},
        scripts = {}, bundled = bundled, getenv = function() return nil end })
    end
    assert.is_nil(build({}).integrations.email)
    local named = build({ email = {}, mail_eu = { provider = "email" } }).integrations
    assert.is_nil(named.email.error)
    assert.truthy(named.email.provider.webhooks.sendgrid)
    assert.truthy(named.mail_eu.provider.webhooks.mailgun)
  end)
end)
