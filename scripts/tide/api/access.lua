-- Who may do what: bearer tokens over the network, the peer's user on the Unix socket.

local errors = require "tide.errors"
local host = require "tide.host"
local tokens = require "tide.tokens"
local refusals = require "tide.api.refusals"

local M = {}

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
    return nil, errors.new("forbidden", "this socket is for the user that runs the service"), "other_user"
  end
  return tokens.local_identity()
end


local function identity_of(exchange)
  if exchange.identity then
    return exchange.identity
  end
  local request = exchange.request
  local uid = request.peer_uid
  if uid then
    return of_peer(uid)
  end
  return exchange.generation.tokens:find(request:header("authorization"))
end


local function refuse_network(exchange)
  if not exchange.request.peer_uid then
    return errors.new("no_such_operation", "there is nothing at " .. exchange.path)
  end
  local identity, err, reason = identity_of(exchange)
  exchange.identity = identity
  return reason and refusals.slow(exchange, err, reason) or err
end


-- An error unless the request may do what needs the right `needs`; fills `identity`. What
-- needs none is public, but a token that is given must be good. What needs the socket is for whoever runs the
-- service, and for nobody else there.
function M.check(exchange, needs)
  if needs == "socket" then
    return refuse_network(exchange)
  end
  -- A third party signs; what it calls authorization is its own.
  if needs == "signature" then
    return nil
  end
  local is_public = needs == "none" or (needs == "metrics" and exchange.generation.config.metrics_public)
  if is_public and not exchange.request:header("authorization") and not exchange.request.peer_uid then
    return nil
  end
  local identity, err, reason = identity_of(exchange)
  if not identity then
    return reason and refusals.slow(exchange, err, reason) or err
  end
  exchange.identity = identity
  if is_public or identity.rights[needs] then
    return nil
  end
  refusals.count("forbidden")
  return errors.new("forbidden", ("the role %s may not do this%s"):format(identity.role, tokens.needed(needs)))
end


return M
