-- Message authentication codes of webhooks: read from a header, and held against each active secret
-- in constant time.

local crypto = require "tide.crypto"

local M = {}

-- More are not looked at: each costs time, and none of them has to be right.
M.SIGNATURES_MAX = 32

M.BYTES = { sha256 = 32, sha1 = 20, sha384 = 48, sha512 = 64 }

M.NO_MATCH = "no secret matches"

local DECODE = { hex = crypto.from_hex, base64 = crypto.from_base64 }
local ENCODE = { hex = crypto.hex, base64 = crypto.base64 }
local NAMES = { hex = "hexadecimal", base64 = "base64" }


-- How long a code of so many bytes is as text.
function M.text_length(encoding, length)
  return encoding == "hex" and 2 * length or (length + 2) // 3 * 4
end


-- The bytes of one code; nil and what is wrong with it.
function M.read(text, encoding, length)
  local bytes = DECODE[encoding](text)
  if not bytes then
    return nil, "is not " .. NAMES[encoding]
  end
  if #bytes ~= length then
    return nil, ("has %d bytes where a signature has %d"):format(#bytes, length)
  end
  return bytes
end


-- The bytes of all codes in `texts` that can be read; nil and what is wrong with the first when none can.
function M.read_all(texts, encoding, length)
  if #texts > M.SIGNATURES_MAX then
    return nil, ("has more than %d signatures"):format(M.SIGNATURES_MAX)
  end
  local list, fault = {}, nil
  for _, text in ipairs(texts) do
    local bytes, words = M.read(text, encoding, length)
    list[#list + 1] = bytes
    fault = fault or words
  end
  if #list == 0 then
    return nil, fault or "has no signature"
  end
  return list
end


-- The key of a secret. An empty one would let everybody sign.
local function key_of(secret, decode)
  local key = secret.value
  if decode then
    key = decode(key)
  end
  return key ~= "" and key or nil
end


-- The id of the secret under which one of `given` (bytes) is the code of `content`; nil and why not.
-- `decode` makes a key of a secret's text, or nil.
function M.match(algorithm, secrets, content, given, decode)
  local is_usable = false
  for _, secret in ipairs(secrets) do
    local key = key_of(secret, decode)
    if key then
      is_usable = true
      local expected = crypto.hmac(algorithm, key, content)
      for index = 1, #given do
        if crypto.equal(expected, given[index]) then
          return secret.id
        end
      end
    end
  end
  return nil, is_usable and M.NO_MATCH or "no secret is fit to be a key"
end


-- The code of `content` as text.
function M.write(algorithm, key, content, encoding)
  return ENCODE[encoding](crypto.hmac(algorithm, key, content))
end


-- The bytes of base64, with or without padding, in either alphabet; nil when it is none.
function M.from_base64(text)
  return crypto.from_base64(text) or crypto.from_base64url(text)
    or crypto.from_base64(text .. ("="):rep(-#text % 4))
end


-- Whether two texts are the same, without telling how long the expected one is.
function M.same(given, expected)
  return crypto.equal(crypto.digest("sha256", given), crypto.digest("sha256", expected))
end


return M
