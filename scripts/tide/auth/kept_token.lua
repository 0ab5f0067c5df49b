-- A token that the host keeps: fetched by one caller at a time over all workers, renewed early
-- while the old one serves, dropped when the upstream refuses it or a secret changes. How it is
-- fetched is the scheme's business (token.lua, oauth2.lua).

local task = require "tide.task"
local time = require "tide.time"
local json = require "tide.json"
local log = require "tide.log"
local uuid = require "tide.uuid"
local state = require "tide.state.secrets"
local singleflight = require "tide.state.singleflight"
local errors = require "tide.errors"
local secrets = require "tide.secrets"
local breaker = require "tide.policy.breaker"

local M = {}

-- Renewed in the last tenth of its life, at most this long before its end.
local RENEW_SECONDS_MAX = 60
-- Of a token, and of a refresh token.
M.BYTES_MAX = 16384
-- No token is trusted longer.
local LIFETIME_SECONDS_MAX = 10 * 365 * 86400
-- A secret that changes while a token is fetched makes it of no use.
local FETCHES_MAX = 3
-- What passes from the one who fetched to those who waited.
local DONE = "done"

local Credential = {}
Credential.__index = Credential

local KeptToken = {}
KeptToken.__index = KeptToken


-- The upstream does not take this token: whoever comes first drops it, unless a newer one
-- is there already.
function Credential:refuse()
  state.remove(self.owner, self.name, self.version)
end


-- The token if it still serves: `credential, wants_renewal`.
function KeptToken:current()
  local value, version, _, expires_at = state.get(self.owner, self.name)
  local now = time.now()
  if value == nil or expires_at and now >= expires_at then
    return nil
  end
  local renewal = tonumber((state.get(self.owner, self.renewal_name)))
  return setmetatable({ owner = self.owner, name = self.name, value = value, version = version }, Credential),
    expires_at ~= nil and renewal ~= nil and now >= renewal
end


-- What was kept under another identity: of another definition, or of none any more.
local function drop_others(self)
  for _, entry in ipairs(state.list(self.owner)) do
    if entry.name:match("^auth:") and not self.names[entry.name] then
      state.remove(self.owner, entry.name)
    end
  end
end


local function keep(self, value, lifetime, refresh_token)
  local now = time.now()
  drop_others(self)
  if refresh_token then
    state.put(self.owner, self.refresh_name, refresh_token, "token")
  end
  if lifetime == nil then
    state.remove(self.owner, self.renewal_name)
    state.put(self.owner, self.name, value, "token")
    return
  end
  lifetime = math.min(lifetime, LIFETIME_SECONDS_MAX)
  local margin = math.min(RENEW_SECONDS_MAX, lifetime / 10)
  state.put(self.owner, self.renewal_name, string.format("%.3f", now + lifetime - margin), "token")
  state.put(self.owner, self.name, value, "token", now + lifetime)
end


-- The refresh token that came with the last token: `value, version`; nil when none did.
function KeptToken:refresh_token()
  local value, version = state.get(self.owner, self.refresh_name)
  return value, version
end


function KeptToken:drop_refresh_token(version)
  state.remove(self.owner, self.refresh_name, version)
end


-- Made with a secret that is another now. Whoever changes one drops what is kept, first or last: who keeps
-- looks again afterwards.
local function drop_if_outdated(self, before)
  local is_outdated = secrets.fingerprint(self.integration) ~= before
  if is_outdated then
    for name in pairs(self.names) do
      state.remove(self.owner, name)
    end
  end
  return is_outdated
end


local function fetch_and_keep(self, call, before)
  local value, lifetime, refresh_token = self.fetch(self, call)
  if secrets.fingerprint(self.integration) == before then
    keep(self, value, lifetime, refresh_token)
  end
end


-- The same; nil, or an error. Nothing is kept, and nothing wrong, when a secret changed meanwhile and the old
-- one was refused or made a token: it is to be tried again.
local function fetch(self, call)
  local before = secrets.fingerprint(self.integration)
  local ok, err = pcall(fetch_and_keep, self, call, before)
  err = not ok and errors.from(err) or nil
  local is_outdated = drop_if_outdated(self, before)
  if is_outdated and err and err.code == "upstream_auth" then
    return nil
  end
  return err
end


-- Errors cross between workers as text: with what is known of them outside.
local FIELDS = { "code", "message", "status", "retry_after", "retryable", "policy" }

