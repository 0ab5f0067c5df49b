-- /api/v1/tokens: who may use the API.

local uuid = require "tide.uuid"
local errors = require "tide.errors"
local tokens = require "tide.tokens"
local exchange = require "tide.api.exchange"

local M = {}


local function actor_of(current)
  return { actor = current.identity.name, trace_id = current.trace_id }
end


local function list(current)
  local query, err = current:query { limit = true, cursor = true }
  local limit, entries
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
  local definition, err = current:json_object()
  if not definition then
    return nil, err
  end
  local entry
  entry, err = tokens.create(definition, actor_of(current))
  if not entry then
    return nil, err
  end
  return { status = 201, json = { data = entry }, headers = { ["Cache-Control"] = "no-store" } }
end


local function revoke(current)
  local id = current.params.id
  if not uuid.is_valid(id) then
    return nil, errors.new("not_found", "there is no token with this id")
  end
  local done, err = tokens.revoke(id:lower(), actor_of(current))
  if not done then
    return nil, err
  end
  return { status = 204 }
end


M.routes = {
  { "GET", "/api/v1/tokens", needs = "admin", handler = list },
  { "POST", "/api/v1/tokens", needs = "admin", handler = create },
  { "DELETE", "/api/v1/tokens/{id}", needs = "admin", handler = revoke },
}


return M
