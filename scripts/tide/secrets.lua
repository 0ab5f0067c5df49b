-- The secrets of integrations: read from the environment when a generation is built, or from the
-- store (secret/store.lua); kept in the one process-wide table, read at use. Their values go nowhere
-- else.
--
-- A secret that was rotated has two entries there for a while: NAME, and NAME:previous, which expires.

local host = require "tide.host"
local slots = require "tide.state.slots"
local state = require "tide.state.secrets"
local time = require "tide.time"
local errors = require "tide.errors"
local faults = require "tide.secret.faults"
local settings = require "tide.settings"

local M = {}

M.FILE_BYTES_MAX = 65536
local HOST_KEPT = "^auth:"
local LOCK = "tidegate:secrets"
local LOCK_SECONDS = 15
-- To read two values of one moment while others change.
local TRIES_MAX = 100


-- Whose secrets these are. Specs run integrations of the same name side by side.
function M.owner(integration)
  return integration.owner or integration.name
end


-- Under which the value of before a rotation lies.
function M.previous_name(name)
  return name .. ":previous"
end


-- The secret that an entry of the table, current or previous, is of.
function M.declared_name(name)
  return (name:gsub(":previous$", ""))
end


-- Whether it is not declared, but kept by the host for the integration (see auth/kept_token.lua).
function M.is_kept_by_host(name)
  return name:find(HOST_KEPT) ~= nil
end


-- One who changes secrets at a time, over all workers: a slot to be closed; nil and an error.
function M.enter()
  local cell = slots.of(LOCK)
  cell:configure(1)
  local slot, retry_after = cell:enter(LOCK_SECONDS)
  if slot == nil then
    return nil, errors.new("overloaded", "too many secrets are being changed", { retry_after = retry_after })
  end
  return slot
end


local function from_file(path, variable)
  local text, message = host.read_file(path, M.FILE_BYTES_MAX)
  if text == nil then
    return nil, string.format("%s: could not read %s: %s", variable, path, message)
  end
  return (text:gsub("\r?\n$", ""))
end


-- The environment's value of a secret: `value, source`, nil when there is none, or nil, nil
-- and a message.
local function read(getenv, integration, name)
  local variable = settings.variable(integration.name, name)
  local value = getenv(variable)
  if value and value ~= "" then
    return value, "environment"
  end
  local path = getenv(variable .. "_FILE")
  if path == nil or path == "" then
    return nil
  end
  local text, message = from_file(path, variable .. "_FILE")
  if text == nil then
    return nil, nil, message
  end
  return text ~= "" and text or nil, "file"
end


-- A message when the value would come from a pipe: it can be read once, at the start, and never while
-- others wait for this worker.
local function pipe_of(getenv, integration, name)
  local variable = settings.variable(integration.name, name)
  local value, path = getenv(variable), getenv(variable .. "_FILE")
  if (value == nil or value == "") and path ~= nil and host.stat(path) == "other" then
    return ("%s_FILE: %s is no file that could be read again: start the service anew"):format(variable, path)
  end
end


-- A token that was fetched with the old secret is of no use with the new one.
local function drop_tokens(owner)
  for _, entry in ipairs(state.list(owner)) do
    if M.is_kept_by_host(entry.name) then
      state.remove(owner, entry.name)
    end
  end
end


-- Puts a secret into place; tokens are dropped when it is another than before.
function M.put(integration, name, value, source)
  local owner = M.owner(integration)
  local before = state.get(owner, name)
  state.put(owner, name, value, source)
  if before ~= nil and before ~= value then
    drop_tokens(owner)
  end
end


local function take_away(integration, name)
  local owner = M.owner(integration)
  if state.remove(owner, name) then
    drop_tokens(owner)
  end
end


-- What the environment says now takes effect; a value that cannot be read or held leaves the one of before.
local function place(getenv, integration, name)
  local value, source, message = read(getenv, integration, name)
  if value then
    local ok, raised = pcall(M.put, integration, name, value, source)
    message = not ok and tostring(raised):gsub("^[^ ]*:%d+: ", "") or nil
  elseif message == nil then
    take_away(integration, name)
  end
  return message
end


-- The environment is not asked for what is stored, even when that cannot be opened.
local function is_stored(owner, name)
  local _, _, source = state.get(owner, name)
  return source == "stored" or faults.find(owner, name) ~= nil
end


-- Reads one declared secret from the environment, unless it is stored; a message when that fails.
function M.load_one(getenv, integration, name)
  if is_stored(M.owner(integration), name) then
    return nil
  end
  return place(getenv, integration, name)
end


