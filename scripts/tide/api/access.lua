-- Who may do what: bearer tokens over the network, the peer's user on the Unix socket.

local errors = require "tide.errors"
local host = require "tide.host"
local task = require "tide.task"
local time = require "tide.time"
local tokens = require "tide.tokens"

local M = {}

local REFUSAL_DELAY_SECONDS = 0.1
local REFUSALS_PER_SECOND = 20
-- Addresses that are counted at a time; when there are more, counting begins anew.
local ADDRESSES_MAX = 10000

local owner_uid


-- The user that this process runs as.
local function own_uid()
  if not owner_uid then
    local status = host.read_file("/proc/self/status") or ""
    owner_uid = math.tointeger(tonumber(status:match("\nUid:%s+(%d+)"))) or -1
  end
  return owner_uid
end


local function of_peer(uid)
  if uid ~= own_uid() and uid ~= 0 then
    return nil, errors.new("forbidden", "this socket is for the user that runs the service")
  end
  return tokens.local_identity()
end


local refusals = { second = nil, addresses = 0, count = {} }


-- Whether this address was refused too often in this second already. Each worker counts for
-- itself, so that each has its share.
local function is_over_limit(address, workers)
  local second = math.floor(time.monotonic())
  if refusals.second ~= second or refusals.addresses >= ADDRESSES_MAX then
    refusals.second, refusals.addresses, refusals.count = second, 0, {}
  end
  local count = refusals.count[address]
  if count == nil then
    refusals.addresses = refusals.addresses + 1
  end
  refusals.count[address] = (count or 0) + 1
  return (count or 0) >= math.max(1, REFUSALS_PER_SECOND // workers)
end


-- Who guesses tokens waits for each answer, and does not get many.
local function refuse(exchange, err)
  local address = exchange.request.peer:match("^(.*):%d+$") or exchange.request.peer
  if is_over_limit(address, exchange.instance.workers or 1) then
    return errors.new("rate_limited", "too many requests without a valid token", { retry_after = 1 })
  end
  task.sleep(REFUSAL_DELAY_SECONDS)
  return err
end


local function identify(exchange)
  local request = exchange.request
  local uid = request.peer_uid
  if uid then
    return of_peer(uid)
  end
  local identity, err = exchange.generation.tokens:find(request:header("authorization"))
  if not identity and err.code == "unauthorized" then
    err = refuse(exchange, err)
  end
  return identity, err
end


-- An error unless the request may do what needs the right `needs`; fills `identity`. What
-- needs none is public, but a token that is given must be good.
function M.check(exchange, needs)
  -- A third party signs; what it calls authorization is its own.
  if needs == "signature" then
    return nil
  end
  local is_public = needs == "none" or (needs == "metrics" and exchange.generation.config.metrics_public)
  if is_public and not exchange.request:header("authorization") and not exchange.request.peer_uid then
    return nil
  end
  local identity, err = identify(exchange)
  if not identity then
    return err
  end
  exchange.identity = identity
  if is_public or identity.rights[needs] then
    return nil
  end
  return errors.new("forbidden", ("a token of role %s may not do this"):format(identity.role))
end


return M
