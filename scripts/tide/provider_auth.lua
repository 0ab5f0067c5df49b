-- The auth schemes of a provider: their fields, which of them name secrets, and what is wrong with
-- a definition.

local message = require "tide.message"
local suggest = require "tide.suggest"
local sorted = require "tide.sorted"

local M = {}

-- Fields: "secret" names a secret, "text" is a plain text, "address" an absolute URL or a path below
-- base_url, "function" a function, a table lists the texts that are allowed. Each of `required` must
-- be there, and exactly one of `one_of`; `required_by` adds to them by the value of a field. `kept`:
-- the host keeps a token of it, one for each integration.
M.schemes = {
  bearer = {
    fields = { secret = "secret" },
    required = { "secret" },
  },
  basic = {
    fields = { username = "secret", password = "secret" },
    required = { "username", "password" },
  },
  api_key = {
    fields = { secret = "secret", header = "text", query = "text", prefix = "text" },
    required = { "secret" },
    one_of = { "header", "query" },
  },
  token = {
    fields = { fetch = "function", header = "text", prefix = "text" },
    required = { "fetch" },
    kept = true,
  },
  oauth2 = {
    fields = {
      grant = { "client_credentials", "refresh_token", "jwt_bearer" }, token_url = "address",
      client_id = "secret", client_secret = "secret", refresh_token = "secret", scope = "text",
      client_auth = { "body", "basic" }, audience = "text", subject = "text", key_id = "text",
    },
    required = { "grant", "token_url", "client_id" },
    required_by = {
      grant = {
        client_credentials = { "client_secret" }, refresh_token = { "refresh_token" },
        jwt_bearer = { "client_secret" },
      },
    },
    kept = true,
  },
  sigv4 = {
    fields = {
      access_key = "secret", secret_key = "secret", session_token = "secret", region = "text",
      service = "text",
    },
    required = { "access_key", "secret_key", "region", "service" },
  },
}

-- Of `tls = { certificate, key, ca }`, for requests to the origin of base_url: each names a secret
-- that holds PEM.
M.tls_fields = { certificate = true, key = true, ca = true }


local function found(value)
  return type(value) == "string" and "text" or message.article(type(value))
end


local function is_address(text)
  return text:match("^/") ~= nil or text:match("^https?://[^/]+") ~= nil
end


local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end


-- What is wrong with one field; nil when nothing is.
local function field_fault(field, wanted, value)
  if type(wanted) == "table" then
    return not contains(wanted, value) and "must be " .. message.choice(wanted) or nil
  end
  if wanted == "function" then
    return type(value) ~= "function" and ("must be a function, not %s"):format(found(value)) or nil
  end
  if type(value) ~= "string" then
    return wanted == "secret" and "must be the name of a secret" or ("must be text, not %s"):format(found(value))
  end
  if value:find("[%z\r\n]") then
    return field .. " must be on one line"
  end
  if wanted == "address" and not is_address(value) then
    return "must be an http address, or a path that begins with /"
  end
end


local function missing(scheme, definition)
  local faults = {}
  local function need(fields)
    for _, field in ipairs(fields) do
      if definition[field] == nil then
        faults[#faults + 1] = { words = ("scheme %s needs the field %s"):format(definition.scheme, field) }
      end
    end
  end
  need(scheme.required)
  for field, lists in pairs(scheme.required_by or {}) do
    need(lists[definition[field]] or {})
  end
  local given = 0
  for _, field in ipairs(scheme.one_of or {}) do
    given = given + (definition[field] ~= nil and 1 or 0)
  end
  if scheme.one_of and given ~= 1 then
    faults[#faults + 1] = {
      words = ("scheme %s needs %s, and only one"):format(definition.scheme, message.choice(scheme.one_of)),
    }
  end
  return faults
end


--- What is wrong with a definition, and the secrets that it names.
---@param definition table `auth` of a provider, or of a request
---@return { field?: string, words: string }[] faults, table<string, string> secrets by field
function M.check(definition)
  local scheme = M.schemes[definition.scheme]
  if scheme == nil then
    local words = ("unknown scheme %s%s"):format(message.clean(definition.scheme, 100),
      suggest.hint(definition.scheme, M.schemes))
    return { { field = "scheme", words = words } }, {}
  end
  local faults, secrets = {}, {}
  for _, field in ipairs(sorted.keys(definition)) do
    local wanted, words = scheme.fields[field], nil
    if wanted then
      words = field_fault(field, wanted, definition[field])
      secrets[field] = wanted == "secret" and not words and definition[field] or nil
    elseif field ~= "scheme" then
      words = ("unknown key for scheme %s%s"):format(definition.scheme, suggest.hint(field, scheme.fields))
    end
    if words then
      faults[#faults + 1] = { field = field, words = words }
    end
  end
  for _, fault in ipairs(missing(scheme, definition)) do
    faults[#faults + 1] = fault
  end
  return faults, secrets
end


return M
