-- API tokens: who may do what. Of a token only its SHA-256 is kept; the token itself is shown
-- once, when it is made. Names are for people, and need not be different: while one token takes another's
-- place, both have the same.
--
-- A token is found by its digest, which nobody can choose: how long that takes tells nothing of others.

local crypto = require "tide.crypto"
local host = require "tide.host"
local json = require "tide.json"
local slots = require "tide.state.slots"
local state = require "tide.state.secrets"
local store = require "tide.store"
local time = require "tide.time"
local uuid = require "tide.uuid"
local audit = require "tide.audit"
local errors = require "tide.errors"
local settings_type = require "tide.settings.type"

local M = {}

M.NAME_BYTES_MAX = 100
M.TOKENS_MAX = 5000
M.INTEGRATIONS_MAX = 1000

local SECRET_BYTES = 32
-- Makes a token recognisable to people and to scanners of repositories.
local PREFIX = "tidegate_"
-- A token of config.lua that is shorter could be guessed.
local CONFIGURED_BYTES_MIN = 20
-- Published whenever the table has changed, so that every worker reads it again.
local CHANGED = "tokens"
-- `last_used_at` is for people: it need not be exact.
local USE_NOTED_SECONDS = 60
-- Revoked ones that a worker can tell from others that it does not know.
local REVOKED_MAX = 1000
-- To read the table, one task of a worker at a time; the others wait.
local READ_SECONDS = 10
local READERS_MAX = 100000
local OWNER = "tidegate"


local function set(...)
  local members = {}
  for _, name in ipairs({ ... }) do
    members[name] = true
  end
  return members
end


-- The rights of each role: "call", "list" (integrations and their schemas), "read",
-- "metrics", "operate", "admin".
M.ROLES = {
  caller = set("call", "list"),
  viewer = set("list", "read", "metrics"),
  operator = set("call", "list", "read", "metrics", "operate"),
  admin = set("call", "list", "read", "metrics", "operate", "admin"),
}


-- From the least on.
local IN_ORDER = { "viewer", "caller", "operator", "admin" }


--- Why a role may not do something: " (it needs the role operator)", "" where no role may.
---@param right string
---@return string
function M.needed(right)
  for _, role in ipairs(IN_ORDER) do
    if M.ROLES[role][right] then
      return (" (it needs the role %s)"):format(role)
    end
  end
  return ""
end


--- What the table holds of a token.
function M.hash(token)
  return crypto.hex(crypto.digest("sha256", token))
end


-- Whoever runs the service, at its Unix socket or its command line.
function M.local_identity()
  return { name = "local", role = "admin", rights = M.ROLES.admin }
end


-- Checking ----------------------------------------------------------------------------------------


local function fault(pointer, detail)
  return errors.new("invalid_input", detail, { pointer = pointer })
end


local function check_integrations(integrations)
  if integrations == nil or integrations == json.null then
    return nil
  end
  if type(integrations) ~= "table" or #integrations == 0 or #integrations > M.INTEGRATIONS_MAX then
    return nil, fault("#/integrations", "integrations must be a list of names; leave it out for all")
  end
  local names = json.array()
  for index, name in ipairs(integrations) do
    if not settings_type.is_name(name) then
      return nil, fault("#/integrations/" .. index - 1, "an integration's name is " .. settings_type.NAME_RULE)
    end
    names[index] = name
  end
  return names
end


local function check_expiry(definition)
  local days, at = definition.expires_days, definition.expires_at
  if days ~= nil and days ~= json.null then
    if type(days) ~= "number" or days <= 0 or days > 36500 then
      return nil, fault("#/expires_days", "expires_days must be a number above 0, at most 36500")
    end
    return time.format(time.now() + days * 86400)
  end
  if at == nil or at == json.null then
    return nil
  end
  local seconds = type(at) == "string" and time.parse(at)
  if not seconds then
    return nil, fault("#/expires_at", "expires_at must be a time such as 2027-01-15T09:00:00Z")
  end
  return time.format(seconds)
end


local MEMBERS = set("name", "role", "integrations", "expires_days", "expires_at")


local function check(definition)
  for member in pairs(definition) do
    if not MEMBERS[member] then
      return nil, fault("#/" .. tostring(member), "a token has no member " .. tostring(member))
    end
  end
  local name, role = definition.name, definition.role
  if type(name) ~= "string" or not name:match("^%w[%w_.@ -]*$") or #name > M.NAME_BYTES_MAX then
    return nil, fault("#/name", "name must be 1 to 100 letters, digits and _.@-")
  end
  if type(role) ~= "string" or not M.ROLES[role] then
    return nil, fault("#/role", "role must be caller, viewer, operator or admin")
  end
  local integrations, err = check_integrations(definition.integrations)
  if err then
    return nil, err
  end
  local expires_at
  expires_at, err = check_expiry(definition)
  if err then
    return nil, err
  end
  return { name = name, role = role, integrations = integrations, expires_at = expires_at }
