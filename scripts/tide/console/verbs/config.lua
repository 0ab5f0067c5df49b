-- `.config NAME [key | key=value …]`: the configuration of an integration, and changing it while the service runs.

local json = require "tide.json"
local config_text = require "tide.settings.text"
local schema = require "tide.settings.schema"
local settings_type = require "tide.settings.type"
local suggest = require "tide.suggest"
local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local values = require "tide.console.values"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "the configuration of an integration, and changing it"
M.usage = ".config NAME [KEY | key=value | key:=JSON …]; key:=null takes a change back"


local function coerce(name, text)
  local key = schema.integration_by_name[name]
  return key and (settings_type.parse(key, text))
end


-- Puts a value at "extra_config.language".
local function place(patch, path, value)
  local at, last = patch, nil
  for name in path:gmatch("[^.]+") do
    if last then
      at[last] = type(at[last]) == "table" and at[last] or {}
      at = at[last]
    end
    last = name
  end
  at[last or path] = value
end


local function patch_of(arguments)
  local given, paths, patch = values.read(arguments, 2, coerce), {}, {}
  for path in pairs(given) do
    paths[#paths + 1] = path
  end
  table.sort(paths) -- what holds others before them
  for _, path in ipairs(paths) do
    place(patch, path, given[path])
  end
  return patch
end


local function only(data, name)
  if not schema.integration_by_name[name] then
    error(("there is no key %s%s"):format(name, suggest.hint(name, schema.integration_by_name)), 0)
  end
  local value = data.values[name]
  return { key = name, value = value == nil and json.null or value, source = data.sources[name] or json.null }
end


function M.fetch(session, arguments)
  local name, first = arguments[1], arguments[2]
  if not name then
    verbs.misuse(M)
  end
  local path = inside.path("/api/v1/integrations/{}/config", name)
  if first and first:find("=", 1, true) then
    return session.api:ask("PATCH", path, patch_of(arguments)).data
  end
  local data = session.api:ask("GET", path).data
  return first and only(data, first) or data
end


function M.show(session, data, arguments)
  local is_one = arguments[2] and not arguments[2]:find("=", 1, true)
  local text = is_one and config_text.value(data) or config_text.values(data)
  session:show((text:gsub("\n$", "")))
end


function M.complete(session, arguments)
  return #arguments == 0 and candidates.integrations(session) or candidates.settings("=")
end


return M
