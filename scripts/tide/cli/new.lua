-- `tidegate new provider`: an integration to begin with, in a project that is there.

local command_line = require "tide.command_line"
local created = require "tide.created"
local host = require "tide.host"
local message = require "tide.message"
local output = require "tide.output"
local project = require "tide.project"
local scaffold = require "tide.scaffold"
local settings = require "tide.settings"
local settings_type = require "tide.settings.type"

local M = {}

M.summary = "begin a provider and its spec"
M.usage = "new provider NAME [-c config.lua] [--json]"
M.options = { command_line.CONFIG, command_line.JSON }


local function folders_of(opened)
  local folders = opened.config.providers
  return type(folders) == "table" and folders or { folders }
end


-- Where an integration of that name is already, in any of the project's folders.
local function existing(opened, name)
  for _, file in ipairs(opened.sources.files) do
    if file.name == name then
      return file.path
    end
  end
end


local function commands(options, name)
  local where = options.config and " -c " .. options.config or ""
  return {
    "tidegate check" .. where, ("tidegate test spec/%s_spec.lua"):format(name),
    ("tidegate call %s find id=a-1 --mock%s"):format(name, where),
  }
end


local function create(opened, options, name)
  local path = existing(opened, name)
  if path then
    return 1, path .. " is there already: nothing was written"
  end
  local paths, words = scaffold.provider(name, ("%s/%s.lua"):format(folders_of(opened)[1], name),
    opened:beside(("spec/%s_spec.lua"):format(name)), settings.variable(name, "api_key"))
  if not paths then
    return 1, words
  end
  if host.asset(("providers/%s.lua"):format(name)) then
    output.say(("note: the file takes the place of the bundled provider %s in this project"):format(name))
  end
  created.report(paths, commands(options, name), options)
  return 0
end


function M.run(options)
  local kind, name = options[1], options[2]
  if kind ~= "provider" or not name or options[3] then
    return 2, "what is new is a provider with one name"
  end
  if not settings_type.is_name(name) then
    return 2, ("%s cannot name an integration: %s"):format(message.clean(name, 100), settings_type.NAME_RULE)
  end
  local path = options.config or project.DEFAULT_CONFIG
  if not host.stat(path) then
    return 1, ("there is no %s: `tidegate init DIR` makes a project, -c FILE names the configuration of one")
      :format(path)
  end
  local opened, faults = project.read(options.config)
  if not opened then
    return 1, table.concat(faults, "\n")
  end
  return create(opened, options, name)
end


return M
