-- Signatures of webhooks that are made with a private key: each active public key is tried.

local crypto = require "tide.crypto"
local mac = require "tide.webhook.mac"

local M = {}


local function matches(algorithm, key, content, given)
  for _, signature in ipairs(given) do
    local valid = crypto.verify(algorithm, key, content, signature)
    if valid == nil then
      return nil
    end
    if valid then
      return true
    end
  end
  return false
end


-- The id of the secret whose public key made one of `given` (bytes) for `content`; nil and why not.
-- `key_of` makes a key for crypto.verify of a secret's text, or nil.
function M.match(algorithm, secrets, content, given, key_of)
  local is_usable = false
  for _, secret in ipairs(secrets) do
    local key = key_of(secret.value)
    local found = key and matches(algorithm, key, content, given)
    if found then
      return secret.id
    end
    is_usable = is_usable or found == false
  end
  return nil, is_usable and mac.NO_MATCH or "no secret is a public key that can be used"
end


-- The signature of `content`; raises when the key is none.
function M.sign(algorithm, private_key, content)
  local signature, message = crypto.sign(algorithm, private_key, content)
  return signature or error(message, 3)
end


return M