-- Reads the declared secrets of every integration of a generation. A file that cannot be
-- read leaves the value as it was; the list of such faults is returned.
function M.load(generation, getenv)
  local found = {}
  for _, integration in pairs(generation.integrations) do
    for name in pairs(integration.declared_secrets) do
      found[#found + 1] = M.load_one(getenv or host.getenv, integration, name)
    end
  end
  return found
end


-- Puts stored values into effect, at one time: { value, previous, expires_at }. Raises when the process
-- cannot hold them.
function M.hold(integration, name, held)
  local owner = M.owner(integration)
  local before = state.get(owner, name)
  state.rotate(owner, name, held.value, M.previous_name(name), held.previous, held.expires_at)
  if before ~= nil and before ~= held.value then
    drop_tokens(owner)
  end
end


-- Ends the stored values of a secret: that of the environment takes their place, or none. A message
-- when its file cannot be read.
function M.release(integration, name, getenv)
  getenv = getenv or host.getenv
  state.remove(M.owner(integration), M.previous_name(name))
  local message = pipe_of(getenv, integration, name) or place(getenv, integration, name)
  if message then
    take_away(integration, name)
  end
  return message
end


-- Using -------------------------------------------------------------------------------------------


-- The value of before, as long as it is good: `value, expires_at`.
local function previous_of(owner, name)
  local previous_name = M.previous_name(name)
  local value, version, _, expires_at = state.get(owner, previous_name)
  if value == nil or expires_at == nil or expires_at > time.now() then
    return value, expires_at
  end
  state.remove(owner, previous_name, version)
  return nil
end


-- The values of a secret that are good now: `current, previous, expires_at`, nil where there is none. Of
-- one moment: one of before a rotation and one of after it would leave out a third that was good all along.
function M.pair(integration, name)
  local owner = M.owner(integration)
  local current, previous, expires_at
  for _ = 1, TRIES_MAX do
    local changes = state.changes()
    current = state.get(owner, name)
    previous, expires_at = previous_of(owner, name)
    if state.changes() == changes then
      break
    end
  end
  return current, previous, expires_at
end


-- The values of a secret that are good now, for whoever checks what others have made with them: a list of
-- { value, id }, the current one first, its id NAME, then NAME:previous. Empty when there is none.
function M.active(integration, name)
  local current, previous = M.pair(integration, name)
  local list = {}
  if current then
    list[1] = { value = current, id = name }
  end
  if previous then
    list[#list + 1] = { value = previous, id = M.previous_name(name) }
  end
  return list
end


-- Where a secret comes from (nil: it is missing), and when its previous value expires.
function M.describe(integration, name)
  local owner = M.owner(integration)
  local _, _, source = state.get(owner, name)
  local _, expires_at = previous_of(owner, name)
  return source, expires_at
end


local function missing_words(integration, name)
  local fault = faults.find(M.owner(integration), name)
  if fault then
    return string.format("the secret %s of %s %s", name, integration.name, fault)
  end
  local variable = settings.variable(integration.name, name)
  return string.format("the secret %s of %s is missing: set %s or %s_FILE", name, integration.name, variable, variable)
end


-- The value of a declared secret, and its version, which is another with each change; raises
-- `not_configured`, naming it and where to set it.
function M.current(integration, name)
  local value, version = state.get(M.owner(integration), name)
  if value == nil then
    error(errors.new("not_configured", missing_words(integration, name), { integration = integration.name }), 0)
  end
  return value, version
end


-- The value alone.
function M.value(integration, name)
  return (M.current(integration, name))
end


-- Declared secrets that have no value, sorted.
function M.missing(integration)
  local names = {}
  for name in pairs(integration.declared_secrets) do
    if state.get(M.owner(integration), name) == nil then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end


-- Forgets everything of an integration (one that is gone; a spec's that has ended).
function M.forget(integration)
  local owner = M.owner(integration)
  for _, entry in ipairs(state.list(owner)) do
    state.remove(owner, entry.name)
  end
end


local function fingerprint(integration)
  local owner = M.owner(integration)
  local parts = {}
  for name in pairs(integration.declared_secrets) do
    local _, version = state.get(owner, name)
    parts[#parts + 1] = name .. ":" .. tostring(version)
  end
  table.sort(parts)
  return table.concat(parts, ",")
end


-- By integration, with the number of changes before it was made.
local fingerprints = setmetatable({}, { __mode = "k" })


-- A text that changes whenever a declared secret does.
function M.fingerprint(integration)
  local changes = state.changes()
  local known = fingerprints[integration]
  if known == nil or known.changes ~= changes then
    known = { changes = changes, text = fingerprint(integration) }
    fingerprints[integration] = known
  end
  return known.text
end


return M
