-- TIDEGATE_MASTER_KEY: what stored secrets are encrypted under. 32 bytes in base64; several, separated by
-- commas, while one takes another's place: the first encrypts, all decrypt.

local crypto = require "tide.crypto"
local host = require "tide.host"
local state = require "tide.state.secrets"

local M = {}

M.VARIABLE = "TIDEGATE_MASTER_KEY"

local KEY_BYTES = 32
local KEYS_MAX = 16
local ID_DIGITS = 8
local MAKE_ONE = "32 bytes in base64, as `openssl rand -base64 32` prints them"

local Keys = {}
Keys.__index = Keys


-- Names a key without telling anything of it.
local function id_of(key)
  return crypto.hex(crypto.digest("sha256", "tidegate key id" .. key)):sub(1, ID_DIGITS)
end


local function split(text)
  local parts = {}
  for part in (text .. ","):gmatch("%s*([^,]-)%s*,") do
    parts[#parts + 1] = part
  end
  return parts
end


-- Redaction has to know them, well-formed or not, before anything can be said about them.
local function conceal(parts)
  for index = 1, math.min(#parts, KEYS_MAX) do
    if parts[index] ~= "" then
      pcall(state.put, "tidegate", "master_key_" .. index, parts[index], "environment")
    end
  end
end


local function fault(words, ...)
  return nil, M.VARIABLE .. ": " .. words:format(...)
end


local function parse(parts)
  if #parts > KEYS_MAX then
    return fault("%d keys, of at most %d", #parts, KEYS_MAX)
  end
  local keys = setmetatable({ by_id = {} }, Keys)
  for index, part in ipairs(parts) do
    local key = crypto.from_base64(part)
    if not key or #key ~= KEY_BYTES then
      return fault("key %d of %d is not %s", index, #parts, MAKE_ONE)
    end
    keys.id = keys.id or id_of(key)
    keys.by_id[id_of(key)] = key
  end
  return keys
end


--- The keys of the environment: false when there are none, nil and what is wrong with them.
---@param getenv? fun(name: string): string|nil
function M.load(getenv)
  local text = (getenv or host.getenv)(M.VARIABLE)
  if text == nil or text == "" then
    return false
  end
  local parts = split(text)
  conceal(parts)
  return parse(parts)
end


--- Encrypts under the first key, for `purpose` and no other.
function Keys:seal(plaintext, purpose)
  return crypto.seal(self.by_id[self.id], plaintext, purpose)
end


--- Whether there is the key that `id` names.
function Keys:has(id)
  return self.by_id[id] ~= nil
end


--- What was sealed under the key that `id` names, for the same purpose; nil when it was not.
function Keys:open(id, sealed, purpose)
  return (crypto.open(self.by_id[id], sealed, purpose))
end


return M
