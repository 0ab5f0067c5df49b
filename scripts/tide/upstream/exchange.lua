-- One exchange with an upstream, as a script asks for it: the request with its
-- credentials, what the answer means, redirects, and once more with a fresh token or secret when
-- the old one was refused. Every request of a script passes here.

local http = require "tide.http"
local time = require "tide.time"
local uuid = require "tide.uuid"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local auth = require "tide.auth"
local secrets = require "tide.secrets"
local breaker = require "tide.policy.breaker"
local limit = require "tide.policy.limit"
local request_of = require "tide.upstream.request"
local response_of = require "tide.upstream.response"
local redirect = require "tide.upstream.redirect"

local M = {}

local REPEATABLE = { GET = true, HEAD = true, OPTIONS = true, PUT = true, DELETE = true }
local READING = { GET = true, HEAD = true }

-- What a failure of the client means for the call.
local TRANSPORT = {
  timeout = "timeout",
  network_error = "network_error",
  malformed_response = "upstream_error",
  too_large = "upstream_error",
  overloaded = "overloaded",
  host_refused = "script_error",
  address_refused = "not_configured",
  certificate_unusable = "not_configured",
}

counters.describe("upstream_requests_total", "counter", "Requests to third parties, by status or failure.")
counters.describe("upstream_request_duration_seconds", "histogram", "Duration of requests to third parties.")


-- Whether a request may have changed something that must not be changed twice.
local function has_effect(call, method)
  local operation = call.operation
  if operation.idempotent == false then
    return true
  end
  return not REPEATABLE[method] and not operation.idempotent and not operation.cacheable
end


local function trace_headers(call, request)
  local span = uuid.span_id()
  request_of.set_header(request, "traceparent", string.format("00-%s-%s-%s", call.trace_id, span,
    call.trace_flags))
  if call.trace_state then
    request_of.set_header(request, "tracestate", call.trace_state)
  end
end


-- The time that a request may take. At the deadline of the call itself the policy around it
-- cancels everything; the request must not end just before with an error of its own.
local function timeout_of(call, request)
  local own = request.timeout_seconds or call.settings.timeout_seconds
  local remaining = call.deadline - time.monotonic()
  if own <= remaining then
    return own
  end
  return math.max(remaining, 0) + 1
end


local function failure(request, message, code, sent)
  local mapped = TRANSPORT[code] or "network_error"
  if code == "host_refused" and request.redirected then
    -- The upstream named that host, not the script; it will name it again.
    return errors.new("upstream_error", string.format("%s was redirected: %s", request.name, message),
      { retryable = false })
  end
  local hint = ""
  if code == "address_refused" then
    hint = " (allow_private_networks lets it through)"
  end
  return errors.new(mapped, string.format("%s: %s%s", request.name, message, hint), { sent = sent ~= false })
end


-- The cells of an integration, kept with its client.
local function series_of(bound, name)
  local series = { by_status = {} }
  series.duration = counters.histogram("upstream_request_duration_seconds", string.format('integration="%s"', name))
  bound.series = series
  return series
end


local function observe(call, bound, entry, status)
  local name = call.integration.name
  local series = bound.series or series_of(bound, name)
  local counter = series.by_status[status]
  if counter == nil then
    counter = counters.counter("upstream_requests_total", string.format('integration="%s",status="%s"', name, status))
    series.by_status[status] = counter
  end
  counter:add(1)
  series.duration:observe(entry.ended - entry.started)
end


