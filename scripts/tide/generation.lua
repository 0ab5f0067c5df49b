-- A generation: configuration, providers and their operations, built whole from sources and
-- never changed afterwards. A provider that does not load is there with its error, the
-- others serve.

local crypto = require "tide.crypto"
local locate = require "tide.locate"
local message = require "tide.message"
local provider = require "tide.provider"
local sandbox = require "tide.sandbox"
local settings = require "tide.settings"
local suggest = require "tide.suggest"
local task = require "tide.task"
local time = require "tide.time"
local view = require "tide.view"

local M = {}

M.MAX_INTEGRATIONS = 1000


-- The first file of a name wins.
local function by_name(files)
  local index = {}
  for _, file in ipairs(files or {}) do
    index[file.name] = index[file.name] or file
  end
  return index
end


local function sorted(members)
  local names = {}
  for name in pairs(members) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end


-- The first 12 hexadecimal digits of the SHA-256 of a file and of what it required.
local function version_of(file, dependencies)
  local parts = { file.text }
  for _, dependency in ipairs(dependencies) do
    parts[#parts + 1] = dependency.path
    parts[#parts + 1] = dependency.text
  end
  return crypto.hex(crypto.digest("sha256", table.concat(parts, "\0"))):sub(1, 12)
end


-- { message, file, line, faults } of faults written as "FILE:LINE: message".
local function error_of(faults, path)
  local words, file, line = locate.split(faults[1])
  if not file and words:sub(1, #path + 2) == path .. ": " then
    words = words:sub(#path + 3)
  end
  if #faults > 1 then
    words = ("%s (and %d more)"):format(words, #faults - 1)
  end
  return { message = words, file = file or path, line = line, faults = faults }
end


-- Loading ---------------------------------------------------------------------------------------


local Build = {}
Build.__index = Build


-- The file behind an integration, and why there is none.
function Build:find_file(name, named)
  local wanted = named and named.provider or name
  local file = self.files[wanted] or (named and self.bundled[wanted])
  if file then
    return file
  end
  local known = {}
  for _, index in ipairs({ self.files, self.bundled }) do
    for other in pairs(index) do
      known[other] = true
    end
  end
  local words = "there is no provider %s%s: neither in the project's providers nor in the binary"
  return nil, words:format(wanted, suggest.hint(wanted, known))
end


-- Runs a provider file in a sandbox of its own: what it returns, or nil and why not.
function Build:run_file(file, dependencies)
  return sandbox.load(file.text, file.path, {
    dependencies = dependencies,
    find = function(name)
      local script = self.scripts[name]
      if script then
        return script.text, script.path
      end
      return nil
    end,
  })
end


-- What was raised while a provider was checked, placed in its file: a line of the framework says
-- nothing.
local function check_fault(path, raised)
  local words, file, line = locate.split(locate.restore(message.clean(raised), path))
  local place = file == path and ("%s:%d"):format(path, line) or path
  return ("%s: %s (while the provider was checked)"):format(place, words)
end


-- Provider, or nil and the faults. The check stays inside the budget: a table can have metamethods.
function Build:load_provider(file, dependencies)
  task.budget(self.config.script_timeout_ms, "loading " .. file.path)
  local ok, loaded, faults = task.guard(function()
    local definition, err = self:run_file(file, dependencies)
    if err then
      return nil, { err }
    end
    return provider.check(definition, file.name, file.path, file.text)
  end)
  task.budget(nil)
  if not ok then
    return nil, { check_fault(file.path, loaded) }
  end
  return loaded, faults
end


-- What may not be changed at run time any more (after an upgrade, say) is left out and said.
function Build:checked_overrides(name)
  local overrides = self.overrides[name]
  if not overrides then
    return nil
  end
  local present = {}
  for key, value in pairs(settings.without_nulls(overrides)) do
    local single = { [key] = value }
    local result = settings.check_integration(single, { name },
      function() return "run-time settings" end)
    if result == true then
      present[key] = value
    else
      self:note(result[1])
    end
  end
  return present
end


function Build:note(fault)
  self.errors[#self.errors + 1] = fault
end


function Build:apply_settings(integration, named)
  local values, sources = settings.effective(integration.name, {
    provider = integration.provider and integration.provider.config,
    defaults = self.config.defaults,
    integration = named,
    getenv = self.getenv,
    overrides = self:checked_overrides(integration.name),
  })
  if not values then
    -- A wrong value of the environment is a fault of the configuration, like one in config.lua.
    table.move(sources, 1, #sources, #self.fatal + 1, self.fatal)
    return
  end
  integration.values = values
  integration.settings = view.readonly(values, "ctx.config")
  integration.settings_sources = sources
end


local function operations_of(integration, definitions)
  local operations = {}
  for name, definition in pairs(definitions) do
    local operation = {}
    for key, value in pairs(definition) do
      operation[key] = value
    end
    operation.integration = integration
    operations[name] = operation
  end
  return operations
end


function Build:integration(name)
  local named = self.config.integrations[name]
  local file, missing = self:find_file(name, named)
  local integration = {
    name = name, type = "api", provider_name = named and named.provider or name, operations = {},
    declared_secrets = {}, loaded_at = time.format(),
  }
  local loaded, faults
  if file then
    local dependencies = {}
    loaded, faults = self:load_provider(file, dependencies)
    integration.path = file.path
    integration.version = version_of(file, dependencies)
    integration.dependencies = dependencies
  else
    faults = { ("%s: %s"):format(self.where({ "integrations", name }), missing) }
  end
  if loaded then
    integration.provider = loaded
    integration.type = loaded.type
    integration.declared_secrets = loaded.secrets
    integration.operations = operations_of(integration, loaded.operations)
  else
    integration.error = error_of(faults, file and file.path or self.config_path)
    table.move(faults, 1, #faults, #self.errors + 1, self.errors)
  end
  self:apply_settings(integration, named)
  return integration
end


-- Whole -----------------------------------------------------------------------------------------


-- Every file of the project, and whatever config.lua names.
function Build:names()
  local names = {}
  for name in pairs(self.files) do
    names[name] = true
  end
  for name in pairs(self.config.integrations) do
    names[name] = true
  end
  return sorted(names)
end


function Build:integrations()
  local integrations, secrets = {}, {}
  for _, name in ipairs(self:names()) do
    integrations[name] = self:integration(name)
    secrets[name] = integrations[name].declared_secrets
  end
  for _, fault in ipairs(settings.variable_conflicts(secrets)) do
    self.fatal[#self.fatal + 1] = self.config_path .. ": " .. fault
  end
  return integrations
end


--- Builds a generation. A fault of the configuration gives nil and all faults; a fault of a
--- provider leaves that one out and is in `generation.errors`.
---
--- sources: `config` (what config.lua returned), `config_path`, `config_text`, `files` and
--- `scripts` (the project's providers and shared scripts, each { name, path, text }), `bundled`
--- (the binary's providers), `overrides` (run-time settings by integration), `version`, `getenv`.
---@param sources table
---@return table|nil generation, string[]? errors each "FILE:LINE: message"
function M.build(sources)
  local config_path = sources.config_path or "config.lua"
  local where = locate.new(config_path, sources.config_text)
  local checked = settings.check_config(sources.config, where)
  if checked ~= true then
    return nil, checked
  end
  local build = setmetatable({
    config = settings.with_defaults(sources.config, config_path), config_path = config_path,
    where = where,
    files = by_name(sources.files), bundled = by_name(sources.bundled),
    scripts = by_name(sources.scripts),
    overrides = sources.overrides or {}, getenv = sources.getenv or function() return nil end,
    errors = {}, fatal = {},
  }, Build)
  local names = build:names()
  if #names > M.MAX_INTEGRATIONS then
    return nil, { ("%s: more than %d integrations"):format(config_path, M.MAX_INTEGRATIONS) }
  end
  local integrations = build:integrations()
  if #build.fatal > 0 then
    return nil, build.fatal
  end
  return { version = sources.version or 1, config = build.config, integrations = integrations,
    errors = build.errors }
end


--- One line that says what a generation holds, for the log.
---@return string
function M.describe(generation)
  local loaded, failed = 0, 0
  for _, integration in pairs(generation.integrations) do
    if integration.error then
      failed = failed + 1
    else
      loaded = loaded + 1
    end
  end
  return message.clean(("version %d: %d integrations loaded, %d not"):format(generation.version,
    loaded, failed))
end


return M
