-- What would become of a call that is not made: each effective value and where it comes from,
-- the policies in order with their state now, and the first that would hold it up, and why.

local json = require "tide.json"
local redact = require "tide.redact"
local secrets = require "tide.secrets"
local settings_shown = require "tide.settings.shown"
local text = require "tide.text"
local time = require "tide.time"
local cache = require "tide.policy.cache"
local breaker_policy = require "tide.policy.breaker"

local M = {}

-- What a policy says: "pass"; "wait" (a while, then on); "answer" (the call ends here, well);
-- "refuse" (it ends here, badly).
local ORDER = { pass = 0, wait = 1 }
local KEY_BYTES_MAX = 4096


local function step(policy, verdict, why, state)
  return { policy = policy, verdict = verdict, why = why, state = state }
end


local function round(seconds)
  return seconds and math.floor(seconds * 1000 + 0.5) / 1000
end


-- The policies, in order ----------------------------------------------------------------------------


local function enabled(call)
  if call.settings.is_enabled then
    return step("enabled", "pass")
  end
  return step("enabled", "refuse", "is_enabled is false")
end


local function validate(call)
  local value, err = cache.prepare(call, call.operation, call.input)
  if err then
    return step("validate", "refuse", redact.text(err.message), { code = err.code, pointer = err.pointer })
  end
  call.input = value
  return step("validate", "pass", nil, { input = redact.value(value, call.settings.redact_fields) })
end


local function kept_state(value, age, expires_in, is_negative)
  return value and {
    age_seconds = round(age), expires_in_seconds = round(expires_in), is_negative = is_negative or false,
  } or nil
end


-- The key as an operator may see it: like the one in the cache, without what redaction removes.
local function shown_key(call)
  local input = redact.value(call.input, call.settings.redact_fields)
  return call.operation.name .. ":" .. text.truncate(json.encode(input, { canonical = true }) or "", KEY_BYTES_MAX)
end


local function cached(call)
  local values = call.settings
  if not call.operation.cacheable then
    return step("cache", "pass", "the operation is not cached")
  end
  if not values.cache_enabled then
    return step("cache", "pass", "cache_enabled is false")
  end
  call.cache_key = cache.key(call.operation, call.input)
  if call.cache_key == nil then
    return step("cache", "pass", "the input holds bytes, which no key can hold")
  end
  local value, age, expires_in, is_negative = call.cells.cache:get(call.cache_key)
  local state = kept_state(value, age, expires_in, is_negative) or {}
  state.key = shown_key(call)
  if value == nil then
    return step("cache", "pass", "nothing is kept under this key", state)
  end
  if expires_in > 0 then
    return step("cache", "answer", is_negative and "not_found is kept" or "a fresh answer is kept", state)
  end
  if -expires_in < values.cache_stale_seconds then
    return step("cache", "answer", "a stale answer is given at once and refreshed (cache_stale_seconds)", state)
  end
  call.has_kept = true
  return step("cache", "pass", "the answer that is kept has expired; it serves when the call fails", state)
end


-- What would be given instead of a failure that is hidden.
local function instead_of(call)
  return call.has_kept and "a stale answer" or call.operation.definition.fallback and "the fallback" or nil
end


local function refuse(policy, call, why, state)
  local instead = instead_of(call)
  local refused = step(policy, "refuse", why .. (instead and ", " .. instead .. " is given" or ""), state)
  refused.instead = instead
  return refused
end


local function breaker(call)
  local blocks = call.cells.breaker:blocks()
  local state = breaker_policy.info(call.cells.breaker)
  if not blocks then
    return step("breaker", "pass", nil, state)
  end
  return refuse("breaker", call, string.format("the breaker is %s", state.state), state)
end


-- The longest that the call would wait, and what bounds it.
local function longest_wait(call)
  local most = call.settings.rate_limit_max_wait_seconds
  local left = call.deadline - time.monotonic()
  if left < most then
    return left, "the time that the call has (total_timeout_seconds)"
  end
  return most, "rate_limit_max_wait_seconds"
end


