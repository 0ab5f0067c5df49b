-- One call of an operation, through the policies that were bound when its generation was
-- built. Policies are `wrap(next, operation) -> function(call)`, which returns the
-- operation's data as JSON, or nil and an error table.

local time = require "tide.time"
local uuid = require "tide.uuid"
local errors = require "tide.errors"
local explain = require "tide.explain"
local cells = require "tide.cells"
local redact = require "tide.redact"
local statistics = require "tide.state.statistics"
local client = require "tide.upstream.client"
local cache = require "tide.policy.cache"
local definitions = require "tide.webhook.definition"
local retry = require "tide.policy.retry"
local unknown = require "tide.unknown"

local M = {}

-- The policies of policy/, outermost first. One that is added later finds its place here and
-- nowhere else.
M.ORDER = {
  "record", "trial", "admit", "conceal", "deadline", "cache", "breaker", "singleflight", "concurrency", "verdict",
  "retry", "mock", "run",
}

-- Around a webhook's handler. It is tried again as an event, not as a call.
M.HANDLER_ORDER = { "trial", "deadline", "verdict", "handler" }

-- Around a script that the service itself wants to run.
M.SCRIPT_ORDER = { "deadline", "handler" }

-- The flags of a trace that begins here (W3C Trace Context).
local SAMPLED = "01"

-- Seconds after which asking a disabled or broken integration again makes sense.
local RETRY_AFTER_SECONDS = 30

-- A call is closed when its task is cancelled in the middle of it, so that it is recorded
-- all the same (policy/record.lua sets `on_close`).
local CALL = {
  __close = function(call)
    local on_close = call.on_close
    if on_close then
      on_close(call)
    end
  end,
}


local function bind_operation(operation, order)
  local handle
  operation.label = operation.label or operation.integration.name .. "." .. operation.name
  for index = #order, 1, -1 do
    handle = require("tide.policy." .. order[index]).wrap(handle, operation)
  end
  operation.handle = handle
  return operation
end


-- Each definition of a webhook is an operation to what its handlers call.
local function bind_webhooks(integration)
  integration.webhooks = definitions.bind_all(integration)
  for _, definition in pairs(integration.webhooks or {}) do
    definition.operation = bind_operation({ name = "webhook", integration = integration, label = definition.label,
      cacheable = false }, M.HANDLER_ORDER)
  end
end


local function bind_integration(integration)
  client.of(integration)
  integration.statistics = statistics.cell(integration.name)
  for _, operation in pairs(integration.operations) do
    bind_operation(operation, M.ORDER)
  end
  bind_webhooks(integration)
  integration.is_bound = true
end


-- One that cannot have what it needs of the process is not loaded; the others are none the worse.
local function leave_out(generation, integration, message)
  local fault = ("%s: it is not loaded: %s"):format(integration.path, message)
  integration.error = { message = message, file = integration.path, faults = { fault } }
  integration.code, integration.provider, integration.operations = nil, nil, {}
  table.insert(generation.errors, fault)
end


-- Binds the policies of every operation of a generation that has just been built. Those of the integrations
-- that it shares with the one before are bound already.
function M.bind(generation)
  for _, integration in pairs(generation.integrations) do
    if integration.provider and not integration.is_bound then
      local reserved, message = cells.reserve(integration)
      if reserved then
        bind_integration(integration)
      else
        leave_out(generation, integration, message)
      end
    end
  end
  return generation
end


-- Puts a generation in force: what outlives generations follows its settings from now on, also where nobody
-- calls.
function M.activate(generation)
  for _, integration in pairs(generation.integrations) do
    if integration.provider and not integration.is_active then
      integration.is_active = true
      cells.of(integration, false)
    end
  end
  return generation
end


local function not_loaded(integration)
  local cause = integration.error
  local where = ""
  if cause and cause.file then
    where = cause.file .. (cause.line and ":" .. cause.line or "") .. ": "
  end
  return errors.new("not_loaded", string.format("%s did not load: %s%s", integration.name, where,
    cause and cause.message or "unknown cause"), {
    integration = integration.name,
    retry_after = RETRY_AFTER_SECONDS,
  })
end


local function find(generation, integration_name, operation_name)
  local integration = generation.integrations[integration_name]
  if integration == nil then
    return nil, unknown.integration(generation, integration_name)
  end
  if not integration.provider then
    return nil, not_loaded(integration)
  end
  local operation = integration.operations[operation_name]
  if operation == nil then
    return nil, unknown.operation(integration, operation_name)
  end
  return operation
end


-- The instant by which the call has ended: its own total, what its caller allows, and
-- never later than the call or job around it.
local function deadline_of(settings, options, started)
  local deadline = started + (options.total_seconds or settings.total_timeout_seconds)
  if options.timeout_ms then
    deadline = math.min(deadline, started + options.timeout_ms / 1000)
  end
  if options.deadline then
    deadline = math.min(deadline, options.deadline)
  end
  return deadline
end


-- The outermost of the calls around this one that is of the same integration: its permit and
-- its slot are this one's too.
local function holder_of(call)
  local holder, ancestor = call, call.parent
  while ancestor do
    if ancestor.integration == call.integration and ancestor.mock == call.mock then
      holder = ancestor.holder
    end
    ancestor = ancestor.parent
  end
  return holder
