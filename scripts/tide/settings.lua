-- The layers of configuration: reading config.lua, checking keys, and for each integration
-- the effective values with where each came from.

local json = require "tide.json"
local locate = require "tide.locate"
local message = require "tide.message"
local schema = require "tide.settings.schema"
local settings_type = require "tide.settings.type"
local suggest = require "tide.suggest"
local task = require "tide.task"
local view = require "tide.view"
local sorted = require "tide.sorted"

local M = {}

M.MAX_CONFIG_BYTES = 1024 * 1024

-- CPU time for config.lua, which is read before its own limits are known.
local BUDGET_MS = 1000

--- The layers, lowest first, as `effective` names them in its sources.
M.LAYERS = { "built-in", "provider", "defaults", "integration", "environment", "run-time" }

-- Variables that mean something to the service itself.
local RESERVED_VARIABLES = {
  TIDEGATE_MASTER_KEY = "the master key of stored secrets",
  TIDEGATE_MASTER_KEY_FILE = "the file of the master key",
}


-- Reading ---------------------------------------------------------------------------------------


-- "dir/x/config.lua" -> "dir/x"; "config.lua" -> nil.
local function folder_of(path)
  return path:match("^(.*)/[^/]*$")
end


local function resolve(folder, path)
  if folder == nil or path:sub(1, 1) == "/" then
    return path
  end
  return folder .. "/" .. path
end


local function resolve_text(folder, text)
  local scheme, rest = text:match("^(sqlite:)(.+)$")
  if not scheme then
    scheme, rest = text:match("^(unix:)(.+)$")
  end
  if not scheme or rest:match("^:memory:") then
    return text
  end
  return scheme .. resolve(folder, rest)
end


local function each_text(value, change)
  if type(value) == "string" then
    return change(value)
  end
  if type(value) ~= "table" then
    return value
  end
  local result = {}
  for name, text in next, value do
    result[name] = type(text) == "string" and change(text) or text
  end
  return result
end


-- Paths become relative to the folder of config.lua. What has the wrong type stays for the check.
local function resolve_paths(config, folder)
  for _, key in ipairs(schema.top) do
    if key.path or key.type == "tls" then
      config[key.name] = each_text(config[key.name],
        function(text) return resolve(folder, text) end)
    end
  end
  for _, name in ipairs({ "store", "listen" }) do
    config[name] = each_text(config[name], function(text) return resolve_text(folder, text) end)
  end
end


local function make_env(getenv)
  return function(name, default)
    if type(name) ~= "string" then
      error("env expects the name of a variable, got " .. type(name), 2)
    end
    local value = getenv(name)
    if value == nil then
      return default
    end
    return value
  end
end


local function missing_global(_, name)
  local shown = message.clean(tostring(name), 100)
  error(("config.lua sees `env` and nothing else: %s is not available"):format(shown), 2)
end


local function evaluate(path, text, getenv)
  if #text > M.MAX_CONFIG_BYTES then
    return nil, path .. ": larger than " .. M.MAX_CONFIG_BYTES .. " bytes"
  end
  local environment = setmetatable({ env = make_env(getenv) },
    { __index = missing_global, __metatable = false })
  local chunk, err = load(text, "@" .. path, "t", environment)
  if not chunk then
    -- The compiler's own stack ran out: a message handler around us has made a table of that.
    local words = type(err) == "string" and locate.restore(err, path) or path .. ": it is nested too deeply"
    return nil, message.clean(words)
  end
  local ok, config, kind = task.guard(chunk)
  if not ok then
    local words = locate.restore(message.clean(config), path)
    if kind then
      words = path .. ": stopped: " .. words
    elseif not words:find(path, 1, true) then
      words = path .. ": " .. words
    end
    return nil, words
  end
  if type(config) ~= "table" then
    return nil, ("%s: must return a table, got %s"):format(path, message.article(type(config)))
  end
  local copied, result = pcall(view.copy, config)
  if not copied then
    return nil, path .. ": " .. message.clean(result)
  end
  resolve_paths(result, folder_of(path))
  return result, locate.new(path, text)
end


