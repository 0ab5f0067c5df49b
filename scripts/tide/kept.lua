-- The short way of a call: its answer is kept and its input came in the same words before. The
-- same counts, the same row and the same answer as the long way gives (call.lua, policy/*), in one
-- call of C (runtime/bind/kept.h).

local kept = require "tide.engine.kept"
local time = require "tide.time"
local uuid = require "tide.uuid"
local cells = require "tide.cells"
local record_row = require "tide.policy.record_row"

local M = {}


local function bind(operation, mock, is_logged)
  local integration = operation.integration
  local own = cells.of(integration, mock)
  local series = operation.series
  return kept.new {
    cache = own.cache, breaker = own.breaker,
    outcome = series.cached, duration = series.duration, statistics = series.statistics,
    hits = operation.cache_hits,
    integration = integration.name, operation = operation.name, mock = mock,
    sql = is_logged and record_row.INSERT or nil,
    row = record_row.of_kept(operation, mock), columns = #record_row.COLUMNS, holes = record_row.PLACES,
  }
end


-- What serves the answers of an operation, real or mock, and the key of an input; nil when the
-- call has to go the long way.
local function find(generation, integration_name, operation_name, input, wants_mock)
  local integration = generation.integrations[integration_name]
  local operation = integration and integration.operations[operation_name]
  local memo = operation and operation.memo
  local values = memo and integration.values
  if not memo or memo.values ~= values or not values.is_enabled or not values.cache_enabled then
    return nil
  end
  local mock = values.is_mock_mode or wants_mock or false
  local bound = memo[mock]
  if bound == nil then
    bound = bind(operation, mock, values.log_calls == "all" and not generation.capture)
    memo[mock] = bound
  end
  return bound, memo.keys[input], mock, operation
end


-- The row, where a spec looks on.
local function capture(generation, operation, mock, state, trace_id, caller, user_id)
  local row = record_row.named(table.unpack(record_row.of_kept(operation, mock), 1, #record_row.COLUMNS))
  row.id, row.created_at, row.duration_ms = uuid.v7(), time.format(), 0
  row.trace_id, row.caller, row.user_id, row.circuit_breaker_state = trace_id, caller, user_id, state
  generation.capture(row)
end


-- The body of the HTTP answer of a call, or nil. `input` is the text of the request's body,
-- `options` as for call.run, trace_id included.
function M.answer(generation, integration_name, operation_name, input, options)
  if options.debug or options.no_cache then
    return nil
  end
  local bound, key = find(generation, integration_name, operation_name, input, options.mock)
  return key and bound:answer(key, options.trace_id, options.caller, options.user_id)
end


-- The data and the meta of a call that the script of `outer` makes, or nil. `input` is its
-- canonical JSON.
function M.data(outer, integration_name, operation_name, input)
  local generation = outer.generation
  local bound, key, mock, operation = find(generation, integration_name, operation_name, input, outer.mock)
  if not key then
    return nil
  end
  local trace_id, caller, user_id = outer.trace_id, outer.caller, outer.user_id
  local data, age, state, duration = bound:data(key, trace_id, caller, user_id)
  if data == nil then
    return nil
  end
  if generation.capture then
    capture(generation, operation, mock, state, trace_id, caller, user_id)
  end
  return data, {
    integration = integration_name, operation = operation_name, trace_id = trace_id, duration_ms = duration,
    attempts = 0, from_cache = true, age_seconds = age, stale = false, fallback = false, mock = mock,
    circuit_breaker_state = state,
  }
end


return M