local function pack(err)
  local fields = {}
  for _, name in ipairs(FIELDS) do
    fields[name] = err[name]
  end
  return json.encode(fields)
end


local function unpack_error(text)
  local fields = json.decode(text)
  if type(fields) ~= "table" then
    return errors.new("upstream_auth", "no token could be fetched: " .. tostring(text))
  end
  return errors.new(fields.code, fields.message, fields)
end


-- Fetches once for all who want a token now. `serves()` says whether somebody has done so
-- in the meantime.
local function fetch_once(self, call, serves)
  local own_error
  local ok, text, code = singleflight.run("auth:" .. self.owner, function()
    if serves() then
      return DONE
    end
    own_error = fetch(self, call)
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


-- What a fetch works on that outlives the call which began it: like that call, but with a permit of
-- the breaker and a deadline of its own. `fields` are others that it has of its own.
local function work_of(call, fields)
  fields.scripts_running, fields.effects, fields.permit, fields.exchange = 0, 0, false, false
  fields.deadline = fields.deadline or call.deadline
  fields.work, fields.holder = fields, fields
  return setmetatable(fields, { __index = call })
end


-- What the call takes over when it has waited for the end: the permit, so that the verdict is the
-- call's, and the exchange for its row.
local function hand_over(work, call)
  call.exchange = work.exchange or call.exchange
  if work.permit and not call.holder.permit then
    call.holder.permit, work.permit = work.permit, false
  end
end


-- Fetches in a task of its own, which goes on when the call that waits for it is cancelled: an
-- answer with a new refresh token that nobody hears would leave us without one.
local function fetch_unbroken(self, call, serves)
  local work = work_of(call, {})
  local ending <close> = setmetatable({}, { __close = function()
    work.left = true
    breaker.release(work)
  end })
  local fetching = task.detach(function()
    local err = fetch_once(self, work, serves)
    if work.left then
      breaker.release(work)
    end
    return err
  end)
  local ok, err, kind = fetching:join()
  hand_over(work, call)
  if not ok then
    return errors.from(err, nil, kind)
  end
  return err
end


-- Renews while the old token serves. The call that noticed does not wait, and its end does not end
-- the renewal. It has no row.
local renewing = {}

local function renew_behind(self, call)
  if renewing[self.owner] then
    return
  end
  renewing[self.owner] = true
  local work = work_of(call, {
    attempts = { { number = 1, started = time.monotonic(), started_at = time.now(), requests = {} } },
    trace_id = uuid.trace_id(),
    deadline = time.monotonic() + call.settings.total_timeout_seconds,
    parent = false,
  })
  task.detach(function()
    local ok, err = pcall(fetch_once, self, work, function()
      local credential, wants_renewal = self:current()
      return credential ~= nil and not wants_renewal
    end)
    breaker.release(work)
    renewing[self.owner] = nil
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


-- The token for a request of `call`, fetched when there is none: a credential, whose `value` it
-- is. Raises when it cannot be had.
function KeptToken:acquire(call)
  local credential, wants_renewal = self:current()
  if credential then
    if wants_renewal then
      renew_behind(self, call)
    end
    return credential
  end
  local run = self.unbroken and fetch_unbroken or fetch_once
  for _ = 1, FETCHES_MAX do
    local err = run(self, call, function() return self:current() ~= nil end)
    if err then
      error(err, 0)
    end
    credential = self:current()
    if credential then
      return credential
    end
  end
  error(errors.new("upstream_auth", "the token was refused, or its secret changed, each time while it was fetched"), 0)
end


-- The token of an integration. `identity` (a few letters and digits) tells tokens of one
-- definition from those of another. `fetch(kept, call)` returns the token, its lifetime in seconds
-- or nil, and a new refresh token or nil, of at most BYTES_MAX; it raises error tables. `unbroken`: it runs to its end
-- although the call that began it has ended.
function M.new(integration, identity, fetch_token, unbroken)
  local self = {
    integration = integration,
    owner = secrets.owner(integration),
    fetch = fetch_token,
    unbroken = unbroken,
    name = "auth:token:" .. identity,
    -- A cell of its own, so that every worker knows when to renew.
    renewal_name = "auth:renewal:" .. identity,
    refresh_name = "auth:refresh:" .. identity,
  }
  self.names = { [self.name] = true, [self.renewal_name] = true, [self.refresh_name] = true }
  return setmetatable(self, KeptToken)
end


return M