end


-- Changing ----------------------------------------------------------------------------------------


local function unavailable(message)
  return errors.new("unavailable", message)
end


local INSERT = "INSERT INTO tokens (id, hash, name, role, integrations, created_at, expires_at) "
  .. "VALUES ($1, $2, $3, $4, $5, $6, $7)"


-- Whether one more fits.
local function check_room()
  local rows, message = store.query("SELECT count(*) AS count FROM tokens")
  if not rows then
    return unavailable(message)
  end
  if rows[1].count >= M.TOKENS_MAX then
    return errors.new("conflict", ("there are %d tokens already: revoke some"):format(M.TOKENS_MAX))
  end
end


-- Makes a token: { id, name, role, integrations, created_at, expires_at, token }; nil and an
-- error. `by` = { actor, trace_id } is for the audit log.
function M.create(definition, by)
  local entry, err = check(definition)
  err = err or check_room()
  if err then
    return nil, err
  end
  local token = PREFIX .. crypto.base64url(crypto.random(SECRET_BYTES))
  entry.id, entry.created_at = uuid.v7(), time.format()
  local done, message = store.transaction({
    { INSERT, entry.id, M.hash(token), entry.name, entry.role, entry.integrations and json.encode(entry.integrations),
      entry.created_at, entry.expires_at, n = 7 },
    audit.statement("token.create", entry.id, nil, entry, by),
  })
  if not done then
    return nil, unavailable(message)
  end
  host.publish(CHANGED, "")
  entry.token = token
  return entry
end


local COLUMNS = "id, hash, name, role, integrations, created_at, expires_at, last_used_at"


-- Takes a token away; it ends at once, in every worker. nil and an error when there is none.
function M.revoke(id, by)
  local rows, message = store.query("SELECT name, role FROM tokens WHERE id = $1", id)
  if not rows then
    return nil, unavailable(message)
  end
  if not rows[1] then
    return nil, errors.new("not_found", "there is no token with this id")
  end
  local done
  done, message = store.transaction({
    { "DELETE FROM tokens WHERE id = $1", id },
    audit.statement("token.revoke", id, rows[1], nil, by),
  })
  if not done then
    return nil, unavailable(message)
  end
  host.publish(CHANGED, "")
  return true
end


local function shown(row)
  return {
    id = row.id, name = row.name, role = row.role,
    integrations = row.integrations and json.decode(row.integrations) or json.null,
    created_at = row.created_at,
    expires_at = row.expires_at or json.null,
    last_used_at = row.last_used_at or json.null,
  }
end


-- Tokens in the order in which they were made, after the one with the id `cursor`; never
-- their hashes.
function M.list(limit, cursor)
  local rows, message = store.query("SELECT " .. COLUMNS .. " FROM tokens WHERE id > $1 ORDER BY id LIMIT $2",
    cursor or "00000000-0000-0000-0000-000000000000", limit)
  if not rows then
    return nil, unavailable(message)
  end
  for index, row in ipairs(rows) do
    rows[index] = shown(row)
  end
  return rows
end


-- How many there are; nil and a message.
function M.count()
  local rows, message = store.query("SELECT count(*) AS count FROM tokens")
  return rows and rows[1].count, message
end


-- Finding -----------------------------------------------------------------------------------------


local function identity_of(row, integrations)
  return {
    id = row.id, name = row.name, role = row.role,
    rights = M.ROLES[row.role] or {},
    integrations = integrations and set(table.unpack(integrations)),
    expires_at = row.expires_at and time.parse(row.expires_at),
  }
end


local function configured_hash(token)
  if type(token.sha256) == "string" and token.sha256:match("^%x+$") and #token.sha256 == 64 then
    return token.sha256:lower()
  end
  if type(token.token) == "string" and #token.token >= CONFIGURED_BYTES_MIN then
    return M.hash(token.token)
  end
  return nil, ("needs `token` (%d bytes or more, from env) or `sha256` (64 hexadecimal digits)"):format(
    CONFIGURED_BYTES_MIN)
end


