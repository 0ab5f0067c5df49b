-- Receiving: from a request to its acknowledgement (steps 1 to 3 of a webhook). Nothing is acknowledged
-- before its commit.

local json = require "tide.json"
local log = require "tide.log"
local time = require "tide.time"
local counters = require "tide.state.counters"
local errors = require "tide.errors"
local redact = require "tide.redact"
local script = require "tide.script"
local secrets = require "tide.secrets"
local state = require "tide.state.secrets"
local clean_headers = require "tide.webhook.clean_headers"
local gate = require "tide.webhook.gate"
local inbox = require "tide.webhook.inbox"

local M = {}

local RETRY_AFTER_SECONDS = 30
-- What a proxy may say that it took a request by.
local SCHEMES = { http = "http", https = "https" }

counters.describe("webhooks_received_total", "counter", "Webhook requests, by what became of them.")
counters.describe("webhook_secret_matches_total", "counter", "Signatures that were right, by the secret.")
counters.describe("webhook_ack_duration_seconds", "histogram", "From a webhook's arrival to its acknowledgement.")


-- Counting ----------------------------------------------------------------------------------------


local function count(definition, outcome)
  local series = definition.series
  if series == nil then
    series = {}
    definition.series = series
  end
  local counter = series[outcome]
  if counter == nil then
    counter = counters.counter("webhooks_received_total", ('integration="%s",outcome="%s"'):format(
      definition.integration.name, outcome))
    series[outcome] = counter
  end
  counter:add()
end


local function count_match(definition, id)
  local matches = definition.matches
  if matches == nil then
    matches = {}
    definition.matches = matches
  end
  if matches[id] == nil then
    matches[id] = counters.counter("webhook_secret_matches_total", ('integration="%s",secret="%s"'):format(
      definition.integration.name, id))
  end
  matches[id]:add()
end


-- Finding -----------------------------------------------------------------------------------------


local function not_loaded(integration)
  local cause = integration.error or {}
  return errors.new("not_loaded", ("%s did not load: %s"):format(integration.name, cause.message or "unknown cause"),
    { integration = integration.name, retry_after = RETRY_AFTER_SECONDS })
end


-- The definition at `name` and `source` ("" for the only one); nil and an error.
function M.find(generation, name, source)
  local integration = generation.integrations[name]
  if integration == nil then
    return nil, errors.new("no_such_operation", ("there is no integration %q"):format(name))
  end
  if not integration.provider then
    return nil, not_loaded(integration)
  end
  local definition = integration.webhooks and integration.webhooks[source]
  if definition == nil then
    return nil, errors.new("no_such_operation", source == "" and name .. " takes no webhooks here"
      or ("%s has no webhooks called %q"):format(name, source), { integration = name })
  end
  if not integration.values.is_enabled then
    return nil, errors.new("disabled", name .. " is disabled", { integration = name,
      retry_after = RETRY_AFTER_SECONDS })
  end
  return definition
end


-- Verifying ---------------------------------------------------------------------------------------


-- The address that the sender has signed: the public one where it is known.
local function url_of(config, request, headers)
  if config.public_url then
    return config.public_url:gsub("/+$", "") .. request.target
  end
  local scheme = SCHEMES[headers["x-forwarded-proto"]] or config.tls and "https" or "http"
  return scheme .. "://" .. (headers.host or "localhost") .. request.target
end


-- What few schemes ask for is made when it is asked for.
local RARE = {
  url = function(signed) return url_of(signed.config, signed.request, signed.headers) end,
  method = function(signed) return signed.request.method end,
  path = function(signed) return signed.request.path end,
  query = function(signed) return signed.request.query end,
}

local SIGNED = { __index = function(signed, name)
  local make = RARE[name]
  return make and make(signed)
end }


-- What schemes see of a request: method, url (as its sender wrote it), path, query, headers, body,
-- tolerance_seconds.
function M.signed_request(config, definition, request)
  return setmetatable({
    config = config, request = request, headers = clean_headers.open(request:header_table()),
    body = request.body,
    tolerance_seconds = definition.integration.values.webhook_tolerance_seconds,
  }, SIGNED)
end


local function read_secrets(definition)
  local active, good_until = {}, math.huge
  for field, name in pairs(definition.scheme.secret_names) do
    local list = secrets.active(definition.integration, name)
    if #list == 0 then
      return nil, errors.new("not_configured", ("the secret %s of %s is missing"):format(name,
        definition.integration.name), { integration = definition.integration.name })
    end
    local _, _, expires_at = secrets.pair(definition.integration, name)
    good_until = math.min(good_until, expires_at or math.huge)
    active[field] = list
  end
  return active, good_until
end


-- The values of the secrets that the scheme reads, by its fields: as they were last read, unless
-- something has changed or expired since.
local function active_secrets(definition)
  local kept, changes = definition.kept_secrets, state.changes()
  if kept and kept.changes == changes and time.now() < kept.good_until then
    return kept.active
  end
  local active, good_until = read_secrets(definition)
  if not active then
    return nil, good_until
  end
  definition.kept_secrets = { changes = changes, good_until = good_until, active = active }
  return active