local function concurrency(call)
  local state = call.cells.slots:state()
  if state.max == nil then
    return step("concurrency", "pass", "max_concurrency is not set")
  end
  if state.used < state.max and state.waiting == 0 then
    return step("concurrency", "pass", nil, state)
  end
  if state.waiting >= call.settings.rate_limit_queue then
    return refuse("concurrency", call, "all slots are taken, and as many wait as may (rate_limit_queue)", state)
  end
  local longest, bound = longest_wait(call)
  if longest <= 0 then
    return refuse("concurrency", call, string.format("all slots are taken, and %s lets it not wait", bound), state)
  end
  return step("concurrency", "wait", string.format("all slots are taken: until one is free, %.3f s at most", longest),
    state)
end


-- Why no token is there; and whether none will ever be.
local function shortage_of(call, state)
  local values = call.settings
  for _, key in ipairs { "rate_limit_calls_per_minute", "rate_limit_calls_per_hour" } do
    if values[key] == 0 then
      return key .. " is 0: no request passes", true
    end
  end
  return (state.pause_seconds or 0) > 0 and "the third party asked for a pause" or "no token is free", false
end


local function limit(call)
  local state = call.cells.limiter:state()
  local estimate = state.estimate_seconds
  if estimate <= 0 then
    return step("limit", "pass", nil, state)
  end
  local longest, bound = longest_wait(call)
  local cause, is_closed = shortage_of(call, state)
  if is_closed then
    state.estimate_seconds = nil
    return refuse("limit", call, cause, state)
  end
  if state.waiting >= call.settings.rate_limit_queue then
    return refuse("limit", call, cause .. ", and as many wait as may (rate_limit_queue)", state)
  end
  if estimate <= longest then
    return step("limit", "wait", string.format("%s: about %.3f s", cause, estimate), state)
  end
  return refuse("limit", call, string.format("%s: the wait of about %.3f s is longer than %s", cause, estimate, bound),
    state)
end


local function attempts(call)
  local values = call.settings
  local state = {
    max_attempts = 1 + values.max_retries,
    idempotent = call.operation.idempotent,
    timeout_seconds = values.timeout_seconds, total_timeout_seconds = values.total_timeout_seconds,
  }
  return step("retry", "pass", nil, state)
end


local function credentials(call)
  local missing = secrets.missing(call.integration)
  if call.mock then
    return step("mock", "pass", "the provider's mock answers", { mock = true })
  end
  if #missing == 0 then
    return step("run", "pass")
  end
  return step("run", "refuse", "secrets are missing", { missing_secrets = json.array(missing) })
end


local STEPS = { enabled, validate, cached, breaker, concurrency, limit, attempts, credentials }


-- The whole -----------------------------------------------------------------------------------------


-- Members of `extra_config` can come from several layers.
local function member_sources(sources)
  local members = {}
  for path, source in pairs(sources) do
    members[path:match("^extra_config%.(.*)$") or 1] = source
  end
  members[1] = nil
  return next(members) and members or nil
end


local function settings_of(integration)
  local list = {}
  for name, value in pairs(settings_shown.values(integration)) do
    list[name] = { value = value, source = integration.settings_sources[name] }
  end
  list.extra_config.sources = member_sources(integration.settings_sources)
  return list
end


-- The first step that ends the call decides; else the first that makes it wait.
local function verdict_of(steps)
  local waiting
  for _, each in ipairs(steps) do
    if ORDER[each.verdict] == nil then
      return each
    end
    if each.verdict == "wait" then
      waiting = waiting or each
    end
  end
  return waiting or { verdict = "pass" }
end


-- The explanation of `call` (call.lua makes one that is never run).
function M.explain(call)
  local steps = json.array()
  for index, explain in ipairs(STEPS) do
    steps[index] = explain(call)
    if index <= 2 and steps[index].verdict == "refuse" then
      break
    end
  end
  local decisive = verdict_of(steps)
  return {
    integration = call.integration.name,
    operation = call.operation.name,
    mock = call.mock,
    verdict = decisive.verdict,
    policy = decisive.policy,
    why = decisive.why,
    instead = decisive.instead,
    policies = steps,
    settings = settings_of(call.integration),
  }
end


return M