end


local function new_call(generation, operation, input, options)
  local integration = operation.integration
  local parent = options.parent
  local started = time.monotonic()
  local mock = integration.values.is_mock_mode or options.mock or false
  local call = setmetatable({
    generation = generation,
    integration = integration,
    operation = operation,
    label = operation.label,
    settings = integration.values,
    cells = cells.of(integration, mock),
    statistics = integration.statistics,
    input = input,
    text = options.text,    -- how the input was written, if that is known
    parent = parent,
    depth = parent and parent.depth + 1 or 1,
    trace_id = options.trace_id or uuid.trace_id(),
    trace_flags = options.trace_flags or parent and parent.trace_flags or SAMPLED,
    trace_state = options.trace_state or parent and parent.trace_state,
    caller = options.caller,
    user_id = options.user_id,
    idempotency_key = options.idempotency_key,
    mock = mock,
    debug = options.debug,
    no_cache = options.no_cache,
    background = options.background or false,
    event = options.event,  -- of a webhook's handler: { id, attempt, transactions }
    handler = options.handler,
    started = started,
    deadline = deadline_of(integration.values, options, started),
    attempts = {},          -- one table an attempt, see policy/retry.lua
    effects = 0,            -- requests sent so far that may have changed something
    scripts_running = 0,
    circuit_breaker_state = "closed",
    from_cache = false,
    age_seconds = 0,
    stale = false,
    fallback = false,
    run = M.run,            -- for ctx.call
    again = M.refresh,
    forget = cache.forget,
  }, CALL)
  call.work = call          -- what carries out the attempts, see policy/singleflight.lua
  call.holder = holder_of(call)
  return call
end


local function attempts_of(call)
  return call.work.shared_attempts or #call.work.attempts
end


local function concealed_of(call)
  local err = call.concealed
  return err and { code = err.code, detail = redact.text(err.message) }
end


local function meta_of(call)
  return {
    integration = call.integration.name,
    operation = call.operation.name,
    trace_id = call.trace_id,
    duration_ms = call.duration_ms,
    attempts = attempts_of(call),
    from_cache = call.from_cache,
    age_seconds = call.age_seconds,
    stale = call.stale,
    fallback = call.fallback,
    mock = call.mock,
    circuit_breaker_state = call.circuit_breaker_state,
    error = concealed_of(call),
    trace = call.trace,
  }
end


local function finish(call, encoded, err)
  if err then
    err.attempts = attempts_of(call)
    err.repeatable = retry.may_run_again(call.work)
    err.trace = call.trace
    return nil, err, call
  end
  return { json = encoded, meta = meta_of(call) }, nil, call
end


-- Calls an operation. `{ json, meta }`, where `json` is the data encoded, or nil and the
-- error table. `options`: trace_id, span_id, trace_flags, trace_state, caller (the token's name), user_id,
-- timeout_ms, deadline (monotonic), idempotency_key, mock, debug, no_cache, parent (the
-- call whose script made this one). The third result is the call itself, nil when the
-- operation is not known.
function M.run(generation, integration_name, operation_name, input, options)
  local operation, err = find(generation, integration_name, operation_name)
  if not operation then
    err.trace_id = options and options.trace_id
    return nil, err
  end
  local call <close> = new_call(generation, operation, input, options or {})
  return finish(call, operation.handle(call))
end


-- Runs a webhook's handler for a stored event: its result as JSON (nil for none), the error table, and
-- what its transaction returned. `input` is what the handler sees of the event.
function M.handle(generation, definition, event, handler, input)
  local operation = definition.operation
  local call <close> = new_call(generation, operation, input, {
    event = { id = event.id, attempt = event.attempt, transactions = 0 },
    handler = handler,
    trace_id = event.trace_id,
    idempotency_key = event.id,
    caller = "webhook",
    total_seconds = operation.integration.values.webhook_timeout_seconds,
  })
  local result, err = operation.handle(call)
  return result, err, call.event.transaction_result
end


-- Runs a provider's function that is neither an operation nor a handler, `fn(ctx, {})`, under `name`: its
-- result as JSON, or nil and the error table. `options` as for `run`, and total_seconds.
function M.script(generation, integration, name, fn, options)
  local operation = bind_operation({ name = name, integration = integration, cacheable = false }, M.SCRIPT_ORDER)
  options.handler = fn
  local call <close> = new_call(generation, operation, {}, options)
  return operation.handle(call)
end


-- Says what would become of a call, without making it; nil and an error when there is no such
-- operation. Arguments as for `run`.
function M.explain(generation, integration_name, operation_name, input, options)
  local operation, err = find(generation, integration_name, operation_name)
  if not operation then
    return nil, err
  end
  return explain.explain(new_call(generation, operation, input, options))
end


-- Runs `stale`, which was answered from the cache, once more in the background: a call of its
-- own, which takes a token only if one is free.
function M.refresh(stale)
  local operation = stale.operation
  local call <close> = new_call(stale.generation, operation, stale.input, {
    caller = stale.caller, user_id = stale.user_id, mock = stale.mock, background = true, no_cache = false,
  })
  call.prepared = true
  operation.handle(call)
end


return M