local function open_entry(call, attempt, request, wire)
  local entry = {
    method = wire.method,
    url = wire.url,
    started = time.monotonic(),
    started_at = time.now(),
    purpose = request.purpose,
  }
  attempt.requests[#attempt.requests + 1] = entry
  call.exchange = { method = wire.method, url = wire.url, headers = wire.headers, body = wire.body }
  entry.exchange = call.exchange
  return entry, call.exchange
end


local function is_at_base(bound, request)
  return bound.base ~= nil and http.parse_url(request.url).origin == bound.base.origin
end


local function wire_request(call, bound, request)
  local values = call.settings
  return {
    method = request.method,
    url = request_of.full_url(request),
    headers = request_of.header_list(request),
    body = request.body,
    timeout_seconds = timeout_of(call, request),
    max_response_bytes = values.max_response_bytes,
    hosts = bound.hosts,
    private = values.allow_private_networks and "allow" or "literal",
    fresh_connection = request.fresh_connection
      or not READING[request.method] and not request.purpose and has_effect(call, request.method),
    http2 = values.http2,
    tls = bound.tls and is_at_base(bound, request) and bound.tls() or nil,
  }
end


-- The token goes back when the breaker does not let the request out.
local function take_permit(call, request)
  local ok, err = pcall(breaker.admit, call, timeout_of(call, request))
  if not ok then
    limit.give_back(call)
    error(err, 0)
  end
end


-- Sends one request and waits for its answer; raises when there is none. What may have
-- taken effect is counted before it leaves, so that a cancelled one counts too.
local function send(call, attempt, bound, request)
  local waited = limit.take(call)
  attempt.token_wait = (attempt.token_wait or 0) + waited
  take_permit(call, request)
  local wire = wire_request(call, bound, request)
  local entry, exchange = open_entry(call, attempt, request, wire)
  local effect = not request.purpose and has_effect(call, request.method)
  if effect then
    call.effects = call.effects + 1
  end
  local answer, message, code, sent = http.request(wire)
  entry.ended = time.monotonic()
  if answer == nil then
    entry.error = code
    if effect and sent == false then
      call.effects = call.effects - 1
    end
    if sent == false then
      limit.give_back(call)
    end
    observe(call, bound, entry, code)
    error(failure(request, message, code, sent), 0)
  end
  entry.status = answer.status
  entry.timings = answer.timings
  entry.reused = answer.reused
  observe(call, bound, entry, answer.status)
  exchange.status = answer.status
  exchange.response_headers = answer.headers
  exchange.response_body = answer.body
  return response_of.new(answer, request.name), effect
end


-- What `classify` says. A body that it took for JSON and is none is left to the usual
-- mapping.
local function classify(bound, request, response)
  if bound.classify == nil or request.unclassified then
    return nil
  end
  local ok, code, message, fields = pcall(bound.classify, response)
  if ok then
    return code, message, fields
  end
  if response_of.is_not_json(code) then
    return nil
  end
  error(code, 0)
end


-- Credentials go to the origin of base_url, and where a script names them itself.
local function credentials(bound, request)
  if request.auth == false then
    return nil
  end
  if request.auth then
    return request.auth
  end
  if bound.auth and is_at_base(bound, request) then
    return bound.auth
  end
end


local function check_url(request)
  local parsed, message = http.parse_url(request.url)
  if parsed == nil then
    error(errors.new("script_error", string.format("%s: the address cannot be read: %s", request.name, message)), 0)
  end
end


local function token_was_refused(response, code)
  return code == "token_expired" or code == nil and response.status == 401
end


-- Whether what was sent with a request and refused can be another now: a token that is fetched again, or
-- secrets of the integration, which were `known` before.
local function renew(call, credential, known)
  if credential then
    credential:refuse()
    return true
  end
  return secrets.fingerprint(call.integration) ~= known
end


-- A token that was refused although it is fresh is not a matter of its age.
local function final_code(code, message)
  if code == "token_expired" then
    return "upstream_auth", message or "the upstream does not take the token"
  end
  return code, message
end


-- Sends `request` of attempt `attempt` and returns the response that the script asked for;
-- raises an error table for any other.
function M.perform(call, attempt, bound, request)
  local hops, renewed = 0, false
  check_url(request)
  while true do
    local outgoing = request_of.copy(request)
    local scheme = credentials(bound, request)
    local known = scheme and secrets.fingerprint(call.integration)
    local credential = scheme and auth.apply(scheme, call, attempt, outgoing)
    trace_headers(call, outgoing)
    local response, effect = send(call, attempt, bound, outgoing)
    limit.learn(call, response, response_of.retry_after(response))
    local code, message, fields = classify(bound, request, response)
    if effect and response_of.had_no_effect(response, code) then
      call.effects = call.effects - 1
    end
    if scheme and not renewed and token_was_refused(response, code) and renew(call, credential, known) then
      renewed = true
    else
      code, message = final_code(code, message)
      local location = code == nil and redirect.location(response, request.expect)
      if not location then
        local err = response_of.error_of(response, request.expect, code, message, fields)
        if err then
          error(err, 0)
        end
        return response
      end
      request = redirect.follow(request, response, location, hops)
      hops = hops + 1
    end
  end
end


return M
