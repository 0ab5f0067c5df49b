-- /api/v1/tokens: who may use the API. Not for a token that is bound to integrations: it could make itself one
-- that is not.

local uuid = require "tide.uuid"
local errors = require "tide.errors"
local tokens = require "tide.tokens"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"

local M = {}


local function actor_of(current)
  return { actor = current.identity.name, trace_id = current.trace_id }
end


local function list(current)
  local limit, entries, query
  local err = current:refuse_bound()
  if not err then
    query, err = current:query { limit = true, cursor = true }
  end
  if query then
    limit, err = exchange.limit_of(query)
  end
  if limit and query.cursor and not uuid.is_valid(query.cursor) then
    limit, err = nil, exchange.invalid("#/cursor", "cursor must be one that a list gave")
  end
  if limit then
    entries, err = tokens.list(limit + 1, query.cursor)
  end
  if not entries then
    return nil, err
  end
  return exchange.list(entries, limit, function(entry) return entry.id end)
end


local function create(current)
  local definition, entry
  local err = current:refuse_bound()
  if not err then
    definition, err = current:json_object()
  end
  if not definition then
    return nil, err
  end
  entry, err = tokens.create(definition, actor_of(current))
  if not entry then
    return nil, err
  end
  return { status = 201, json = { data = entry }, headers = { ["Cache-Control"] = "no-store" } }
end


local function revoke(current)
  local id = current.params.id
  local err = current:refuse_bound()
  if err then
    return nil, err
  end
  if not uuid.is_valid(id) then
    return nil, errors.new("not_found", "there is no token with this id")
  end
  local done
  done, err = tokens.revoke(id:lower(), actor_of(current))
  if not done then
    return nil, err
  end
  return { status = 204 }
end


local ROLE = shape.choice("caller", "viewer", "operator", "admin")
local TOKEN = shape.object {
  id = "uuid", name = "text", role = ROLE, integrations = shape.optional("texts"), created_at = "time",
  expires_at = "time?", last_used_at = "time?",
}

local MADE = shape.object({ id = "uuid", name = "text", role = ROLE, created_at = "time", token = "text" },
  { integrations = shape.optional("texts"), expires_at = "time?" })

local DEFINITION = {
  type = "object", required = { "name", "role" }, additionalProperties = false, properties = {
    name = { type = "string", maxLength = tokens.NAME_BYTES_MAX, pattern = "^[A-Za-z0-9][A-Za-z0-9_.@ -]*$" },
    role = ROLE,
    integrations = shape.optional(shape.list("text", tokens.INTEGRATIONS_MAX)),
    expires_days = { type = { "number", "null" }, exclusiveMinimum = 0, maximum = 36500 },
    expires_at = shape.of("time?"),
  },
}

M.routes = {
  { "GET", "/api/v1/tokens", needs = "admin", handler = list, doc = {
    summary = "The API tokens, without the tokens themselves", unbound = true,
    query = shape.PAGE, answers = shape.page(TOKEN), problems = { "unavailable" },
  } },
  { "POST", "/api/v1/tokens", needs = "admin", handler = create, doc = {
    summary = "Make an API token; the answer alone shows it", unbound = true,
    body = DEFINITION,
    answers = { [201] = { description = "Made.", schema = shape.object { data = MADE } } },
    problems = { "conflict", "unavailable" },
  } },
  { "DELETE", "/api/v1/tokens/{id}", needs = "admin", handler = revoke, doc = {
    summary = "Revoke an API token", unbound = true,
    answers = shape.nothing("Revoked, on every worker."), problems = { "not_found", "conflict", "unavailable" },
  } },
}


return M
