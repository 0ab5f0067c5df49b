-- Ed25519 in a header, over time-stamp and body unless told otherwise, as Discord signs. The secret is
-- the public key: hexadecimal, base64 or PEM.

local crypto = require "tide.crypto"
local contents = require "tide.webhook.signed_content"
local hmac = require "tide.webhook.scheme.hmac"
local mac = require "tide.webhook.mac"
local public_key = require "tide.webhook.public_key"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = {
  header = "header", timestamp_header = "header", encoding = { "hex", "base64" }, content = "text", secret = "secret",
}
M.required = {}

local HEADER, TIMESTAMP_HEADER = "X-Signature-Ed25519", "X-Signature-Timestamp"
local KEY_BYTES, SIGNATURE_BYTES = 32, 64


-- The definition with its defaults. A content without {timestamp} needs no header for one.
local function complete(definition)
  local content = definition.content or "{timestamp}{body}"
  local stamp_header = definition.timestamp_header
  if not stamp_header and contents.names(content).timestamp then
    stamp_header = TIMESTAMP_HEADER
  end
  return {
    header = definition.header or HEADER, timestamp_header = stamp_header, content = content,
    encoding = definition.encoding or "hex",
  }
end


function M.check(definition)
  return hmac.check(complete(definition))
end


-- The bytes of a key that is written as 64 digits; another as it is.
local function key_of(value)
  return #value == 2 * KEY_BYTES and crypto.from_hex(value) or value
end


function M.bind(definition)
  local whole = complete(definition)
  local header, stamp_header = whole.header, whole.timestamp_header
  local key, stamp_key = header:lower(), stamp_header and stamp_header:lower()
  local content, time_of = contents.compile(whole.content), contents.time_reader(whole.content)

  local function verify(request, secrets, now)
    local text, stamp = request.headers[key], stamp_key and request.headers[stamp_key]
    if not text or stamp_key and not stamp then
      return nil, ("header %s is missing"):format(text and stamp_header or header)
    end
    local signature, words = mac.read(text, whole.encoding, SIGNATURE_BYTES)
    if not signature then
      return nil, ("header %s %s"):format(header, words)
    end
    if stamp_key then
      local fresh, reason = timestamp.check(time_of(stamp), now, request.tolerance_seconds)
      if not fresh then
        return nil, reason
      end
    end
    return public_key.match("ed25519", secrets.secret, content(request, stamp), { signature }, key_of)
  end

  local function sign(request, secret, now)
    local stamp = timestamp.write(now)
    local signature = public_key.sign("ed25519", key_of(secret.secret), content(request, stamp))
    local headers = { [header] = whole.encoding == "hex" and crypto.hex(signature) or crypto.base64(signature) }
    if stamp_header then
      headers[stamp_header] = stamp
    end
    return headers
  end
  return { verify = verify, sign = sign, signature_header = key }
end


return M
