-- /api/v1/integrations/{name}/secrets: which there are and where they come from; storing, rotating and
-- taking away; /api/v1/secrets/rekey: all of them under another master key. Never their values.

local json = require "tide.json"
local secret_seals = require "tide.secret.seals"
local secrets_store = require "tide.secret.store"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"

local M = {}

local MEMBERS = { value = true, keep_previous_seconds = true }
local NOT_KEPT = { ["Cache-Control"] = "no-store" }


local function actor_of(current)
  return { actor = current.identity.name, trace_id = current.trace_id }
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
    entries[index] = secrets_store.shown(entry)
  end
  return { status = 200, json = { data = json.array(entries) }, headers = NOT_KEPT }
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
  return body
end


local function put(current)
  local integration, err = current:integration()
  local body, entry
  if integration then
    body, err = read_body(current)
  end
  if body then
    entry, err = secrets_store.put(integration, current.params.secret, body.value, body.keep_previous_seconds,
      actor_of(current))
  end
  if not entry then
    return nil, err
  end
  return { status = 200, json = { data = secrets_store.shown(entry) }, headers = NOT_KEPT }
end


local function delete(current)
  local integration, err = current:integration()
  local done
  if integration then
    done, err = secrets_store.delete(integration, current.params.secret, actor_of(current))
  end
  if not done then
    return nil, err
  end
  return { status = 204 }
end


-- What is stored goes under the first of the master keys.
local function rekey(current)
  local result
  local err = current:refuse_bound()
  if not err then
    result, err = secret_seals.renew(actor_of(current))
  end
  if not result then
    return nil, err
  end
  return { status = 200, json = { data = result }, headers = NOT_KEPT }
end


local SECRET = shape.object { name = "text", source = "text?", updated_at = "time?", previous_expires_at = "time?" }

M.routes = {
  { "POST", "/api/v1/secrets/rekey", needs = "admin", handler = rekey, doc = {
    summary = "Put every stored secret under the first of the master keys", unbound = true,
    answers = shape.data(shape.object { key_id = "text", resealed = "integer", left = "integer" }),
    problems = { "not_configured", "unavailable" },
  } },
  { "GET", "/api/v1/integrations/{name}/secrets", needs = "admin", handler = list, doc = {
    summary = "The secrets of an integration: names, sources and dates",
    answers = shape.data(shape.list(SECRET)), problems = { "no_such_operation", "not_loaded", "unavailable" },
  } },
  { "PUT", "/api/v1/integrations/{name}/secrets/{secret}", needs = "admin", handler = put, doc = {
    summary = "Store or rotate a secret",
    body = {
      type = "object", required = { "value" }, additionalProperties = false, properties = {
        value = { type = "string", minLength = 1, maxLength = 65536, writeOnly = true },
        keep_previous_seconds = { type = "number", minimum = 0,
          description = "How long signatures made with the value of before stay good." },
      },
    },
    answers = shape.data(SECRET),
    problems = { "no_such_operation", "not_found", "not_loaded", "not_configured", "unavailable" },
  } },
  { "DELETE", "/api/v1/integrations/{name}/secrets/{secret}", needs = "admin", handler = delete, doc = {
    summary = "Delete a stored secret",
    answers = shape.nothing("It is gone; the environment's value counts again, if there is one."),
    problems = { "no_such_operation", "not_found", "not_loaded", "unavailable" },
  } },
}


return M