-- The identities of the tokens that config.lua lists ({ name, role, integrations, expires_at,
-- token or sha256 }), by hash; nil and what is wrong.
function M.configured(list)
  local by_hash = {}
  for index, token in ipairs(list or {}) do
    local where = ("tokens[%d]"):format(index)
    if type(token) ~= "table" then
      return nil, where .. " must be a table"
    end
    local hash, fault_of_hash = configured_hash(token)
    if not hash then
      return nil, ("%s %s"):format(where, fault_of_hash)
    end
    local entry, err = check({ name = token.name, role = token.role, integrations = token.integrations,
      expires_at = token.expires_at })
    if not entry then
      return nil, ("%s: %s"):format(where, err.message)
    end
    if by_hash[hash] then
      return nil, where .. " is the same token as another one"
    end
    by_hash[hash] = identity_of(entry, entry.integrations)
  end
  return by_hash
end


-- Makes those of config.lua known to redaction, and no others of it. Once for all workers.
function M.conceal(list)
  local index = 0
  for _, token in ipairs(list or {}) do
    if token.token then
      index = index + 1
      state.put(OWNER, "configured_token_" .. index, token.token, "token")
    end
  end
  repeat
    index = index + 1
  until not state.remove(OWNER, "configured_token_" .. index)
end


local Cache = {}
Cache.__index = Cache


-- The tokens as this worker knows them; `configured` are those of config.lua, as M.configured gave them.
function M.new(configured)
  local reading = slots.of("tidegate:tokens:" .. host.worker)
  reading:configure(1, READERS_MAX)
  return setmetatable({
    version = nil, by_hash = {}, configured = configured or {}, reading = reading, revoked = {}, revoked_count = 0,
  }, Cache)
end


function Cache:note_revoked(hash)
  if self.revoked_count >= REVOKED_MAX then
    self.revoked, self.revoked_count = {}, 0
  end
  self.revoked[hash] = true
  self.revoked_count = self.revoked_count + 1
end


-- What was known of the tokens that are still there stays known.
function Cache:replace(by_hash)
  for hash, before in pairs(self.by_hash) do
    if by_hash[hash] then
      by_hash[hash].noted = before.noted
    else
      self:note_revoked(hash)
    end
  end
  self.by_hash = by_hash
end


local function published_version()
  return host.published_version(CHANGED) or 0
end


-- Reads the table as it is now; a message when it cannot be read.
function Cache:read()
  local version = published_version()
  if version == self.version then
    return nil
  end
  local rows, message = store.query("SELECT " .. COLUMNS .. " FROM tokens")
  if not rows then
    return message
  end
  local by_hash = {}
  for _, row in ipairs(rows) do
    by_hash[row.hash] = identity_of(row, row.integrations and json.decode(row.integrations))
  end
  self:replace(by_hash)
  self.version = version
end


-- Reads the table again when it has changed. An error when it cannot be read: a token that may have been
-- revoked is not taken.
function Cache:refresh()
  if published_version() == self.version then
    return nil
  end
  local guard <close> = self.reading:enter(READ_SECONDS)
  local message = not guard and "too many requests wait for the tokens to be read" or self:read()
  return message and unavailable(message)
end


local function note_use(identity)
  if not identity.id then
    return
  end
  local now = time.monotonic()
  if identity.noted and now - identity.noted < USE_NOTED_SECONDS then
    return
  end
  identity.noted = now
  store.enqueue("UPDATE tokens SET last_used_at = $1 WHERE id = $2", time.format(), identity.id)
end


local function unauthorized(detail, reason)
  return nil, errors.new("unauthorized", detail), reason
end


-- The identity of a token that is good now; nil, an error and the reason.
function Cache:identity_of(token)
  local hash = M.hash(token)
  local identity = self.by_hash[hash] or self.configured[hash]
  if not identity and self.revoked[hash] then
    return unauthorized("this token was revoked", "revoked")
  end
  if not identity then
    return unauthorized("this token is not known", "unknown")
  end
  if identity.expires_at and identity.expires_at <= time.now() then
    return unauthorized("this token has expired", "expired")
  end
  return identity
end


-- Whose token an Authorization header holds; nil, an error and, when the token is to blame, why: "missing",
-- "malformed", "unknown", "revoked" or "expired".
function Cache:find(authorization)
  if not authorization then
    return unauthorized("a token is needed, in the header Authorization, after the word Bearer", "missing")
  end
  local scheme, token = authorization:match("^(%a+) +(%S+)$")
  if not scheme or scheme:lower() ~= "bearer" then
    return unauthorized("the header Authorization must be a token after the word Bearer", "malformed")
  end
  local err = self:refresh()
  if err then
    return nil, err
  end
  local identity, refused, reason = self:identity_of(token)
  if identity then
    note_use(identity)
  end
  return identity, refused, reason
end


return M
