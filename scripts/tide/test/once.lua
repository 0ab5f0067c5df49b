-- The calls of handlers that are made once per event, in a spec: what tide.idempotency does with rows, a table
-- does here.

local errors = require "tide.errors"
local idempotency = require "tide.idempotency"

local M = {}

local UNKNOWN = {}


local function unknown(request)
  return errors.new("outcome_unknown", "the call with this Idempotency-Key did not end with an answer: whether it "
    .. "took effect is not known", { integration = request.integration, operation = request.operation,
    policy = "idempotency" })
end


-- In place of idempotency.run, for a runtime.
function M.new()
  local kept = {}
  return function(request, input, options, perform)
    local key = table.concat({ request.scope, request.integration, request.operation, options.idempotency_key }, "\0")
    if kept[key] == UNKNOWN then
      return nil, unknown(request)
    elseif kept[key] then
      return kept[key]
    end
    local answer, err = perform(input, options)
    if (answer or err).repeatable then
      return answer, err
    end
    kept[key] = answer or (idempotency.is_final(err) and request.problem(err)) or UNKNOWN
    return answer, err
  end
end


return M
