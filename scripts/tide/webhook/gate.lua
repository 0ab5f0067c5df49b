-- Who may send webhooks to an integration, before anybody looks at a signature: by address, and so
-- many a minute.

local address = require "tide.address"
local bucket = require "tide.state.bucket"
local errors = require "tide.errors"
local secrets = require "tide.secrets"
local time = require "tide.time"

local M = {}

local WINDOW_SECONDS = 60
-- Proxies behind one another that are looked through.
local HOPS_MAX = 32
-- Addresses that are counted at a time; when there are more, counting begins anew.
local ADDRESSES_MAX = 10000


local known_networks = setmetatable({}, { __mode = "k" })


-- A list of the configuration as networks; kept as long as the list lives. Its texts were checked
-- when the configuration was.
local function networks_of(list)
  local networks = known_networks[list]
  if not networks then
    networks = assert(address.networks(list))
    known_networks[list] = networks
  end
  return networks
end


-- "10.0.0.1:80", "[::1]:80", "10.0.0.1", "::1", with white space around -> the address alone
local function bare(text)
  text = text:match("^%s*(.*%S)") or ""
  return text:match("^%[([^%]]*)%]") or text:match("^(%d[%d.]*):%d+$") or text
end


-- The address of who sends: the peer's, or, behind proxies that are trusted, the last one that they
-- name and that is not theirs. "unix" over the local socket.
function M.source_address(request, proxies)
  local source = bare(request.peer)
  if #proxies == 0 then
    return source
  end
  local trusted = networks_of(proxies)
  local forwarded, hops = request:header("x-forwarded-for"), 0
  while forwarded and hops < HOPS_MAX and trusted:contain(source) do
    hops = hops + 1
    local before, last = forwarded:match("^(.*),([^,]*)$")
    source, forwarded = bare(last or forwarded), before
  end
  return source
end


-- Who comes over the local socket is let in; nobody becomes that by what a header says.
local function refuse_address(list, source, peer)
  if peer == "unix" or networks_of(list):contain(source) then
    return nil
  end
  return errors.new("forbidden", "webhooks from this address are not accepted (webhook_ip_allowlist)")
end


local counted = { window = nil, addresses = 0, count = {} }


-- Requests of an address that were not yet verified: each worker counts its own.
local function refuse_flood(integration, source, limit)
  local window = time.monotonic() // WINDOW_SECONDS
  if counted.window ~= window or counted.addresses >= ADDRESSES_MAX then
    counted.window, counted.addresses, counted.count = window, 0, {}
  end
  local key = integration .. " " .. source
  local count = counted.count[key]
  if count == nil then
    counted.addresses = counted.addresses + 1
  end
  counted.count[key] = (count or 0) + 1
  if (count or 0) < limit then
    return nil
  end
  local left = (window + 1) * WINDOW_SECONDS - time.monotonic()
  return errors.new("rate_limited", "too many webhooks from this address (webhook_rate_limit_per_minute)",
    { retry_after = math.max(1, math.ceil(left)), policy = "webhook_rate_limit" })
end


-- Before the signature: an error for who may not send, or sends too much. `proxies` are the
-- addresses whose X-Forwarded-For is believed.
function M.check(integration, request, proxies)
  local values = integration.values
  local list, limit = values.webhook_ip_allowlist, values.webhook_rate_limit_per_minute
  if list == nil and limit == nil then
    return nil
  end
  local source = M.source_address(request, proxies)
  return list and refuse_address(list, source, request.peer) or limit and refuse_flood(integration.name, source, limit)
end


local function limiter_of(integration, limit)
  local gate = integration.webhook_gate
  if gate == nil or gate.limit ~= limit then
    gate = { limit = limit, limiter = bucket.limiter(secrets.owner(integration) .. "/webhooks") }
    gate.limiter:configure { per_minute = limit }
    integration.webhook_gate = gate
  end
  return gate.limiter
end


-- After the signature: so many a minute for the integration, over all workers.
function M.admit(integration)
  local limit = integration.values.webhook_rate_limit_per_minute
  if limit == nil then
    return nil
  end
  local limiter = limiter_of(integration, limit)
  if limiter:try() then
    return nil
  end
  return errors.new("rate_limited", "too many webhooks for " .. integration.name .. " (webhook_rate_limit_per_minute)",
    { retry_after = math.max(1, math.ceil(limiter:state().estimate_seconds or 1)), policy = "webhook_rate_limit" })
end


return M
