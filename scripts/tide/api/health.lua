-- GET /health: for load balancers, and with a viewer's token for people.

local host = require "tide.host"
local json = require "tide.json"
local store = require "tide.store"
local secret_faults = require "tide.secret.faults"
local integrations = require "tide.api.integrations"
local shape = require "tide.api.shape"
local webhook_health = require "tide.webhook.health"

local M = {}

-- The name under which the main worker publishes "starting", "serving" or "draining".
M.STATE = "state"


-- Why the service is not what it should be: one sentence each.
local function reasons_of(faults, statuses, generation)
  local reasons = json.array(webhook_health.reasons(generation, statuses))
  for _, fault in ipairs(faults) do
    reasons[#reasons + 1] = fault
  end
  for name, status in pairs(statuses) do
    if status == "not_configured" then
      reasons[#reasons + 1] = name .. " lacks a secret; its calls answer not_configured"
    end
  end
  local stats = store.stats()
  if stats.dropped > 0 then
    reasons[#reasons + 1] = ("%d rows of the call log were dropped: %s"):format(stats.dropped,
      stats.last_error or "the store did not keep up")
  end
  if stats.failed > 0 then
    reasons[#reasons + 1] = ("%d rows could not be stored: %s"):format(stats.failed, stats.last_error or "unknown")
  end
  table.sort(reasons)
  return reasons
end


-- The state of the whole, whoever asks.
local function is_healthy(generation)
  local statuses = {}
  for name, integration in pairs(generation.integrations) do
    statuses[name] = integrations.status_of(integration)
  end
  local reasons = reasons_of(integrations.all_faults(generation), statuses, generation)
  return next(secret_faults.all()) == nil and #reasons == 0
end


-- What did not load, and what is wrong with stored secrets, as far as the caller may know of it.
local function faults_of(current)
  local list = secret_faults.sentences(function(name) return current:sees(name) end)
  return table.move(integrations.faults(current), 1, #integrations.faults(current), #list + 1, list)
end


local function get(current)
  local state = host.published(M.STATE) or "starting"
  local answer = { status = is_healthy(current.generation) and "healthy" or "degraded" }
  if state ~= "serving" then
    answer.status = state
  end
  if current.identity and current.identity.rights.read then
    answer.integrations = integrations.statuses(current)
    answer.reasons = reasons_of(faults_of(current), answer.integrations, current.generation)
  end
  return {
    status = state == "serving" and 200 or 503,
    json = answer,
    headers = { ["Cache-Control"] = "no-store", ["Retry-After"] = state ~= "serving" and "1" or nil },
  }
end


local function answer(...)
  return shape.object({ status = shape.choice(...) }, {
    reasons = "texts", integrations = shape.map(integrations.STATUS),
  })
end

M.routes = {
  { "GET", "/health", needs = "none", handler = get, doc = {
    summary = "Whether the service is well",
    description = "Needs no token. With one that may read, the answer says why, and how each integration is.",
    answers = {
      [200] = { description = "It serves.", schema = answer("healthy", "degraded") },
      [503] = { description = "It is starting, or about to end.", schema = answer("starting", "draining") },
    },
  } },
}


return M
