-- Mailgun: the signature is in the body and covers time-stamp and token alone. Nothing but TLS guards
-- the rest of the body, so that a token counts once: it is the event's id.

local crypto = require "tide.crypto"
local json = require "tide.json"
local mac = require "tide.webhook.mac"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = { secret = "secret" }
M.required = {}

local TOKEN_BYTES_MAX = 255


local function decode(body)
  local payload = json.decode(body, { null = "absent" })
  return type(payload) == "table" and payload or nil
end


-- Time-stamp, token and signature as texts; nil when they are not there.
local function read(payload)
  local member = payload and payload.signature
  if type(member) ~= "table" then
    return nil
  end
  local stamp, token, text = member.timestamp, member.token, member.signature
  if math.type(stamp) == "integer" then
    stamp = tostring(stamp)
  end
  if type(stamp) ~= "string" or type(token) ~= "string" or type(text) ~= "string" then
    return nil
  end
  return stamp, token, text
end


local function verify(request, secrets, now)
  local stamp, token, text = read(decode(request.body))
  if not stamp then
    return nil, "the body has no signature with timestamp, token and signature"
  end
  if token == "" or #token > TOKEN_BYTES_MAX then
    return nil, "the token of the signature is empty or too long"
  end
  local bytes, words = mac.read(text, "hex", mac.BYTES.sha256)
  if not bytes then
    return nil, "the signature " .. words
  end
  local fresh, reason = timestamp.check(timestamp.seconds(stamp), now, request.tolerance_seconds)
  if not fresh then
    return nil, reason
  end
  return mac.match("sha256", secrets.secret, stamp .. token, { bytes })
end


local function sign(request, secret, now)
  local payload = decode(request.body) or error("the body must be a JSON object", 2)
  local stamp, token = timestamp.write(now), crypto.hex(crypto.random(25))
  payload.signature = {
    timestamp = stamp, token = token, signature = mac.write("sha256", secret.secret, stamp .. token, "hex"),
  }
  return {}, assert(json.encode(payload))
end


local function event_type(payload)
  local data = type(payload) == "table" and payload["event-data"]
  return type(data) == "table" and data.event or nil
end


local function event_id(payload)
  local _, token = read(type(payload) == "table" and payload or nil)
  return token
end


function M.bind()
  return { verify = verify, sign = sign, event_type = event_type, event_id = event_id }
end


return M
