-- Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), and Svix by the names of its headers: HMAC
-- (v1, secrets "whsec_…") and Ed25519 (v1a, public keys "whpk_…").

local crypto = require "tide.crypto"
local mac = require "tide.webhook.mac"
local public_key = require "tide.webhook.public_key"
local timestamp = require "tide.webhook.timestamp"

local M = {}

M.fields = { secret = "secret" }
M.required = {}

local STANDARD = { id = "webhook-id", timestamp = "webhook-timestamp", signature = "webhook-signature" }
local SVIX = { id = "svix-id", timestamp = "svix-timestamp", signature = "svix-signature" }
local ID_BYTES_MAX = 255
local ED25519_KEY_BYTES, ED25519_SIGNATURE_BYTES = 32, 64


-- Keys --------------------------------------------------------------------------------------------


-- The key of a secret for HMAC; a public key is none.
local function mac_key(value)
  if value:sub(1, 5) == "whpk_" then
    return nil
  end
  return mac.from_base64((value:gsub("^whsec_", "")))
end


local function verification_key(value)
  local key = value:sub(1, 5) == "whpk_" and mac.from_base64(value:sub(6)) or ""
  return #key == ED25519_KEY_BYTES and key or nil
end


-- Verifying ---------------------------------------------------------------------------------------


-- The signatures of a header by version, as text. Versions that we do not know are skipped. The frontier
-- keeps a long run of letters from being tried again from each of them.
local function split(text)
  local by_version, count = { v1 = {}, v1a = {} }, 0
  for version, signature in text:gmatch("%f[%w](%w+),([^%s,]+)") do
    local list = by_version[version]
    if list then
      list[#list + 1] = signature
      count = count + 1
    end
  end
  return by_version, count
end


local function names_of(headers)
  return headers["webhook-id"] == nil and headers["svix-id"] ~= nil and SVIX or STANDARD
end


-- Id, time-stamp and signatures of a request; nil and what is wrong with them.
local function read(headers)
  local names = names_of(headers)
  local id, stamp, signature = headers[names.id], headers[names.timestamp], headers[names.signature]
  if not (id and stamp and signature) then
    return nil, ("header %s is missing"):format(not id and names.id or not stamp and names.timestamp or names.signature)
  end
  -- Otherwise an id and a time-stamp could be cut in another place.
  if id == "" or #id > ID_BYTES_MAX or id:find(".", 1, true) then
    return nil, ("header %s is not an id: up to %d bytes, without a dot"):format(names.id, ID_BYTES_MAX)
  end
  local by_version, count = split(signature)
  if count == 0 then
    return nil, ("header %s has no signature of the versions v1 and v1a"):format(names.signature)
  end
  return id, stamp, by_version
end


local function match(secrets, content, texts, length, try)
  if #texts == 0 then
    return nil
  end
  local given, words = mac.read_all(texts, "base64", length)
  if not given then
    return nil, "the signature " .. words
  end
  return try(secrets, content, given)
end


local function try_mac(secrets, content, given)
  return mac.match("sha256", secrets, content, given, mac_key)
end


local function try_public_key(secrets, content, given)
  return public_key.match("ed25519", secrets, content, given, verification_key)
end


local function verify(request, secrets, now)
  local id, stamp, by_version = read(request.headers)
  if not id then
    return nil, stamp
  end
  local fresh, reason = timestamp.check(timestamp.seconds(stamp), now, request.tolerance_seconds)
  if not fresh then
    return nil, reason
  end
  local content = id .. "." .. stamp .. "." .. request.body
  local found, mac_reason = match(secrets.secret, content, by_version.v1, mac.BYTES.sha256, try_mac)
  if found then
    return found
  end
  local key_reason
  found, key_reason = match(secrets.secret, content, by_version.v1a, ED25519_SIGNATURE_BYTES, try_public_key)
  return found, not found and (mac_reason or key_reason) or nil
end


-- Signing -----------------------------------------------------------------------------------------


local function signature_of(secret, content)
  if secret:sub(1, 5) == "whsk_" then
    -- The seed, and the public key after it.
    local seed = (mac.from_base64(secret:sub(6)) or ""):sub(1, ED25519_KEY_BYTES)
    return "v1a," .. crypto.base64(public_key.sign("ed25519", seed, content))
  end
  local key = mac_key(secret) or error("the secret is not base64", 3)
  return "v1," .. mac.write("sha256", key, content, "base64")
end


local function sign(request, secret, now)
  local headers = request.headers or {}
  local names = names_of(headers)
  local id, stamp = headers[names.id] or "msg_" .. crypto.hex(crypto.random(12)), timestamp.write(now)
  return {
    [names.id] = id, [names.timestamp] = stamp,
    [names.signature] = signature_of(secret.secret, id .. "." .. stamp .. "." .. request.body),
  }
end


function M.bind()
  return {
    verify = verify, sign = sign, signature_header = STANDARD.signature,
    event_type = "type",
    event_id = function(_, headers) return headers[names_of(headers).id] end,
  }
end


return M
