-- GET /api/v1/integrations and /{name}: what there is.

local json = require "tide.json"
local statistics = require "tide.state.statistics"
local cells = require "tide.cells"
local reload_request = require "tide.reload.request"
local metric_windows = require "tide.metric_windows"
local secrets = require "tide.secrets"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"
local sorted = require "tide.sorted"
local unknown = require "tide.unknown"

local M = {}


local function or_null(value)
  if value == nil then
    return json.null
  end
  return value
end


M.STATUS = shape.choice("healthy", "not_configured", "disabled", "not_loaded")


-- What keeps an integration from working, in a word; "healthy" when nothing is known to.
function M.status_of(integration)
  if not integration.provider then
    return "not_loaded"
  end
  if not integration.values.is_enabled then
    return "disabled"
  end
  if not integration.values.is_mock_mode and #secrets.missing(integration) > 0 then
    return "not_configured"
  end
  return "healthy"
end


local function breaker_state(integration)
  if not integration.provider then
    return json.null
  end
  return (cells.of(integration, integration.values.is_mock_mode).breaker:state())
end


local function load_error(integration)
  local err = integration.error
  if not err then
    return json.null
  end
  return { message = err.message, file = err.file, line = or_null(err.line), faults = json.array(err.faults) }
end


local function summary_of(integration)
  return {
    name = integration.name,
    type = integration.type,
    provider = integration.provider_name,
    summary = or_null(integration.provider and integration.provider.summary),
    version = or_null(integration.version),
    loaded_at = integration.loaded_at,
    status = M.status_of(integration),
    is_enabled = integration.values.is_enabled,
    is_mock_mode = integration.values.is_mock_mode,
    circuit_breaker_state = breaker_state(integration),
    missing_secrets = json.array(secrets.missing(integration)),
    error = load_error(integration),
    operations = json.array(sorted.names(integration.operations)),
  }
end


-- Of the time since the process started.
local function statistics_of(integration)
  local summary = metric_windows.summarize(statistics.snapshot(integration.name))
  return {
    calls = summary.calls,
    error_rate = or_null(summary.error_rate),
    p50_ms = or_null(summary.p50_ms),
    p95_ms = or_null(summary.p95_ms),
    p99_ms = or_null(summary.p99_ms),
    cache_hit_rate = or_null(summary.cache_hit_rate),
  }
end


-- A schema as the provider wrote it: a table, or true where anything goes.
local function schema_of(schema, otherwise)
  if schema == nil then
    return otherwise
  end
  return schema.definition
end


local function operation_of(operation)
  return {
    name = operation.name,
    summary = or_null(operation.summary),
    description = or_null(operation.description),
    input = schema_of(operation.input, { type = "object" }),
    output = schema_of(operation.output, json.null),
    is_cacheable = operation.cacheable,
    is_idempotent = or_null(operation.idempotent),
    has_mock = operation.definition.mock ~= nil,
  }
end


-- The state of each integration that the caller sees, by name.
function M.statuses(current)
  local statuses = {}
  for name, integration in pairs(current.generation.integrations) do
    if current:sees(name) then
      statuses[name] = M.status_of(integration)
    end
  end
  return statuses
end


-- Of each integration that the caller sees, by name: what runs, since when, and what is wrong with its file as
-- it is now.
function M.versions(current)
  local versions = {}
  for name, integration in pairs(current.generation.integrations) do
    if current:sees(name) then
      versions[name] = { version = or_null(integration.version), loaded_at = or_null(integration.loaded_at),
        error = load_error(integration) }
    end
  end
  return versions
end


-- What is wrong with the files as they are now: those that did not load, and what keeps all of them from being
-- taken.
function M.all_faults(generation)
  local faults = reload_request.faults()
  return table.move(generation.errors, 1, #generation.errors, #faults + 1, faults)
end


-- The same as far as the caller may know of it: "FILE:LINE: message" each.
function M.faults(current)
  local generation = current.generation
  if not (current.identity and current.identity.integrations) then
    return M.all_faults(generation)
  end
  local faults = {}
  for name, integration in pairs(generation.integrations) do
    if current:sees(name) and integration.error then
      local own = integration.error.faults or { integration.error.message }
      table.move(own, 1, #own, #faults + 1, faults)
    end
  end
  return faults
end


local function list(current)
  local query, err = current:query { limit = true, cursor = true }
  local limit
  if query then
    limit, err = exchange.limit_of(query)
  end
  if not limit then
    return nil, err
  end
  local entries = {}
  local integrations = current.generation.integrations
  for _, name in ipairs(sorted.names(integrations)) do
    local is_after = not query.cursor or name > query.cursor
    if is_after and #entries <= limit and current:sees(name) then
      entries[#entries + 1] = summary_of(integrations[name])
    end
  end
  return exchange.list(entries, limit, function(entry) return entry.name end)
end


local function get(current)
  local name = current.params.name
  local err = current:refuse_integration(name)
  if err then
    return nil, err
  end
  local integration = current.generation.integrations[name]
  if not integration then
    return nil, unknown.integration(current.generation, name)
  end
  local data = summary_of(integration)
  data.statistics = statistics_of(integration)
  for index, operation in ipairs(data.operations) do
    data.operations[index] = operation_of(integration.operations[operation])
  end
  return { status = 200, json = { data = data } }
end


local OPERATION = shape.object {
  name = "text", summary = "text?", description = "text?", input = "any", output = "any",
  is_cacheable = "boolean", is_idempotent = "boolean?", has_mock = "boolean",
}

local STATISTICS = shape.object {
  calls = "integer", error_rate = "number?", p50_ms = "number?", p95_ms = "number?", p99_ms = "number?",
  cache_hit_rate = "number?",
}


local function entry_with(operations, more)
  return shape.object({
    name = "text", type = shape.choice("api", "smtp", "webhook"), provider = "text", summary = "text?",
    version = "text?", loaded_at = "time", status = M.STATUS, is_enabled = "boolean", is_mock_mode = "boolean",
    circuit_breaker_state = "text?", missing_secrets = "texts", operations = operations,
    error = shape.optional(shape.object { message = "text", file = "text", line = "integer?", faults = "texts" }),
  }, more)
end

M.routes = {
  { "GET", "/api/v1/integrations", needs = "list", handler = list, doc = {
    summary = "The integrations that there are, by name",
    query = shape.PAGE, answers = shape.page(entry_with("texts")),
  } },
  { "GET", "/api/v1/integrations/{name}", needs = "list", handler = get, doc = {
    summary = "One integration, with the schemas of its operations",
    answers = shape.data(entry_with(shape.list(OPERATION), { statistics = STATISTICS })),
    problems = { "no_such_operation" },
  } },
}


return M
