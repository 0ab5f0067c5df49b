-- A JWT that asks for a token in the name of whoever holds the key (RFC 7523), signed with RS256
-- or ES256, as the key is.

local crypto = require "tide.crypto"
local errors = require "tide.errors"
local json = require "tide.json"
local time = require "tide.time"
local uuid = require "tide.uuid"

local M = {}

-- Long enough for two clocks that differ; some servers take no more than three minutes.
local LIFETIME_SECONDS = 180
local ALGORITHMS = { { "RS256", "rsa-sha256" }, { "ES256", "es256" } }


local function encode(value)
  return crypto.base64url(assert(json.encode(value)))
end


-- The claims of a definition; `subject = ""` leaves `sub` out.
function M.claims(definition, issuer, audience)
  local now = math.floor(time.now())
  local subject = definition.subject or issuer
  return {
    iss = issuer,
    sub = subject ~= "" and subject or nil,
    aud = audience,
    scope = definition.scope,
    iat = now,
    exp = now + LIFETIME_SECONDS,
    jti = uuid.v4(),
  }
end


-- The signed text; nil when the key can sign neither way.
function M.sign(claims, private_key, key_id)
  local payload = encode(claims)
  for _, pair in ipairs(ALGORITHMS) do
    local input = encode({ alg = pair[1], typ = "JWT", kid = key_id }) .. "." .. payload
    local signature, message, code = crypto.sign(pair[2], private_key, input)
    if signature then
      return input .. "." .. crypto.base64url(signature)
    end
    if code ~= "invalid_key" then
      error(errors.new("internal", message), 0)
    end
  end
end


return M
