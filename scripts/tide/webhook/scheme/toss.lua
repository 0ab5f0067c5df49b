-- Toss Payments: body and transmission time, signed for payout.changed and seller.changed alone.

local crypto = require "tide.crypto"
local mac = require "tide.webhook.mac"
local time = require "tide.time"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = { secret = "secret" }
M.required = {}

local SIGNATURE = "tosspayments-webhook-signature"
local TIME = "tosspayments-webhook-transmission-time"
local ID = "tosspayments-webhook-transmission-id"


-- The signatures: "v1:" before the first or before each.
local function split(value)
  local texts = {}
  for item in value:gmatch("[^,%s]+") do
    local text = item:gsub("^v1:", "")
    if text ~= "" then
      texts[#texts + 1] = text
    end
  end
  return texts
end


local function verify(request, secrets, now)
  local value, stamp = request.headers[SIGNATURE], request.headers[TIME]
  if not (value and stamp) then
    return nil, ("header %s is missing"):format(value and TIME or SIGNATURE)
  end
  local given, words = mac.read_all(split(value), "base64", mac.BYTES.sha256)
  if not given then
    return nil, ("header %s %s"):format(SIGNATURE, words)
  end
  local fresh, reason = timestamp.check(timestamp.any(stamp), now, request.tolerance_seconds)
  if not fresh then
    return nil, reason
  end
  return mac.match("sha256", secrets.secret, request.body .. ":" .. stamp, given)
end


local function sign(request, secret, now)
  local stamp = time.format(now)
  local signature = mac.write("sha256", secret.secret, request.body .. ":" .. stamp, "base64")
  return {
    [SIGNATURE] = "v1:" .. signature, [TIME] = stamp,
    [ID] = (request.headers or {})[ID] or crypto.hex(crypto.random(16)),
  }
end


function M.bind()
  return {
    verify = verify, sign = sign, signature_header = SIGNATURE, event_type = "eventType", event_id = { header = ID },
  }
end


return M
