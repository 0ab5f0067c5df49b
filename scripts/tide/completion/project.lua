-- What a project holds, for completion: quickly, of the files as they are, and silent where something is wrong.

local call = require "tide.call"
local generation = require "tide.generation"
local host = require "tide.host"
local project = require "tide.project"
local sources = require "tide.sources"
local sorted = require "tide.sorted"

local M = {}

local Project = {}
Project.__index = Project


function M.new(config_path)
  return setmetatable({ config_path = config_path or project.DEFAULT_CONFIG }, Project)
end


local function listed(names)
  local candidates = {}
  for index, name in ipairs(names) do
    candidates[index] = { name }
  end
  return candidates
end


-- The files; nil where they cannot be read.
function Project:read()
  if self.files == nil then
    local ok, read = pcall(sources.read, self.config_path, host.getenv)
    self.files = ok and read or false
  end
  return self.files or nil
end


function Project:integrations()
  local read = self:read()
  if not read then
    return {}
  end
  local names = {}
  for _, file in ipairs(read.files) do
    names[file.name] = true
  end
  for name in pairs(read.config.integrations or {}) do
    names[name] = true
  end
  return listed(sorted.names(names))
end


-- One integration, loaded alone: others may be many, or broken.
function Project:integration(name)
  local read = name and self:read()
  if not read then
    return nil
  end
  local named = read.config.integrations and read.config.integrations[name]
  local file_name = named and named.provider or name
  local alone = setmetatable({ config = {}, files = {} }, { __index = read })
  for key, value in pairs(read.config) do
    alone.config[key] = value
  end
  alone.config.integrations = { [name] = named }
  for _, file in ipairs(read.files) do
    if file.name == name or file.name == file_name then
      alone.files[#alone.files + 1] = file
    end
  end
  local ok, built = pcall(generation.build, alone)
  built = ok and built and call.bind(built) or nil
  return built and built.integrations[name]
end


-- The candidates that `choose(integration)` gives; none where it did not load.
function Project:of(name, choose)
  local integration = self:integration(name)
  return integration and integration.provider and choose(integration) or {}
end


function Project:operations(name)
  return self:of(name, function(integration)
    local candidates = {}
    for operation, definition in pairs(integration.operations) do
      candidates[#candidates + 1] = { operation, definition.summary }
    end
    return candidates
  end)
end


-- The few values that a schema takes; nil where they are many.
local function values_of(schema)
  if type(schema) ~= "table" then
    return nil
  end
  return schema.enum or schema.type == "boolean" and { "true", "false" } or nil
end


-- The members of an operation's input.
function Project:members(name, operation)
  return self:of(name, function(integration)
    local input = integration.operations[operation] and integration.operations[operation].input
    local properties = input and type(input.definition) == "table" and input.definition.properties or {}
    local candidates = {}
    for member, schema in pairs(properties) do
      candidates[#candidates + 1] = { member, type(schema) == "table" and schema.description or nil, values_of(schema) }
    end
    return candidates
  end)
end


function Project:secrets(name)
  return self:of(name, function(integration) return listed(sorted.names(integration.declared_secrets)) end)
end


-- The webhooks of an integration, as INTEGRATION/SOURCE.
function Project:sources(name)
  return self:of(name, function(integration)
    local names = {}
    for source in pairs(integration.webhooks or {}) do
      names[#names + 1] = source == "" and name or name .. "/" .. source
    end
    return listed(names)
  end)
end


local function routes()
  local list = {}
  for _, group in ipairs(require("tide.api").groups) do
    table.move(group.routes, 1, #group.routes, #list + 1, list)
  end
  return list
end


-- The paths that the API has for a method, those with parameters up to the first.
function M.paths(method)
  local paths = {}
  for _, route in ipairs(routes()) do
    if route[1] == method then
      paths[route[2]:match("^[^{]*")] = true
    end
  end
  return listed(sorted.names(paths))
end


-- The parameters that a list of the API takes.
function M.query(path)
  local candidates = {}
  for _, route in ipairs(routes()) do
    if route[2] == path then
      for _, parameter in ipairs(route.doc and route.doc.query or {}) do
        candidates[#candidates + 1] = { parameter.name, parameter.description, values_of(parameter.schema) }
      end
    end
  end
  return candidates
end


return M