--- Evaluates config.lua, which sees `env(name, default)` and nothing else, within a budget of its own. Values
--- are not checked yet; paths are resolved against its folder.
---@param path string shown in messages
---@param text string
---@param getenv fun(name: string): string|nil
---@return table|nil config, string|fun(keys): string err_or_locate
function M.load(path, text, getenv)
  local ok, config, where = task.bounded(BUDGET_MS, "loading " .. path, evaluate, path, text, getenv)
  if not ok then
    return nil, ("%s: stopped: %s"):format(path, message.clean(config))
  end
  return config, where
end


-- Checking --------------------------------------------------------------------------------------


-- Checks the members of one table against the keys that exist. `note(keys, words)` takes each
-- fault.
local function check_members(members, known, prefix, note)
  for _, name in ipairs(sorted.keys(members)) do
    local key = known[name]
    local path = table.move(prefix, 1, #prefix, 1, {})
    path[#path + 1] = name
    if not key then
      note(path, "unknown key" .. suggest.hint(name, known))
    else
      local fault = settings_type.fault(key, members[name])
      if fault then
        note(path, fault)
      end
    end
  end
end


local function shown_path(keys)
  local parts = {}
  for i, key in ipairs(keys) do
    parts[i] = message.clean(tostring(key), 100)
  end
  return table.concat(parts, ".")
end


local function collector(where)
  local errors = {}
  return errors, function(keys, words)
    errors[#errors + 1] = ("%s: %s: %s"):format(where(keys), shown_path(keys), words)
  end
end


--- Checks a table of integration keys (a provider's `config`, `defaults`, one integration, a
--- PATCH).
---@param members table
---@param prefix string[] where it stands, for messages
---@param where fun(keys): string
---@return true|string[] true, or each fault as "FILE:LINE: key: what was expected"
function M.check_integration(members, prefix, where)
  local errors, note = collector(where)
  if type(members) ~= "table" then
    note(prefix, "expected a table, got " .. message.article(type(members)))
  else
    check_members(members, schema.integration_by_name, prefix, note)
  end
  return #errors == 0 or errors
end


local function check_integrations(integrations, note)
  for _, name in ipairs(sorted.keys(integrations)) do
    local members = integrations[name]
    local path = { "integrations", name }
    if not settings_type.is_name(name) then
      note(path, "the name of an integration is " .. settings_type.NAME_RULE)
    elseif type(members) ~= "table" then
      note(path, "expected a table, got " .. message.article(type(members)))
    else
      check_members(members, schema.integration_by_name, path, note)
    end
  end
end


--- Checks a whole config.lua.
---@param config table
---@param where? fun(keys): string from `load`
---@return true|string[] true, or each fault as "FILE:LINE: key: what was expected"
function M.check_config(config, where)
  local errors, note = collector(where or locate.new("config.lua"))
  if type(config) ~= "table" then
    note({ "config" }, "expected a table, got " .. message.article(type(config)))
    return errors
  end
  check_members(config, schema.top_by_name, {}, note)
  if type(config.defaults) == "table" then
    check_members(config.defaults, schema.integration_by_name, { "defaults" }, note)
    if config.defaults.provider ~= nil then
      note({ "defaults", "provider" }, "belongs to one integration, not to all")
    end
  end
  if type(config.integrations) == "table" then
    check_integrations(config.integrations, note)
  end
  return #errors == 0 or errors
end


--- The top keys with the built-in value where config.lua says nothing. `path` is that of
--- config.lua.
---@param config table checked
---@param path? string
---@return table
function M.with_defaults(config, path)
  local values = {}
  for _, key in ipairs(schema.top) do
    if key.default ~= nil then
      values[key.name] = view.copy(key.default)
    end
  end
  resolve_paths(values, path and folder_of(path))
  for name, value in next, config do
    values[name] = value
  end
  return values
end


-- Environment -----------------------------------------------------------------------------------


--- The variable of an integration's key or secret: TIDEGATE_NICE_DNB_BASE_URL.
---@return string
function M.variable(integration, key)
  return ("TIDEGATE_%s_%s"):format(integration, key):upper()
end


local function claim(taken, variable, owner, errors)
  local other = taken[variable] or RESERVED_VARIABLES[variable]
  if other then
    errors[#errors + 1] = ("%s would set both %s and %s: rename one of them"):format(variable,
      other, owner)
  else
    taken[variable] = owner
  end
end


--- Names that would share a variable of the environment.
---@param secrets table<string, table<string, any>> the declared secrets of each integration, by
--- name
---@return string[] errors
function M.variable_conflicts(secrets)
  local taken, errors = {}, {}
  for _, integration in ipairs(sorted.keys(secrets)) do
    for _, key in ipairs(schema.integration) do
      if key.live then
        claim(taken, M.variable(integration, key.name), integration .. "." .. key.name, errors)
      end
    end
    for _, secret in ipairs(sorted.keys(secrets[integration])) do
      local owner = ("the secret %s of %s"):format(secret, integration)
      claim(taken, M.variable(integration, secret), owner, errors)
      claim(taken, M.variable(integration, secret) .. "_FILE", owner .. " (its file)", errors)
    end
  end
  return errors
end


-- Layers ----------------------------------------------------------------------------------------


local function is_object(value)
  return type(value) == "table" and value ~= json.null and not json.is_array(value) and #value == 0
end


-- JSON Merge Patch (RFC 7396) of `patch` into `target`, noting which layer each member came from.
local function merge(target, patch, sources, prefix, layer)
  for name, value in next, patch do
    local path = prefix .. "." .. name
    if value == json.null then
      target[name] = nil
      sources[path] = nil
    elseif is_object(value) then
      if not is_object(target[name]) then
        target[name] = {}
      end
      sources[path] = layer
      merge(target[name], value, sources, path, layer)
    else
      target[name] = view.copy(value)
      sources[path] = layer
    end
  end
end


--- A copy of `target` with `patch` merged in.
---@return table
function M.merge(target, patch)
  local result = view.copy(target)
  merge(result, patch, {}, "", "")
  return result
end


local function apply_layer(values, sources, layer, name)
  for key, value in next, layer do
    if value ~= json.null and schema.integration_by_name[key] then
      if key == "extra_config" and is_object(value) then
        merge(values.extra_config, value, sources, "extra_config", name)
      else
        values[key] = view.copy(value)
      end
      sources[key] = name
    end
  end
end


--- `members` without those that are null: a null column overrides nothing.
---@return table
function M.without_nulls(members)
  local result = {}
  for name, value in next, members do
    if value ~= json.null then
      result[name] = value
    end
  end
  return result
end


local function built_in()
  local layer = {}
  for _, key in ipairs(schema.integration) do
    if key.default ~= nil then
      layer[key.name] = key.default
    end
  end
  return layer
end


-- What the environment says about an integration; only known names are looked up.
local function environment_layer(integration, getenv)
  local layer, errors = {}, {}
  for _, key in ipairs(schema.integration) do
    local variable = M.variable(integration, key.name)
    local text = key.live and getenv(variable) or nil
    if text then
      local value, fault = settings_type.parse(key, text)
      if value == nil then
        errors[#errors + 1] = ("%s: %s.%s: %s"):format(variable, integration, key.name, fault)
      end
      layer[key.name] = value
    end
  end
  return layer, errors
end


--- The effective values of an integration, and the layer that each came from (members of
--- `extra_config` under "extra_config.NAME").
---@param name string
---@param layers table checked tables `provider`, `defaults`, `integration`, `overrides`, and the
--- function `getenv`; each may be left out
---@return table|nil values, table sources_or_errors
function M.effective(name, layers)
  local environment, errors = {}, {}
  if layers.getenv then
    environment, errors = environment_layer(name, layers.getenv)
  end
  if #errors > 0 then
    return nil, errors
  end
  local values, sources = { extra_config = {} }, {}
  apply_layer(values, sources, built_in(), "built-in")
  apply_layer(values, sources, layers.provider or {}, "provider")
  apply_layer(values, sources, layers.defaults or {}, "defaults")
  apply_layer(values, sources, layers.integration or {}, "integration")
  apply_layer(values, sources, environment, "environment")
  apply_layer(values, sources, layers.overrides or {}, "run-time")
  return values, sources
end


return M
