-- The signature schemes of webhooks: one file per scheme under scheme/, each with its `fields`, those that
-- are `required`, perhaps a `check` of what one field alone does not tell, and `bind(definition)`.
--
-- What a scheme is: `verify(request, secrets, now)` gives the id of the secret that matched, or nil and a
-- reason for the log (and "unavailable" when the sender shall try again); `sign(request, secret, now)`
-- gives headers, and body and address where they change; `event_type`, `event_id`, `events`, `handshake` are
-- the defaults of a preset; `signature_header` is what may be stored. `waits`: verify may wait. `is_script`:
-- verify runs the provider's code, and may raise.

local message = require "tide.message"
local suggest = require "tide.suggest"
local hmac = require "tide.webhook.scheme.hmac"
local own = require "tide.webhook.scheme.own"
local sns = require "tide.webhook.scheme.sns"
local sorted = require "tide.sorted"

local M = {}

M.DEFAULT_SECRET = "webhook_secret"

local TEXT_BYTES_MAX, HEADER_BYTES_MAX, LIST_MAX = 1000, 100, 100

M.schemes = {
  hmac = hmac,
  ["hmac-sha256"] = hmac.of("sha256"),
  ["hmac-sha1"] = hmac.of("sha1"),
  token = require "tide.webhook.scheme.token",
  basic = require "tide.webhook.scheme.basic",
  ["standard-webhooks"] = require "tide.webhook.scheme.standard_webhooks",
  stripe = require "tide.webhook.scheme.stripe",
  github = require "tide.webhook.scheme.github",
  slack = require "tide.webhook.scheme.slack",
  shopify = require "tide.webhook.scheme.shopify",
  twilio = require "tide.webhook.scheme.twilio",
  sendgrid = require "tide.webhook.scheme.sendgrid",
  mailgun = require "tide.webhook.scheme.mailgun",
  toss = require "tide.webhook.scheme.toss",
  line = require "tide.webhook.scheme.line",
  sns = sns.new(),
  ed25519 = require "tide.webhook.scheme.ed25519",
  none = require "tide.webhook.scheme.none",
}


-- Fields ------------------------------------------------------------------------------------------


local function found(value)
  return type(value) == "string" and "text" or message.article(type(value))
end


local function text_fault(value)
  if type(value) ~= "string" then
    return ("must be text, not %s"):format(found(value))
  end
  if value:find("[%c]") or #value > TEXT_BYTES_MAX then
    return ("must be on one line, of at most %d bytes"):format(TEXT_BYTES_MAX)
  end
end


local function header_fault(value)
  if type(value) ~= "string" or #value > HEADER_BYTES_MAX or not value:find("^[%w!#$%%&'*+.^_`|~-]+$") then
    return "must be the name of a header"
  end
end


local function list_fault(value, words)
  local count = 0
  for _, item in next, value do
    count = count + 1
    if type(item) ~= "string" or item == "" then
      return words
    end
  end
  return (count ~= #value or count == 0 or count > LIST_MAX) and words or nil
end


-- What is wrong with a value of a kind: words, or nil.
local KINDS = {
  secret = function(value)
    return type(value) ~= "string" and "must be the name of a secret" or nil
  end,
  text = text_fault,
  header = header_fault,
  texts = function(value)
    if type(value) == "string" and value ~= "" then
      return text_fault(value)
    end
    local words = ("must be a text, or a list of at most %d texts"):format(LIST_MAX)
    return type(value) ~= "table" and words or list_fault(value, words)
  end,
  secrets = function(value)
    local words = "must be a list of names of secrets"
    return type(value) ~= "table" and words or list_fault(value, words)
  end,
  ["function"] = function(value)
    return type(value) ~= "function" and ("must be a function, not %s"):format(found(value)) or nil
  end,
}


local function field_fault(kind, value)
  if type(kind) ~= "table" then
    return KINDS[kind](value)
  end
  for _, allowed in ipairs(kind) do
    if value == allowed then
      return nil
    end
  end
  return "must be " .. message.choice(kind)
end


-- The faults of each field by itself, and those of fields that are missing.
local function faults_of(module, definition, label)
  local faults = {}
  for _, field in ipairs(sorted.keys(definition)) do
    local kind, words = module.fields[field], nil
    if kind then
      words = field_fault(kind, definition[field])
    elseif field ~= "scheme" then
      words = ("unknown key for %s%s"):format(label, suggest.hint(field, module.fields))
    end
    if words then
      faults[#faults + 1] = { field = field, words = words }
    end
  end
  for _, field in ipairs(module.required) do
    if definition[field] == nil then
      faults[#faults + 1] = { words = ("%s needs the field %s"):format(label, field) }
    end
  end
  return faults
end


-- Secrets -----------------------------------------------------------------------------------------


-- Those of a provider's own function, each under its own name.
local function own_secrets(definition)
  local names = {}
  for _, name in ipairs(type(definition.secrets) == "table" and definition.secrets or {}) do
    names[name] = name
  end
  if type(definition.secret) == "string" then
    names[definition.secret] = definition.secret
  end
  return names
end


-- The names of the secrets that a definition reads, by field.
local function secrets_of(module, definition)
  if module == own then
    return own_secrets(definition)
  end
  local names = {}
  for field, kind in pairs(module.fields) do
    if kind == "secret" then
      names[field] = type(definition[field]) == "string" and definition[field]
        or field == "secret" and definition[field] == nil and M.DEFAULT_SECRET or nil
    end
  end
  return names
end


-- The whole ---------------------------------------------------------------------------------------


-- A signature as a table, and the module of its scheme; nil for that when there is none.
local function resolve(signature)
  local definition = type(signature) == "table" and signature or { scheme = signature }
  if type(definition.scheme) == "function" then
    return definition, own
  end
  return definition, M.schemes[definition.scheme or ""]
end


local function scheme_fault(scheme)
  if scheme == nil then
    return "names no scheme"
  end
  return ("unknown scheme %s%s"):format(message.clean(scheme, 100), suggest.hint(scheme, M.schemes))
end


--- What is wrong with a signature, and the secrets that it reads.
---@param signature string|table|function
---@return { field?: string, words: string }[] faults, table<string, string> secrets names by field
function M.check(signature)
  local definition, module = resolve(signature)
  if not module then
    return { { field = type(signature) == "table" and "scheme" or nil, words = scheme_fault(definition.scheme) } }, {}
  end
  local label = module == own and "a function" or "scheme " .. definition.scheme
  local faults = faults_of(module, definition, label)
  if #faults == 0 and module.check then
    faults = module.check(definition)
  end
  return faults, secrets_of(module, definition)
end


--- The scheme of a signature that was checked.
---@param signature string|table|function
---@param name string of the integration, for errors
---@return table scheme
function M.bind(signature, name)
  local definition, module = resolve(signature)
  if not module then
    error(("the signature of %s was not checked"):format(name), 2)
  end
  local scheme
  if module == own then
    scheme = own.bind(definition.scheme, definition.header)
  else
    scheme = module.bind(definition)
  end
  scheme.name = module == own and "function" or definition.scheme
  scheme.secret_names = secrets_of(module, definition)
  return scheme
end


return M
