-- Slack: X-Slack-Signature over version, time-stamp and body; answers the challenge of a new address.

local json = require "tide.json"
local hmac = require "tide.webhook.scheme.hmac"
local timestamp = require "tide.webhook.timestamp"

local CHALLENGE_BYTES_MAX = 4096


local function event_type(payload)
  if type(payload) ~= "table" then
    return nil
  end
  local event = payload.event
  return type(event) == "table" and event.type or payload.type
end


-- Of `{"type": "url_verification", "challenge": …}`, posted: what is not is not verified either.
local function handshake(request)
  if request.method ~= "POST" or not request.body:find("url_verification", 1, true) then
    return nil
  end
  local payload = json.decode(request.body, { null = "absent" })
  if type(payload) ~= "table" or payload.type ~= "url_verification" then
    return nil
  end
  local challenge = payload.challenge
  if type(challenge) ~= "string" or #challenge > CHALLENGE_BYTES_MAX then
    return nil
  end
  return { status = 200, headers = { ["Content-Type"] = "text/plain; charset=utf-8" }, body = challenge }
end


return hmac.preset({
  header = "X-Slack-Signature", prefix = "v0=", content = "v0:{timestamp}:{body}",
  timestamp_header = "X-Slack-Request-Timestamp", time_of = timestamp.seconds,
}, { event_type = event_type, event_id = "event_id", handshake = handshake })
