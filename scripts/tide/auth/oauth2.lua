-- OAuth 2.0 tokens (RFC 6749): client_credentials, refresh_token, and an assertion signed with the
-- client's key (RFC 7523). The host fetches and keeps them.

local crypto = require "tide.crypto"
local errors = require "tide.errors"
local http = require "tide.http"
local message = require "tide.message"
local redact = require "tide.redact"
local secrets = require "tide.secrets"
local assertion = require "tide.auth.assertion"
local kept_token = require "tide.auth.kept_token"
local request_of = require "tide.upstream.request"
local response_of = require "tide.upstream.response"

local M = {}

local JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
local WORDS_MAX = 300
-- Fields that make another token of it when they are others.
local IDENTIFYING = {
  "grant", "token_url", "client_id", "client_secret", "refresh_token", "scope", "audience", "subject",
}


-- Requests ----------------------------------------------------------------------------------------


-- RFC 6749, 2.3.1: both parts are form-encoded before they are put together.
local function authenticate(integration, definition, form, headers)
  local id = secrets.value(integration, definition.client_id)
  local secret = definition.client_secret and secrets.value(integration, definition.client_secret)
  if secret and definition.client_auth == "basic" then
    headers.Authorization = "Basic " .. crypto.base64(http.encode(id) .. ":" .. http.encode(secret))
    return
  end
  form.client_id, form.client_secret = id, secret
end


local GRANTS = {}


function GRANTS.client_credentials(integration, definition, _, form, headers)
  form.grant_type = "client_credentials"
  form.audience = definition.audience
  authenticate(integration, definition, form, headers)
end


-- The refresh token of the last answer, else the configured one.
function GRANTS.refresh_token(integration, definition, kept, form, headers)
  form.grant_type = "refresh_token"
  form.refresh_token = kept:refresh_token() or secrets.value(integration, definition.refresh_token)
  form.audience = definition.audience
  authenticate(integration, definition, form, headers)
end


function GRANTS.jwt_bearer(integration, definition, _, form, _, url)
  local claims = assertion.claims(definition, secrets.value(integration, definition.client_id),
    definition.audience or url)
  form.grant_type = JWT_BEARER
  form.assertion = assertion.sign(claims, secrets.value(integration, definition.client_secret), definition.key_id)
  if form.assertion == nil then
    error(errors.new("not_configured", string.format(
      "the secret %s of %s is not a private key in PEM: RSA of 2048 to 4096 bits, or of the curve P-256",
      definition.client_secret, integration.name)), 0)
  end
end


local function token_request(call, bound, kept, definition)
  local url, name = request_of.address(call, bound, definition.token_url)
  local form, headers = { scope = definition.scope }, { Accept = "application/json" }
  GRANTS[definition.grant](call.integration, definition, kept, form, headers, url)
  local request = request_of.new(call, bound, "POST", url, { form = form, headers = headers, expect = "any" })
  request.name = "POST " .. name
  request.purpose = "auth"
  request.auth = false
  -- `classify` speaks of the third party's answers, RFC 6749 of these.
  request.unclassified = true
  -- A refresh token may serve once only: nothing below us may send the request a second time.
  request.fresh_connection = true
  return request
end


-- Answers -----------------------------------------------------------------------------------------


local function fields_of(response)
  local ok, fields = pcall(function() return response.json end)
  return ok and type(fields) == "table" and fields or {}
end


local function text_of(value, limit)
  return type(value) == "string" and value ~= "" and redact.text(message.clean(value, limit)) or nil
end


-- "POST /token gave no token: invalid_client (The client is unknown)".
local function refusal(response, fields)
  local words = text_of(fields.error, WORDS_MAX) or "it answered " .. response.status
  local description = text_of(fields.error_description, WORDS_MAX)
  return errors.new("upstream_auth", string.format("%s gave no token: %s%s", response.request, words,
    description and " (" .. description .. ")" or ""), { status = response.status, response = response })
end


local function malformed(response, what)
  return errors.new("upstream_error", string.format("%s answered %d: %s", response.request, response.status, what),
    { status = response.status, response = response })
end


local function is_refusal(status)
  return status >= 400 and status < 500 and status ~= 408 and status ~= 429
end


local function is_token(value)
  return type(value) == "string" and value ~= "" and #value <= kept_token.BYTES_MAX
    and not value:find("[%z\1-\32\127]")
end


-- The error that the answer is; nil when it has a token.
local function error_of(response, fields)
  if is_refusal(response.status) or response.status < 300 and type(fields.error) == "string" then
    return refusal(response, fields)
  end
  local err = response_of.error_of(response)
  if err then
    return err
  end
  local kind = fields.token_type
  if not is_token(fields.access_token) then
    return malformed(response, "the answer holds no access_token")
  end
  if kind ~= nil and (type(kind) ~= "string" or kind:lower() ~= "bearer") then
    return malformed(response, "the token is of another type than Bearer")
  end
end


-- Seconds, as a number or as text; nil when the answer does not say.
local function lifetime_of(response, fields)
  if fields.expires_in == nil then
    return nil
  end
  local seconds = tonumber(fields.expires_in)
  if seconds == nil or seconds <= 0 then
    error(malformed(response, "expires_in is not a number of seconds"), 0)
  end
  return seconds
end


local function fetcher(definition)
  return function(kept, call)
    -- Required here: both need the schemes, which need this file.
    local client = require "tide.upstream.client"
    local exchange = require "tide.upstream.exchange"
    local bound = client.of(call.integration)
    local _, version = kept:refresh_token()
    local request = token_request(call, bound, kept, definition)
    local response = exchange.perform(call, call.attempts[#call.attempts], bound, request)
    local fields = fields_of(response)
    local err = error_of(response, fields)
    if err then
      if version and fields.error == "invalid_grant" then
        kept:drop_refresh_token(version)
      end
      error(err, 0)
    end
    local rotates = definition.grant == "refresh_token" and is_token(fields.refresh_token)
    return fields.access_token, lifetime_of(response, fields), rotates and fields.refresh_token or nil
  end
end


-- Whole -------------------------------------------------------------------------------------------


-- Where a path as token_url leads; nil when it is an address.
local function base_of(integration, definition)
  local base_url = integration.values.base_url
  return definition.token_url:match("^/") and (type(base_url) == "table" and base_url[1] or base_url) or nil
end


-- What tells the tokens of one definition from those of another: a reload may bring one.
local function identity_of(integration, definition)
  local parts = { base_of(integration, definition) or "" }
  for _, field in ipairs(IDENTIFYING) do
    parts[#parts + 1] = field .. "=" .. (definition[field] or "")
  end
  return crypto.hex(crypto.digest("sha256", table.concat(parts, "\n"))):sub(1, 16)
end


function M.bind(integration, definition)
  local kept = kept_token.new(integration, identity_of(integration, definition), fetcher(definition),
    definition.grant == "refresh_token")
  return {
    apply = function(call, _, request)
      local credential = kept:acquire(call)
      request_of.set_header(request, "Authorization", "Bearer " .. credential.value)
      return credential
    end,
  }
end


return M
