-- A token that the provider's `fetch` gets and the host keeps: fetched by one caller at a
-- time over all workers, renewed early while the old one serves, dropped when the upstream
-- refuses it.

local task = require "tide.task"
local time = require "tide.time"
local json = require "tide.json"
local log = require "tide.log"
local uuid = require "tide.uuid"
local state = require "tide.state.secrets"
local singleflight = require "tide.state.singleflight"
local errors = require "tide.errors"
local secrets = require "tide.secrets"
local script = require "tide.script"
local request_of = require "tide.upstream.request"

local M = {}

local NAME = "auth:token"
-- A cell of its own, so that every worker knows when to renew.
local RENEWAL = "auth:renewal"
-- Renewed in the last tenth of its life, at most this long before its end.
local RENEW_SECONDS_MAX = 60
-- What passes from the one who fetched to those who waited.
local DONE = "done"

local Credential = {}
Credential.__index = Credential


-- The upstream does not take this token: whoever comes first drops it, unless a newer one
-- is there already.
function Credential:refuse()
  state.remove(self.owner, NAME, self.version)
end


-- The token if it still serves: `credential, wants_renewal`.
local function current(owner)
  local value, version, _, expires_at = state.get(owner, NAME)
  local now = time.now()
  if value == nil or expires_at and now >= expires_at then
    return nil
  end
  local renewal = tonumber((state.get(owner, RENEWAL)))
  return setmetatable({ owner = owner, value = value, version = version }, Credential),
    expires_at ~= nil and renewal ~= nil and now >= renewal
end


local function keep(owner, value, lifetime)
  local now = time.now()
  if lifetime == nil then
    state.remove(owner, RENEWAL)
    state.put(owner, NAME, value, "token")
    return
  end
  local margin = math.min(RENEW_SECONDS_MAX, lifetime / 10)
  state.put(owner, RENEWAL, string.format("%.3f", now + lifetime - margin), "token")
  state.put(owner, NAME, value, "token", now + lifetime)
end


local function check(call, value, lifetime)
  if type(value) ~= "string" or value == "" or value:find("[%z\r\n]") then
    return errors.new("script_error", call.label .. ": auth.fetch returned no token")
  end
  if lifetime ~= nil and (type(lifetime) ~= "number" or lifetime <= 0) then
    return errors.new("script_error", call.label .. ": auth.fetch returned a lifetime that is not a number of seconds")
  end
end


-- Runs the provider's `fetch` and keeps what it returns; nil, or an error.
local function fetch(call, definition, owner)
  -- Required here: a context needs the client, which needs this file.
  local context = require "tide.context"
  local before = secrets.fingerprint(call.integration)
  local ok, value, lifetime = script.run(call, definition.fetch, context.new(call, "auth"))
  if not ok then
    return value
  end
  lifetime = tonumber(lifetime)
  local err = check(call, value, lifetime)
  if err then
    return err
  end
  -- A secret that changed meanwhile: this token was made with the old one.
  if secrets.fingerprint(call.integration) == before then
    keep(owner, value, lifetime)
  end
end


-- Errors cross between workers as text.
local function pack(err)
  return json.encode({ code = err.code, message = err.message, status = err.status, retry_after = err.retry_after })
end


local function unpack_error(text)
  local fields = json.decode(text)
  if type(fields) ~= "table" then
    return errors.new("upstream_auth", "no token could be fetched: " .. tostring(text))
  end
  local err = errors.new(fields.code, fields.message)
  err.status, err.retry_after = fields.status, fields.retry_after
  return err
end


-- Fetches once for all who want a token now. `serves()` says whether somebody has done so
-- in the meantime.
local function fetch_once(call, definition, owner, serves)
  local own_error
  local ok, text, code = singleflight.run("auth:token:" .. owner, function()
    if serves() then
      return DONE
    end
    own_error = fetch(call, definition, owner)
    return own_error and pack(own_error) or DONE
  end)
  if own_error then
    return own_error
  end
  if not ok then
    return errors.new(errors.codes[code] and code or "upstream_auth", "no token could be fetched: " .. tostring(text))
  end
  if text ~= DONE then
    return unpack_error(text)
  end
end


local function is_fresh(owner)
  local credential, wants_renewal = current(owner)
  return credential ~= nil and not wants_renewal
end


-- Renews while the old token serves. The call that noticed does not wait, and its end
-- does not end the renewal.
local renewing = {}

local function renew_behind(call, definition, owner)
  if renewing[owner] then
    return
  end
  renewing[owner] = true
  -- A call of its own as far as attempts, budget and deadline go; it has no row.
  local own = setmetatable({
    attempts = { { number = 1, started = time.monotonic(), started_at = time.now(), requests = {} } },
    trace_id = uuid.trace_id(),
    deadline = time.monotonic() + call.settings.total_timeout_seconds,
    scripts_running = 0,
  }, { __index = call })
  own.parent = false
  task.detach(function()
    local ok, err = pcall(fetch_once, own, definition, owner, function() return is_fresh(owner) end)
    renewing[owner] = nil
    if err then
      err = ok and err or errors.from(err)
      log.warn("token could not be renewed, the old one serves on", {
        integration = call.integration.name,
        error_type = err.code,
        error = err.message,
      })
    end
  end)
end


local function acquire(call, definition, owner)
  local credential, wants_renewal = current(owner)
  if credential then
    if wants_renewal then
      renew_behind(call, definition, owner)
    end
    return credential
  end
  local err = fetch_once(call, definition, owner, function() return current(owner) ~= nil end)
  if err then
    error(err, 0)
  end
  credential = current(owner)
  if credential == nil then
    error(errors.new("upstream_auth", "the token was refused or its secret changed while it was fetched"), 0)
  end
  return credential
end


function M.bind(integration, definition)
  local owner = secrets.owner(integration)
  local header = definition.header or "Authorization"
  local prefix = definition.prefix or "Bearer "
  return {
    apply = function(call, _, request)
      local credential = acquire(call, definition, owner)
      request_of.set_header(request, header, prefix .. credential.value)
      return credential
    end,
  }
end


return M
