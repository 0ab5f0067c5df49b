-- GET /api/v1/integrations/{name}/cache: what is kept of an integration's answers.

local json = require "tide.json"
local redact = require "tide.redact"
local cells = require "tide.cells"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"
local unknown = require "tide.unknown"

local M = {}

local COUNTS = { "entries", "bytes", "hits", "stale_hits", "negative_hits", "misses", "stores", "refused", "evictions",
  "deletes" }


local KEYS_MAX = 1000


-- A key without what redaction removes; of one that was cut the operation alone.
local function shown_key(key, fields)
  local operation, text = key:match("^([^:]*):(.*)$")
  local input = text and json.decode(text)
  if type(input) ~= "table" then
    return (operation or "") .. ":…"
  end
  return operation .. ":" .. json.encode(redact.value(input, fields), { canonical = true })
end


local function list_keys(integration, space, query)
  local keys, entries = space:keys((query.operation or "*") .. ":*", tonumber(query.keys))
  for index, key in ipairs(keys) do
    keys[index] = shown_key(key, integration.values.redact_fields)
  end
  table.sort(keys)
  return { operation = query.operation, entries = entries, keys = json.array(keys) }
end


local function data_of(integration, query)
  local space = cells.of(integration, integration.values.is_mock_mode).cache
  if query.keys then
    return list_keys(integration, space, query)
  elseif query.operation then
    return { operation = query.operation, entries = space:count_matching(query.operation .. ":*") }
  end
  return space:stats()
end


local function query_fault(integration, query)
  if query.operation and not integration.operations[query.operation] then
    return exchange.invalid("#/operation", unknown.operation_words(integration, query.operation))
  end
  local keys = query.keys and query.keys:match("^%d+$") and tonumber(query.keys)
  if query.keys and not (keys and keys >= 1 and keys <= KEYS_MAX) then
    return exchange.invalid("#/keys", ("keys must be a whole number from 1 to %d"):format(KEYS_MAX))
  end
end


local function get(current)
  local integration, err = current:integration()
  local query
  if integration then
    query, err = current:query { operation = true, keys = true }
  end
  if query then
    err = query_fault(integration, query)
  end
  if err then
    return nil, err
  end
  return { status = 200, json = { data = data_of(integration, query) } }
end


local function counts()
  local members = {}
  for _, name in ipairs(COUNTS) do
    members[name] = "integer"
  end
  members.entries = nil
  members.operation, members.keys = "text", "texts"
  return members
end


M.routes = {
  { "GET", "/api/v1/integrations/{name}/cache", needs = "read", handler = get, doc = {
    summary = "What is kept of an integration's answers",
    description = "Counts since the start, but for `entries` and `bytes`; of one operation the entries alone.",
    query = {
      { name = "operation", schema = { type = "string" }, description = "Only of this operation." },
      { name = "keys", schema = { type = "integer", minimum = 1, maximum = KEYS_MAX },
        description = "List so many keys, `OPERATION:canonical JSON`, without what redaction removes." },
    },
    answers = shape.data(shape.object({ entries = "integer" }, counts())),
    problems = { "no_such_operation", "not_loaded" },
  } },
}


return M
