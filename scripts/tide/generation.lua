-- A generation: configuration, providers and their operations, built whole from sources and
-- never changed afterwards. A provider that does not load is there with its error, the
-- others serve.

local crypto = require "tide.crypto"
local json = require "tide.json"
local locate = require "tide.locate"
local message = require "tide.message"
local provider_file = require "tide.provider_file"
local settings = require "tide.settings"
local settings_type = require "tide.settings.type"
local substitute = require "tide.reload.substitute"
local suggest = require "tide.suggest"
local time = require "tide.time"
local view = require "tide.view"
local sorted = require "tide.sorted"

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


-- What serves in place of a version that was rolled back, as long as the file is that version.
function Build:substitute_of(name, file)
  local found = self.substitutes[name]
  if found and provider_file.version(file, self.scripts, found.dependencies) == found.version then
    return found
  end
end


-- The same as `code_of`, of a substitute; the fourth result is whether it is the substitute's.
function Build:code_instead(before, found)
  local source = substitute.unpack(crypto.from_base64(found.bytes))
  local scripts = by_name(source.scripts)
  if before.code and provider_file.is_same(before.code, source.file, scripts) then
    return before.code, { found.fault }, nil, true
  end
  local code, faults = provider_file.load(source.file, scripts, self.config.script_timeout_ms, self.built_at)
  if code then
    return code, { found.fault }, nil, true
  end
  faults[#faults + 1] = found.fault
  return before.code, faults
end


-- The code of an integration and what is wrong with its file as it is now: then the code of before serves
-- on, when there is one. What did not load is not tried again as long as it is the same (the third result),
-- unless it is asked for: it may run for all the time that it has.
function Build:code_of(name, file)
  local before = self.previous[name] or {}
  local held_back = self.held_back[name]
  if held_back then
    return before.code, held_back
  end
  local instead = self:substitute_of(name, file)
  if instead then
    return self:code_instead(before, instead)
  end
  if before.code and provider_file.is_same(before.code, file, self.scripts) then
    return before.code
  end
  local rejected, attempt = before.rejected, provider_file.attempt(file, self.scripts)
  if not rejected or rejected.attempt ~= attempt or self.tries_again then
    local code, faults = provider_file.load(file, self.scripts, self.config.script_timeout_ms, self.built_at)
    if code then
      return code
    end
    rejected = { attempt = attempt, faults = faults }
  end
  return before.code, rejected.faults, rejected
end


-- What may not be changed at run time any more (after an upgrade, say) is left out and said.
function Build:checked_overrides(name)
  local present, notes = {}, {}
  for key, value in pairs(settings.without_nulls(self.overrides[name] or {})) do
    local single = { [key] = value }
    local result = settings.check_integration(single, { name },
      function() return "run-time settings" end)
    if result == true then
      present[key] = value
    else
      notes[#notes + 1] = result[1]
    end
  end
  return present, notes
end


function Build:apply_settings(integration)
  local overrides, notes = self:checked_overrides(integration.name)
  local values, sources = settings.effective(integration.name, {
    provider = integration.provider and integration.provider.config,
    defaults = self.config.defaults,
    integration = self.config.integrations[integration.name],
    getenv = self.getenv,
    overrides = overrides,
  })
  if not values then
    -- A wrong value of the environment is a fault of the configuration, like one in config.lua.
    table.move(sources, 1, #sources, #self.fatal + 1, self.fatal)
    return
  end
  integration.notes = notes
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


-- What an integration is by its code, and not by its settings.
local function with_code(integration, code)
  local loaded = code.provider
  integration.code = code
  integration.path, integration.version, integration.dependencies = code.path, code.version, code.dependencies
  integration.loaded_at = code.loaded_at
  integration.provider, integration.type, integration.declared_secrets = loaded, loaded.type, loaded.secrets
end


-- An integration as its code and its error say; settings and operations come after.
function Build:new_integration(name, code, err)
  local named = self.config.integrations[name]
  local integration = {
    name = name, type = "api", provider_name = named and named.provider or name, operations = {},
    declared_secrets = {}, loaded_at = self.built_at, error = err,
  }
  if code then
    with_code(integration, code)
  elseif err then
    integration.path = err.file
  end
  self:apply_settings(integration)
  if code and integration.values then
    integration.operations = operations_of(integration, code.provider.operations)
  end
  return integration
end


-- What cannot be written as JSON is the same as nothing.
local function same(left, right)
  local text = json.encode(left, { canonical = true })
  return text ~= nil and text == json.encode(right, { canonical = true })
end


-- Whether an integration is what it was in the generation before, so that the old one goes on.
local function is_unchanged(before, now)
  return before ~= nil and before.code == now.code and before.provider_name == now.provider_name
    and same(before.error or false, now.error or false) and same(before.notes, now.notes)
    and same(before.values, now.values) and same(before.settings_sources, now.settings_sources)
end


function Build:integration(name)
  local file, missing = self:find_file(name, self.config.integrations[name])
  local code, faults, rejected, is_substitute
  if file then
    code, faults, rejected, is_substitute = self:code_of(name, file)
  else
    faults = { ("%s: %s"):format(self.where({ "integrations", name }), missing) }
  end
  local err = faults and error_of(faults, file and file.path or self.config_path)
  local before, integration = self.previous[name], self:new_integration(name, code, err)
  integration.rejected, integration.is_substitute = rejected, is_substitute
  return integration.values and is_unchanged(before, integration) and before or integration
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
  return sorted.names(names)
end


function Build:integrations()
  local integrations, secrets = {}, {}
  for _, name in ipairs(self:names()) do
    integrations[name] = self:integration(name)
    -- A file whose name is none of an integration reads no variables.
    secrets[name] = settings_type.is_name(name) and integrations[name].declared_secrets or nil
  end
  for _, fault in ipairs(settings.variable_conflicts(secrets)) do
    self.fatal[#self.fatal + 1] = self.config_path .. ": " .. fault
  end
  return integrations
end


-- All that is wrong with integrations: each "FILE:LINE: message".
local function errors_of(integrations)
  local errors = {}
  for _, name in ipairs(sorted.names(integrations)) do
    local integration = integrations[name]
    local faults, notes = integration.error and integration.error.faults or {}, integration.notes
    table.move(faults, 1, #faults, #errors + 1, errors)
    table.move(notes, 1, #notes, #errors + 1, errors)
  end
  return errors
end


local function finish(build, integrations)
  if #build.fatal > 0 then
    return nil, build.fatal
  end
  return { version = build.version, config = build.config, integrations = integrations,
    errors = errors_of(integrations), settings_version = build.settings_version, overrides = build.overrides,
    build = build }
end


--- Builds a generation. A fault of the configuration gives nil and all faults; a fault of a
--- provider leaves that one out, or as it was in the generation before, and is in `generation.errors`.
--- What is as it was is the same table.
---
--- sources: `config` (what config.lua returned), `config_path`, `config_text`, `files` and
--- `scripts` (the project's providers and shared scripts, each { name, path, text }), `bundled`
--- (the binary's providers), `overrides` (run-time settings by integration) and their
--- `settings_version`, `version`, `getenv`, `previous` (the generation before), `held_back` (by
--- integration, the faults for which its file is not to be loaded), `tries_again` (what did not load before),
--- `built_at`, `substitutes` (by integration, what serves in place of a version that was rolled back:
--- reload/rollback.lua).
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
    where = where, version = sources.version or 1, settings_version = sources.settings_version or 0,
    files = by_name(sources.files), bundled = by_name(sources.bundled),
    scripts = by_name(sources.scripts),
    overrides = sources.overrides or {}, getenv = sources.getenv or function() return nil end,
    previous = sources.previous and sources.previous.integrations or {}, held_back = sources.held_back or {},
    substitutes = sources.substitutes or {}, tries_again = sources.tries_again,
    built_at = sources.built_at or time.format(), fatal = {},
  }, Build)
  local names = build:names()
  if #names > M.MAX_INTEGRATIONS then
    return nil, { ("%s: more than %d integrations"):format(config_path, M.MAX_INTEGRATIONS) }
  end
  local integrations = build:integrations()
  -- The texts are not needed any more.
  build.files, build.bundled, build.scripts, build.previous = nil, nil, nil, nil
  build.held_back, build.substitutes = nil, nil
  return finish(build, integrations)
end


--- The same generation with other run-time settings: integrations whose settings are as they were are the
--- same tables, the others are made anew on the same code. nil and the faults.
---@param built table a generation
---@param overrides table<string, table> run-time settings by integration
---@param settings_version integer
---@return table|nil generation, string[]? errors
function M.with_overrides(built, overrides, settings_version)
  local build = setmetatable({}, Build)
  for key, value in next, built.build do
    build[key] = value
  end
  build.overrides, build.settings_version, build.fatal = overrides, settings_version, {}
  local integrations = {}
  for name, integration in pairs(built.integrations) do
    local before, now = built.overrides[name], overrides[name]
    local is_same = before == now or same(before or {}, now or {}) -- most have none
    local new = is_same and integration or build:new_integration(name, integration.code, integration.error)
    new.rejected, new.is_substitute = integration.rejected, integration.is_substitute
    integrations[name] = new
  end
  return finish(build, integrations)
end


--- One line that says what a generation holds, for the log.
---@return string
function M.describe(generation)
  local loaded, failed = 0, 0
  for _, integration in pairs(generation.integrations) do
    if integration.provider then
      loaded = loaded + 1
    else
      failed = failed + 1
    end
  end
  return message.clean(("version %d: %d integrations loaded, %d not"):format(generation.version,
    loaded, failed))
end


return M
