-- /api/v1/integrations/{name}/secrets: which there are and where they come from; storing, rotating and
-- taking away. Never their values.

local json = require "tide.json"
local errors = require "tide.errors"
local secrets_store = require "tide.secrets_store"
local suggest = require "tide.suggest"
local exchange = require "tide.api.exchange"

local M = {}

local VALUE_BYTES_MAX = 65536
local KEEP_SECONDS_MAX = 31536000
local MEMBERS = { value = true, keep_previous_seconds = true }
local NOT_KEPT = { ["Cache-Control"] = "no-store" }


local function actor_of(current)
  return { actor = current.identity.name, trace_id = current.trace_id }
end


local function shown(entry)
  return {
    name = entry.name, source = entry.source,
    updated_at = entry.updated_at or json.null,
    previous_expires_at = entry.previous_expires_at or json.null,
  }
end


-- The integration and the name of the declared secret that the path names; nil and an error.
local function secret_of(current)
  local integration, err = current:integration()
  if not integration then
    return nil, err
  end
  local name = current.params.secret
  if not integration.declared_secrets[name] then
    return nil, errors.new("not_found", ("%s declares no secret %q%s"):format(integration.name, name,
      suggest.hint(name, integration.declared_secrets)))
  end
  return integration, name
end


local function list(current)
  local integration, err = current:integration()
  local entries
  if integration then
    entries, err = secrets_store.list(integration)
  end
  if not entries then
    return nil, err
  end
  for index, entry in ipairs(entries) do
    entries[index] = shown(entry)
  end
  return { status = 200, json = { data = json.array(entries) }, headers = NOT_KEPT }
end


local function check_keep(seconds)
  if seconds == nil then
    return nil
  end
  if math.type(seconds) ~= "integer" or seconds < 0 or seconds > KEEP_SECONDS_MAX then
    return exchange.invalid("#/keep_previous_seconds",
      ("keep_previous_seconds must be a whole number from 0 to %d"):format(KEEP_SECONDS_MAX))
  end
end


-- { value, keep_previous_seconds }; nil and an error, in which no part of the body is repeated.
local function read_body(current)
  local body, err = current:json_object()
  if not body then
    return nil, err
  end
  for member in pairs(body) do
    if not MEMBERS[member] then
      return nil, exchange.invalid("#", "the body has members besides value and keep_previous_seconds")
    end
  end
  if type(body.value) ~= "string" or body.value == "" or #body.value > VALUE_BYTES_MAX then
    return nil, exchange.invalid("#/value", ("value must be a text of 1 to %d bytes"):format(VALUE_BYTES_MAX))
  end
  err = check_keep(body.keep_previous_seconds)
  if err then
    return nil, err
  end
  return body
end


local function put(current)
  local integration, name = secret_of(current)
  if not integration then
    return nil, name
  end
  local body, err = read_body(current)
  if not body then
    return nil, err
  end
  local entry
  entry, err = secrets_store.put(integration, name, body.value, body.keep_previous_seconds, actor_of(current))
  if not entry then
    return nil, err
  end
  return { status = 200, json = { data = shown(entry) }, headers = NOT_KEPT }
end


local function delete(current)
  local integration, name = secret_of(current)
  if not integration then
    return nil, name
  end
  local done, err = secrets_store.delete(integration, name, actor_of(current))
  if not done then
    return nil, err
  end
  return { status = 204 }
end


M.routes = {
  { "GET", "/api/v1/integrations/{name}/secrets", needs = "admin", handler = list },
  { "PUT", "/api/v1/integrations/{name}/secrets/{secret}", needs = "admin", handler = put },
  { "DELETE", "/api/v1/integrations/{name}/secrets/{secret}", needs = "admin", handler = delete },
}


return M
