-- What operators do to an integration while it runs: its breaker, its cache; and `explain`.

local json = require "tide.json"
local log = require "tide.log"
local store = require "tide.store"
local task = require "tide.task"
local audit = require "tide.audit"
local call = require "tide.call"
local cells = require "tide.cells"
local policy_state = require "tide.policy_state"
local secrets = require "tide.secrets"
local cache = require "tide.state.cache"
local breaker = require "tide.policy.breaker"
local exchange = require "tide.api.exchange"
local shape = require "tide.api.shape"
local unknown = require "tide.unknown"

local M = {}

local MODES = { auto = true, open = true, closed = true, observe = true }
local INPUTS_MAX = 1000
local PATTERN_BYTES_MAX = 1024
local MOCK = { name = "X-Mock", schema = { type = "string", enum = { "0", "1" } },
  description = "1: as if the provider's mock answered." }


-- Notes a change, with what else has to be kept of it. A store that does not take it undoes nothing:
-- who stops calls must be able to while it is away.
local function note(current, action, name, old, new, kept)
  local done, message = store.transaction({
    audit.statement(action, name, old, new, { integration = name, actor = current.identity.name,
      trace_id = current.trace_id }),
    kept,
  })
  if not done then
    log.error("a change could not be noted in the audit log", { action = action, integration = name, error = message })
  end
end


-- The breaker -----------------------------------------------------------------------------------------


-- That of real calls. Nobody holds the mock's own: `is_mock_mode` says that calls pass by the one that is shown.
local function shown_breaker(integration)
  local shown = breaker.info(cells.of(integration, false).breaker)
  shown.is_mock_mode = integration.values.is_mock_mode
  return { status = 200, json = { data = shown } }
end


local function get_breaker(current)
  local integration, err = current:integration()
  if not integration then
    return nil, err
  end
  return shown_breaker(integration)
end


local function put_breaker(current)
  local integration, err = current:integration()
  local body
  if integration then
    body, err = current:json_object()
  end
  if not body then
    return nil, err
  end
  for member in pairs(body) do
    if member ~= "mode" then
      return nil, exchange.invalid("#/" .. member, "a breaker has no member " .. member)
    end
  end
  if not MODES[body.mode] then
    return nil, exchange.invalid("#/mode", "mode must be auto, open, closed or observe")
  end
  local cell = cells.of(integration, false).breaker
  local before = cell:mode()
  cell:set_mode(body.mode)
  note(current, "breaker.mode", integration.name, { mode = before }, { mode = body.mode },
    policy_state.breaker_statement(cells.name(integration, false)))
  return shown_breaker(integration)
end


-- The cache -------------------------------------------------------------------------------------------


local function find_operation(integration, name)
  local operation = integration.operations[name]
  if operation == nil then
    return nil, exchange.invalid("#/operation", unknown.operation_words(integration, name))
  end
  return operation
end


