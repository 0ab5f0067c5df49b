-- SendGrid's signed event webhook: ECDSA over time-stamp and body; a body is a list of events. The
-- secret is the public key as SendGrid shows it.

local crypto = require "tide.crypto"
local envelope = require "tide.webhook.envelope"
local public_key = require "tide.webhook.public_key"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = { secret = "secret" }
M.required = {}

local SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
local TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
-- The DER of a signature over P-256 has at most 72.
local SIGNATURE_BYTES_MAX = 160


local function as_it_is(value)
  return value
end


local function verify(request, secrets, now)
  local text, stamp = request.headers[SIGNATURE:lower()], request.headers[TIMESTAMP:lower()]
  if not (text and stamp) then
    return nil, ("header %s is missing"):format(text and TIMESTAMP or SIGNATURE)
  end
  local signature = crypto.from_base64(text)
  if not signature or signature == "" or #signature > SIGNATURE_BYTES_MAX then
    return nil, ("header %s is not base64 of a signature"):format(SIGNATURE)
  end
  local fresh, reason = timestamp.check(timestamp.seconds(stamp), now, request.tolerance_seconds)
  if not fresh then
    return nil, reason
  end
  return public_key.match("ecdsa-sha256", secrets.secret, stamp .. request.body, { signature }, as_it_is)
end


local function sign(request, secret, now)
  local stamp = timestamp.write(now)
  local signature = public_key.sign("ecdsa-sha256", secret.secret, stamp .. request.body)
  return { [SIGNATURE] = crypto.base64(signature), [TIMESTAMP] = stamp }
end


function M.bind()
  return {
    verify = verify, sign = sign, signature_header = SIGNATURE:lower(),
    event_type = "event", event_id = "sg_event_id",
    events = function(payload) return envelope.list(payload, "event", "sg_event_id") end,
  }
end


return M
