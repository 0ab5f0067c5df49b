-- Delivery events of e-mail services, in one form whoever sent the message. SendGrid's signed events come
-- to /api/v1/webhooks/email/sendgrid, Mailgun's to /api/v1/webhooks/email/mailgun.
--
-- A handler returns { message, recipient, status, detail }: `status` is "deferred", "delivered", "opened",
-- "bounced", "complained" or "failed"; `message` the message's id without angle brackets. Events come in
-- any order, and each for one recipient of the message.

local fail = require "tide.fail"

-- Mailgun's reason for a message that the recipient's server has refused.
local MAILGUN_BOUNCE = "bounce"


local function malformed(what)
  fail("invalid_input", "the event has no " .. what, { retryable = false })
end


local function as_text(value)
  return type(value) == "string" and value ~= "" and value or nil
end


local function member(value, ...)
  for _, name in ipairs({ ... }) do
    value = type(value) == "table" and value[name] or nil
  end
  return value
end


local function delivery(message, recipient, status, detail)
  return {
    message = as_text(message) or malformed("id of a message"),
    recipient = as_text(recipient) or malformed("recipient"),
    status = status,
    detail = as_text(detail),
  }
end


-- SendGrid ----------------------------------------------------------------------------------------


-- `smtp-id` is the Message-ID as it was sent; of openings and complaints only SendGrid's own id is known.
local function sendgrid_message(event)
  local id = as_text(event["smtp-id"])
  return id and id:match("^%s*<?(.-)>?%s*$") or event.sg_message_id
end


local function sendgrid(status)
  return function(_, event)
    local payload = event.payload
    return delivery(sendgrid_message(payload), payload.email, status, payload.reason or payload.response)
  end
end


-- Mailgun -----------------------------------------------------------------------------------------


local function mailgun_delivery(event, status, detail)
  local data = member(event.payload, "event-data")
  return delivery(member(data, "message", "headers", "message-id"), member(data, "recipient"), status, detail)
end


local function mailgun(status)
  return function(_, event)
    return mailgun_delivery(event, status)
  end
end


-- What Mailgun does not even try (its own codes begin at 600) has failed; what the recipient's server
-- has refused has bounced.
local function mailgun_failure(_, event)
  local data = member(event.payload, "event-data")
  local answer = member(data, "delivery-status")
  local code = tonumber(member(answer, "code")) or 0
  local status = "failed"
  if member(data, "severity") == "temporary" then
    status = "deferred"
  elseif member(data, "reason") == MAILGUN_BOUNCE or (code >= 500 and code < 600) then
    status = "bounced"
  end
  return mailgun_delivery(event, status, as_text(member(answer, "message")) or as_text(member(answer, "description"))
    or member(data, "reason"))
end


return {
  summary = "Delivery events of e-mail services",

  webhooks = {
    sendgrid = {
      -- The public key as SendGrid shows it.
      signature = { scheme = "sendgrid", secret = "sendgrid_key" },
      on = {
        deferred = sendgrid("deferred"),
        delivered = sendgrid("delivered"),
        open = sendgrid("opened"),
        bounce = sendgrid("bounced"),
        spamreport = sendgrid("complained"),
        dropped = sendgrid("failed"),
        processed = false,
        click = false,
        unsubscribe = false,
        group_unsubscribe = false,
        group_resubscribe = false,
      },
    },

    mailgun = {
      signature = { scheme = "mailgun", secret = "mailgun_key" },
      on = {
        delivered = mailgun("delivered"),
        opened = mailgun("opened"),
        complained = mailgun("complained"),
        failed = mailgun_failure,
        accepted = false,
        clicked = false,
        unsubscribed = false,
      },
    },
  },
}