-- The glob that an operation and a pattern make together.
local function glob_of(operation, pattern)
  if operation == nil then
    return pattern or "*"
  end
  local prefix = operation .. ":"
  if pattern == nil then
    return prefix .. "*"
  end
  return pattern:sub(1, #prefix) == prefix and pattern or prefix .. pattern
end


local function delete_cache(current)
  local integration, err = current:integration()
  local query
  if integration then
    query, err = current:query { operation = true, pattern = true }
  end
  if not query then
    return nil, err
  end
  if query.operation and not integration.operations[query.operation] then
    return nil, select(2, find_operation(integration, query.operation))
  end
  if query.pattern and #query.pattern > PATTERN_BYTES_MAX then
    return nil, exchange.invalid("#/pattern", string.format("pattern is at most %d bytes", PATTERN_BYTES_MAX))
  end
  local glob = glob_of(query.operation, query.pattern)
  local deleted = 0
  for _, mock in ipairs({ false, true }) do
    deleted = deleted + cells.of(integration, mock).cache:delete_matching(glob)
  end
  if query.operation == nil then
    local owner = secrets.owner(integration)
    for _, name in ipairs({ owner .. "/own", owner .. "/own/mock" }) do
      deleted = deleted + cache.space(name):delete_matching(glob)
    end
  end
  note(current, "cache.delete", integration.name, nil, { operation = query.operation, pattern = query.pattern,
    deleted = deleted })
  return { status = 200, json = { data = { deleted = deleted } } }
end


-- { operation, inputs = [ … ] }; nil and an error.
local function warm_request(current, integration)
  local body, err = current:json_object()
  if not body then
    return nil, err
  end
  for member in pairs(body) do
    if member ~= "operation" and member ~= "inputs" then
      return nil, exchange.invalid("#/" .. member, "there is no member " .. member)
    end
  end
  if type(body.operation) ~= "string" then
    return nil, exchange.invalid("#/operation", "operation must be the name of an operation")
  end
  local operation
  operation, err = find_operation(integration, body.operation)
  if not operation then
    return nil, err
  end
  if not operation.cacheable then
    return nil, exchange.invalid("#/operation", body.operation .. " is not cached")
  end
  if type(body.inputs) ~= "table" or #body.inputs == 0 or #body.inputs > INPUTS_MAX then
    return nil, exchange.invalid("#/inputs", string.format("inputs must be a list of 1 to %d inputs", INPUTS_MAX))
  end
  return body
end


local function warm(current)
  local integration, err = current:integration()
  local body
  if integration then
    body, err = warm_request(current, integration)
  end
  if not body then
    return nil, err
  end
  local branches, failed, entries = {}, json.array(), 0
  for index, input in ipairs(body.inputs) do
    branches[index] = function()
      local result, problem = call.run(current.generation, integration.name, body.operation, input,
        { caller = current.identity.name })
      -- An answer that hides a failure has kept nothing new.
      problem = problem or result.meta.error
      if problem then
        failed[#failed + 1] = { pointer = string.format("#/inputs/%d", index - 1), code = problem.code }
      else
        entries = entries + 1
      end
      return true
    end
  end
  task.all(branches, { limit = integration.values.batch_concurrency })
  return { status = 200, json = { data = { entries = entries, failed = failed } } }
end


-- Explaining ------------------------------------------------------------------------------------------


local function explain(current)
  local integration, err = current:integration()
  local input
  if integration then
    input, err = current:json_object()
  end
  if not input then
    return nil, err
  end
  local explanation
  explanation, err = call.explain(current.generation, integration.name, current.params.operation, input, {
    caller = current.identity.name,
    trace_id = current.trace_id,
    mock = current.request:header("x-mock") == "1" or nil,
  })
  if not explanation then
    return nil, err
  end
  return { status = 200, json = { data = explanation } }
end


local BREAKER = shape.object({
  mode = shape.choice("auto", "open", "closed", "observe"), state = shape.choice("closed", "open", "half_open"),
  consecutive_failures = "integer", calls = "integer", failures = "integer", slow = "integer",
  probes_out = "integer", opened_total = "integer", refused_total = "integer", is_mock_mode = "boolean",
}, { opened_at = "time", retry_after = "number" })

local EXPLANATION = shape.object({
  integration = "text", operation = "text", mock = "boolean",
  verdict = shape.choice("pass", "wait", "answer", "refuse"),
  policies = shape.list(shape.object({ policy = "text", verdict = "text" },
    { why = "text", state = "object", instead = "text" })),
  settings = shape.map(shape.object({ source = "text" }, { value = "any", sources = "object" })),
}, { policy = "text", why = "text", instead = "text" })

M.routes = {
  { "GET", "/api/v1/integrations/{name}/breaker", needs = "read", handler = get_breaker, doc = {
    summary = "A circuit breaker, and whether an operator holds it",
    answers = shape.data(BREAKER), problems = { "no_such_operation", "not_loaded" },
  } },
  { "PUT", "/api/v1/integrations/{name}/breaker", needs = "operate", handler = put_breaker, doc = {
    summary = "Hold a circuit breaker open or closed, or let it work by itself",
    body = { type = "object", required = { "mode" }, properties = { mode = {
      type = "string", enum = { "auto", "open", "closed", "observe" },
      description = "auto closes it and lets it work by itself; observe shows its state and refuses nothing",
    } } },
    answers = shape.data(BREAKER), problems = { "no_such_operation", "not_loaded" },
  } },
  { "POST", "/api/v1/integrations/{name}/cache/warm", needs = "operate", handler = warm, doc = {
    summary = "Make the calls whose answers are not kept yet",
    body = shape.object { operation = "text", inputs = { type = "array", minItems = 1, maxItems = INPUTS_MAX } },
    answers = shape.data(shape.object {
      entries = "integer", failed = shape.list(shape.object { pointer = "text", code = "text" }),
    }),
    problems = { "no_such_operation", "not_loaded" },
  } },
  { "DELETE", "/api/v1/integrations/{name}/cache", needs = "operate", handler = delete_cache, doc = {
    summary = "Delete cached answers",
    query = {
      { name = "operation", schema = { type = "string" }, description = "Only of this operation." },
      { name = "pattern", schema = { type = "string", maxLength = PATTERN_BYTES_MAX },
        description = "Only keys like this: `*` stands for any run of bytes, `?` for one." },
    },
    answers = shape.data(shape.object { deleted = "integer" }), problems = { "no_such_operation", "not_loaded" },
  } },
  { "POST", "/api/v1/integrations/{name}/{operation}/explain", needs = "read", handler = explain, doc = {
    of = "operation", summary = "What would become of this call, without making it",
    takes = "input", answers = shape.data(EXPLANATION), problems = { "no_such_operation", "not_loaded" },
    headers = { MOCK },
  } },
}


return M