end


local function verify(receipt, active)
  local scheme = receipt.definition.scheme
  local now = time.now()
  if not scheme.is_script then
    return scheme.verify(receipt.request, active, now)
  end
  local ok, id, reason = script.run(inbox.call_of(receipt), scheme.verify, receipt.request, active, now)
  if not ok then
    return nil, tostring(id)
  end
  return id, reason
end


local function refused(receipt, reason)
  local integration = receipt.definition.integration.name
  log.warn("a webhook was refused: its signature is not right", { integration = integration,
    source = receipt.definition.source, trace_id = receipt.trace_id, reason = redact.text(tostring(reason)),
    address = receipt.address })
  local err = errors.new("unauthorized", "the signature of this webhook is not right", { integration = integration })
  return nil, err
end


-- Whether the provider, or its scheme, answers a request by itself: the answer.
local function shake_hands(receipt, active)
  local definition = receipt.definition
  if definition.scheme.handshake then
    local answer = definition.scheme.handshake(receipt.request, active)
    if answer then
      return answer
    end
  end
  if not definition.handshake then
    return nil
  end
  local first = active.secret and active.secret[1].value
  local ok, answer = script.run(inbox.call_of(receipt), definition.handshake, receipt.request, first)
  if not ok then
    return nil, answer
  end
  return answer
end


-- Verifies a request; `receipt` with everything that is known of it, nil and an error. `address` is
-- for the log.
function M.open(generation, definition, request, trace_id, address)
  local receipt = {
    generation = generation, definition = definition, request = request, trace_id = trace_id, address = address,
  }
  local active, err = active_secrets(definition)
  if not active then
    return nil, err
  end
  if request.method ~= "POST" then
    -- What cannot be signed is a handshake or nothing.
    receipt.answer, err = shake_hands(receipt, active)
    if not receipt.answer then
      return nil, err or errors.new("method_not_allowed", "webhooks are posted", { allow = "POST" })
    end
    return receipt
  end
  local id, reason, kind = verify(receipt, active)
  if not id and kind == "unavailable" then
    return nil, errors.new("unavailable", "the signature cannot be checked now: " .. tostring(reason),
      { integration = definition.integration.name })
  end
  if not id then
    return refused(receipt, reason)
  end
  receipt.secret_id = id
  receipt.answer, err = shake_hands(receipt, active)
  if err then
    return nil, err
  end
  return receipt
end


-- Answering ---------------------------------------------------------------------------------------


local function duplicates_of(rows)
  local duplicates = 0
  for _, row in ipairs(rows) do
    duplicates = duplicates + (row.is_duplicate and 1 or 0)
  end
  return duplicates
end


local function ids_of(rows)
  local ids = json.array()
  for index, row in ipairs(rows) do
    ids[index] = row.original or row.id
  end
  return ids
end


-- The answer to a request whose events are stored.
function M.acknowledge(definition, rows)
  count(definition, duplicates_of(rows) == #rows and #rows > 0 and "duplicate" or "accepted")
  local respond = definition.respond
  if respond then
    return { status = respond.status or 200, headers = respond.headers, body = respond.body or "",
      type = respond.headers == nil and "text/plain; charset=utf-8" or nil }
  end
  if definition.is_envelope then
    return { status = 200, json = { ids = ids_of(rows) } }
  end
  local row = rows[1]
  return { status = 200, body = ('{"id":"%s","duplicate":%s}'):format(row.original or row.id,
    row.is_duplicate and "true" or "false") }
end


local OUTCOMES = {
  unauthorized = "unauthorized", forbidden = "forbidden", rate_limited = "rate_limited",
  payload_too_large = "too_large", unavailable = "unavailable", overloaded = "unavailable",
  not_configured = "not_configured", disabled = "disabled", method_not_allowed = "method_not_allowed",
}


-- Everything from the gate to the acknowledgement: an answer, or nil and an error. `current` is the
-- exchange, `lane` what runs the integration's events in this worker.
function M.run(current, definition, lane)
  local request, integration = current.request, definition.integration
  local generation = current.generation
  local err = gate.check(integration, request, generation.config.trusted_proxies)
  if not err and #request.body > integration.values.webhook_max_bytes then
    err = errors.new("payload_too_large", ("a webhook of %s has at most %d bytes (webhook_max_bytes)"):format(
      integration.name, integration.values.webhook_max_bytes))
  end
  local receipt, rows
  if not err then
    receipt, err = M.open(generation, definition, M.signed_request(generation.config, definition, request),
      current.trace_id, request.peer)
  end
  if receipt and receipt.secret_id then
    count_match(definition, receipt.secret_id)
    err = gate.admit(integration)
  end
  if receipt and receipt.answer and not err then
    count(definition, "handshake")
    return receipt.answer
  end
  if not err then
    rows, err = inbox.store(receipt, lane)
  end
  if not rows then
    count(definition, OUTCOMES[err.code] or "failed")
    return nil, err
  end
  return M.acknowledge(definition, rows)
end


return M
