-- GET /api/v1/integrations/{name}/cache: what is kept of an integration's answers.

local cells = require "tide.cells"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"

local M = {}

local COUNTS = { "entries", "bytes", "hits", "stale_hits", "negative_hits", "misses", "stores", "refused", "evictions",
  "deletes" }


local function get(current)
  local integration, err = current:integration()
  local query
  if integration then
    query, err = current:query { operation = true }
  end
  if not query then
    return nil, err
  end
  if query.operation and not integration.operations[query.operation] then
    return nil, exchange.invalid("#/operation", ("%s has no operation %q"):format(integration.name, query.operation))
  end
  local space = cells.of(integration, integration.values.is_mock_mode).cache
  local data = space:stats()
  if query.operation then
    data = { operation = query.operation, entries = space:count_matching(query.operation .. ":*") }
  end
  return { status = 200, json = { data = data } }
end


local function counts()
  local members = {}
  for _, name in ipairs(COUNTS) do
    members[name] = "integer"
  end
  members.entries = nil
  members.operation = "text"
  return members
end


M.routes = {
  { "GET", "/api/v1/integrations/{name}/cache", needs = "read", handler = get, doc = {
    summary = "What is kept of an integration's answers",
    description = "Counts since the start, but for `entries` and `bytes`; of one operation the entries alone.",
    query = { { name = "operation", schema = { type = "string" }, description = "Only of this operation." } },
    answers = shape.data(shape.object({ entries = "integer" }, counts())),
    problems = { "no_such_operation", "not_loaded" },
  } },
}


return M
