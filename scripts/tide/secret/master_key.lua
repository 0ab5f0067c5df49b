-- TIDEGATE_MASTER_KEY: what stored secrets are encrypted under. 32 bytes in base64; several, separated by
-- commas, while one takes another's place: the first encrypts, all decrypt.
--
-- TIDEGATE_MASTER_KEY_FILE names a file with the same. The main worker reads it, at the start and when it
-- changes (secret/files.lua); other workers find what it held in the table of secrets.

local crypto = require "tide.crypto"
local host = require "tide.host"
local state = require "tide.state.secrets"

local M = {}

M.VARIABLE = "TIDEGATE_MASTER_KEY"
M.FILE_VARIABLE = M.VARIABLE .. "_FILE"

local OWNER = "tidegate"
local FILE_ENTRY = "master_key_file"
local FILE_BYTES_MAX = 4096
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
      pcall(state.put, OWNER, "master_key_" .. index, parts[index], "environment")
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


--- The file with the keys; nil when there is none, or the variable itself holds them.
---@param getenv? fun(name: string): string|nil
---@return string|nil
function M.path(getenv)
  getenv = getenv or host.getenv
  local text, path = getenv(M.VARIABLE), getenv(M.FILE_VARIABLE)
  if (text == nil or text == "") and path ~= "" then
    return path
  end
end


-- A pipe can be read once, and never while others wait for this worker.
local function is_read_already(path)
  return host.stat(path) == "other" and state.get(OWNER, FILE_ENTRY) ~= nil
end


--- Takes what the file holds now, if the keys are in one, for all workers; nil and a message when it cannot
--- be read or holds none: what it held before stays.
---@param getenv? fun(name: string): string|nil
---@return true|nil, string? message
function M.read_file(getenv)
  local path = M.path(getenv)
  if path == nil or is_read_already(path) then
    return true
  end
  local text, message = host.read_file(path, FILE_BYTES_MAX)
  if text == nil then
    return nil, ("%s: could not read %s: %s"):format(M.FILE_VARIABLE, path, message)
  end
  text = text:match("^%s*(.-)%s*$")
  if text == "" then
    return nil, ("%s: %s is empty"):format(M.FILE_VARIABLE, path)
  end
  conceal(split(text))
  if not pcall(state.put, OWNER, FILE_ENTRY, text, "file") then
    return nil, M.FILE_VARIABLE .. ": the process holds as many secrets as it can"
  end
  return true
end


local function text_of(getenv)
  if M.path(getenv) then
    return (state.get(OWNER, FILE_ENTRY))
  end
  return (getenv or host.getenv)(M.VARIABLE)
end


--- The keys of the environment: false when there are none, nil and what is wrong with them.
---@param getenv? fun(name: string): string|nil
function M.load(getenv)
  local text = text_of(getenv)
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
