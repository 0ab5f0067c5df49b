-- /api/v1/integrations/{name}/config: the effective values and where each comes from; changing them while the
-- service runs, and going back.

local settings = require "tide.settings"
local exchange = require "tide.api.exchange"
local search = require "tide.api.search"
local shape = require "tide.api.shape"
local run_time_settings = require "tide.settings.run_time"
local settings_shape = require "tide.settings.shape"
local unknown = require "tide.unknown"

local M = {}


-- The integration that the path names, loaded or not; nil and an error.
local function find(current)
  local name = current.params.name
  local err = current:refuse_integration(name)
  if err then
    return nil, err
  end
  local integration = current.generation.integrations[name]
  if not integration then
    return nil, unknown.integration(current.generation, name)
  end
  return integration
end


local function answer(data, err)
  if not data then
    return nil, err
  end
  return { status = 200, json = { data = data }, headers = { ETag = ('"%d"'):format(data.version) } }
end


local function get(current)
  local integration, err = find(current)
  if not integration then
    return nil, err
  end
  return answer(run_time_settings.get(current.generation, integration.name))
end


-- The versions that If-Match names; nil without it, or when any will do. A tag that is not one of ours
-- matches nothing.
local function wanted_versions(text)
  if text == nil or text:match("^%s*%*%s*$") then
    return nil
  end
  local versions = {}
  for tag in (text .. ","):gmatch("%s*([^,]*),") do
    local version = tag:match('^"(%d+)"%s*$')
    if version then
      versions[math.tointeger(tonumber(version)) or -1] = true
    end
  end
  return versions
end


local function by_of(current)
  return {
    actor = current.identity.name,
    trace_id = current.trace_id,
    is_admin = current.identity.rights.admin == true,
    versions = wanted_versions(current.request:header("if-match")),
  }
end


local function patch(current)
  local integration, err = find(current)
  local body
  if integration then
    body, err = current:json_object()
  end
  if not body then
    return nil, err
  end
  return answer(run_time_settings.change(current.generation, integration, body, by_of(current)))
end


-- A version that a query or a body names; nil and what is wrong.
local function version_of(value)
  if type(value) == "string" then
    value = value:match("^%d+$") and tonumber(value)
  end
  local version = type(value) == "number" and math.tointeger(value)
  return version and version >= 0 and version or nil
end


local function rollback(current)
  local integration, err = find(current)
  local body
  if integration then
    body, err = current:json_object()
  end
  if not body then
    return nil, err
  end
  for member in pairs(body) do
    if member ~= "version" then
      return nil, exchange.invalid("#/" .. member, "there is no member " .. member)
    end
  end
  local version = type(body.version) == "number" and version_of(body.version)
  if not version then
    return nil, exchange.invalid("#/version", "version must be a number that the history has, or 0: before all")
  end
  return answer(run_time_settings.rollback(current.generation, integration, version, by_of(current)))
end


local function history(current)
  local integration, err = find(current)
  local query, limit
  if integration then
    query, err = current:query { limit = true, cursor = true }
  end
  if query then
    limit, err = exchange.limit_of(query)
  end
  local before = query and query.cursor and version_of(query.cursor)
  if limit and query.cursor and not before then
    limit, err = nil, exchange.invalid("#/cursor", "cursor must be one that a list gave")
  end
  if not limit then
    return nil, err
  end
  local rows, message, code = run_time_settings.history(integration, limit + 1, before)
  if not rows then
    return nil, search.unavailable(message, code)
  end
  return exchange.list(rows, limit, function(row) return tostring(row.version) end)
end


local CONFIG = shape.object { values = "object", sources = shape.map(shape.choice(table.unpack(settings.LAYERS))),
  version = "integer" }

local CHANGE = shape.object { version = "integer", created_at = "time", actor = "text", trace_id = "text?",
  patch = "object", settings = "object" }

local TAGGED = { { name = "If-Match", schema = { type = "string" },
  description = "The ETag that the change is meant for; with another one in force it is refused." } }

local PROBLEMS = { "no_such_operation", "precondition_failed", "conflict", "overloaded", "unavailable" }


local function answers(description)
  local found = shape.data(CONFIG, description)
  found[200].headers = { "ETag" }
  return found
end


M.routes = {
  { "GET", "/api/v1/integrations/{name}/config", needs = "read", handler = get, doc = {
    summary = "The configuration of an integration, and where each value comes from",
    answers = answers(), problems = { "no_such_operation", "unavailable" },
  } },
  { "PATCH", "/api/v1/integrations/{name}/config", needs = "operate", handler = patch, doc = {
    summary = "Change the configuration of an integration while the service runs",
    description = "A JSON Merge Patch (RFC 7396) of what is set at run time: null takes a value away, and the one "
      .. "of the layer below counts again.",
    headers = TAGGED, body = settings_shape.patch(), problems = PROBLEMS,
    answers = answers("The configuration as it is now, on every worker."),
  } },
  { "GET", "/api/v1/integrations/{name}/config/history", needs = "operate", handler = history, doc = {
    summary = "The changes of an integration's configuration, newest first",
    query = shape.PAGE, answers = shape.page(CHANGE), problems = { "no_such_operation", "unavailable" },
  } },
  { "POST", "/api/v1/integrations/{name}/config/rollback", needs = "operate", handler = rollback, doc = {
    summary = "Set again what was set in an earlier version",
    headers = TAGGED, problems = { "not_found", table.unpack(PROBLEMS) },
    body = { type = "object", required = { "version" }, additionalProperties = false, properties = { version = {
      type = "integer", minimum = 0, description = "As the history has it; 0 is before the first change.",
    } } },
    answers = answers("The configuration as it is now, on every worker: a new version."),
  } },
}


return M
