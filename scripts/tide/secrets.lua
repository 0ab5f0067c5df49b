-- The secrets of integrations: read from the environment when a generation is built, kept
-- in the one process-wide table, read at use. Their values go nowhere else.

local host = require "tide.host"
local errors = require "tide.errors"
local settings = require "tide.settings"
local state = require "tide.state.secrets"

local M = {}

local FILE_BYTES_MAX = 65536
-- Kept by the host for the integration, not declared by it (see auth/kept_token.lua).
local HOST_KEPT = "^auth:"


-- Whose secrets these are. Specs run integrations of the same name side by side.
function M.owner(integration)
  return integration.owner or integration.name
end


local function from_file(path, variable)
  local text, message = host.read_file(path, FILE_BYTES_MAX)
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


-- A token that was fetched with the old secret is of no use with the new one.
local function drop_tokens(owner)
  for _, entry in ipairs(state.list(owner)) do
    if entry.name:match(HOST_KEPT) then
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


local function load_one(getenv, integration, name)
  local _, _, stored = state.get(M.owner(integration), name)
  if stored == "stored" then
    return nil
  end
  local value, source, message = read(getenv, integration, name)
  if value then
    M.put(integration, name, value, source)
  elseif message == nil then
    take_away(integration, name)
  end
  return message
end


-- Reads the declared secrets of every integration of a generation. A file that cannot be
-- read leaves the value as it was; the list of such faults is returned.
function M.load(generation, getenv)
  local faults = {}
  for _, integration in pairs(generation.integrations) do
    for name in pairs(integration.declared_secrets) do
      faults[#faults + 1] = load_one(getenv or host.getenv, integration, name)
    end
  end
  return faults
end


-- The value of a declared secret, and its version, which is another with each change; raises
-- `not_configured`, naming it and where to set it.
function M.current(integration, name)
  local value, version = state.get(M.owner(integration), name)
  if value == nil then
    local variable = settings.variable(integration.name, name)
    error(errors.new("not_configured", string.format("the secret %s of %s is missing: set %s or %s_FILE", name,
      integration.name, variable, variable), { integration = integration.name }), 0)
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


-- A number that changes whenever a declared secret does.
function M.fingerprint(integration)
  local owner = M.owner(integration)
  local parts = {}
  for name in pairs(integration.declared_secrets) do
    local _, version = state.get(owner, name)
    parts[#parts + 1] = name .. ":" .. tostring(version)
  end
  table.sort(parts)
  return table.concat(parts, ",")
end


return M
