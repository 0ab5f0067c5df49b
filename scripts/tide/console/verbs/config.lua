-- `.config NAME [key | key=value …]`: the configuration of an integration, and changing it while the service runs.

local config_text = require "tide.settings.text"
local member = require "tide.settings.member"
local schema = require "tide.settings.schema"
local settings_type = require "tide.settings.type"
local candidates = require "tide.console.candidates"
local inside = require "tide.console.inside"
local values = require "tide.console.values"
local verbs = require "tide.console.verbs"

local M = {}

M.summary = "the configuration of an integration, and changing it"
M.usage = ".config NAME [KEY | key=value | key:=JSON … | history | rollback VERSION]; key:=null takes a change back"


local function coerce(name, text)
  local key = schema.integration_by_name[name]
  return key and (settings_type.parse(key, text))
end


local function patch_of(arguments)
  return member.patch(values.read(arguments, 2, coerce))
end


local function does_change(arguments)
  return arguments[2] ~= nil and arguments[2]:find("=", 1, true) ~= nil
end


local function only(data, path)
  local found, message = member.find(data, path)
  return found or error(message, 0)
end


local function rollback(session, path, arguments)
  local version = arguments[3] and arguments[3]:match("^%d+$")
  if not version or arguments[4] then
    verbs.misuse(M)
  end
  return session.api:ask("POST", path .. "/rollback", { version = math.tointeger(tonumber(version)) }).data
end


function M.fetch(session, arguments)
  local name, first = arguments[1], arguments[2]
  if not name then
    verbs.misuse(M)
  end
  local path = inside.path("/api/v1/integrations/{}/config", name)
  if does_change(arguments) then
    return session.api:ask("PATCH", path, patch_of(arguments)).data
  elseif first == "rollback" then
    return rollback(session, path, arguments)
  elseif arguments[3] then
    verbs.misuse(M)
  elseif first == "history" then
    return session.api:ask("GET", path .. "/history").data
  end
  local data = session.api:ask("GET", path).data
  return first and only(data, first) or data
end


local function text_of(data, arguments)
  local first = arguments[2]
  if does_change(arguments) then
    return config_text.changed(data, patch_of(arguments))
  elseif first == "history" then
    return config_text.history(data)
  elseif first and first ~= "rollback" then
    return config_text.value(data)
  end
  return config_text.values(data)
end


function M.show(session, data, arguments)
  session:show((text_of(data, arguments):gsub("\n$", "")))
end


function M.complete(session, arguments)
  if #arguments == 0 then
    return candidates.integrations(session)
  end
  local list = candidates.settings("=")
  return #arguments == 1 and table.move({ "history", "rollback" }, 1, 2, #list + 1, list) or list
end


return M
