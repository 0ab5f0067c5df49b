-- The HTTP API: from a request of `tide.server` to its answer.

local errors = require "tide.errors"
local log = require "tide.log"
local task = require "tide.task"
local access = require "tide.api.access"
local exchange = require "tide.api.exchange"
local router = require "tide.api.router"

local M = {}

local GROUPS = {
  "calls", "webhooks", "integrations", "config", "policies", "cache", "secrets", "events", "alerts", "audit", "logs",
  "health", "metrics", "windows", "status", "reload", "tokens", "openapi", "console", "page",
}


local function load_groups()
  local groups = {}
  for index, name in ipairs(GROUPS) do
    groups[index] = require("tide.api." .. name)
  end
  return groups
end

--- The groups of endpoints, each with `routes` (see router.lua).
M.groups = load_groups()

local ROUTES = router.new(M.groups)


local function no_route(path, allowed)
  if allowed then
    return errors.new("method_not_allowed", "this path answers to " .. allowed .. " only", { allow = allowed })
  end
  return errors.new("no_such_operation", "there is nothing at " .. path)
end


-- Webhooks have limits of their own, and a listener takes what the largest allows.
local function refuse_size(current, route)
  local most = current.generation.config.max_request_bytes
  if route.needs == "signature" or #current.request.body <= most then
    return nil
  end
  return errors.new("payload_too_large", ("the body has more than %d bytes (max_request_bytes)"):format(most))
end


-- The answer of the handler: `{ status, json or body, type, headers }`, or nil and an error.
local function handle(current)
  local route, found = router.find(ROUTES, current.method, current.path)
  if not route then
    return nil, no_route(current.path, found)
  end
  current.params = found
  local denied = access.check(current, route.needs) or refuse_size(current, route)
  if denied then
    return nil, denied
  end
  return route.handler(current)
end


-- The handler of a listener. `instance` is what requests of this worker share: `live`, `workers`,
-- `processor` (of webhook events, where there is one). Who asks from inside the process brings an identity.
function M.new(instance)
  return function(request, identity)
    local current = exchange.new(instance, request, identity)
    local ok, answer, err, traceback = task.guard(handle, current)
    if not ok then
      log.error("internal error in the API", { trace_id = current.trace_id, method = request.method,
        path = request.path, error = tostring(answer), traceback = traceback })
      answer, err = nil, errors.new("internal", "internal error; the log has more under this trace id")
    end
    if answer then
      return current:send(answer)
    end
    return current:send_problem(err)
  end
end


return M
