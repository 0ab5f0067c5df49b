-- Stripe: `Stripe-Signature: t=…,v1=…[,v1=…]`. The key is the whole text of the secret, "whsec_" included.

local mac = require "tide.webhook.mac"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = { secret = "secret" }
M.required = {}

local HEADER = "Stripe-Signature"


-- Time-stamp and signatures of a header's value; nil and what is wrong with it.
local function read(value)
  local stamp, texts = nil, {}
  for item in value:gmatch("[^,%s]+") do
    local name, text = item:match("^(%w+)=(.+)$")
    if name == "t" then
      if stamp then
        return nil, "has two time-stamps"
      end
      stamp = text
    elseif name == "v1" then
      texts[#texts + 1] = text
    end
  end
  if not stamp then
    return nil, "has no time-stamp"
  end
  local given, words = mac.read_all(texts, "hex", mac.BYTES.sha256)
  if not given then
    return nil, words
  end
  return stamp, given
end


local function verify(request, secrets, now)
  local value = request.headers["stripe-signature"]
  if not value then
    return nil, ("header %s is missing"):format(HEADER)
  end
  local stamp, given = read(value)
  if not stamp then
    return nil, ("header %s %s"):format(HEADER, given)
  end
  local fresh, reason = timestamp.check(timestamp.seconds(stamp), now, request.tolerance_seconds)
  if not fresh then
    return nil, reason
  end
  return mac.match("sha256", secrets.secret, stamp .. "." .. request.body, given)
end


local function sign(request, secret, now)
  local stamp = timestamp.write(now)
  local signature = mac.write("sha256", secret.secret, stamp .. "." .. request.body, "hex")
  return { [HEADER] = ("t=%s,v1=%s"):format(stamp, signature) }
end


function M.bind()
  return {
    verify = verify, sign = sign, signature_header = HEADER:lower(), event_type = "type", event_id = "id",
  }
end


return M
