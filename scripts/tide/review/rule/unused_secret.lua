-- Secrets that are declared and not read.

local provider_auth = require "tide.provider_auth"
local secret_use = require "tide.review.secret_use"
local signatures = require "tide.webhook.signatures"

local M = {}

M.name = "unused_secret"
M.severity = "warning"
M.kinds = { provider = true }
M.describe = "`secrets` declares a name that the provider never reads."


-- Of a signature that is a function every secret may be read.
local function may_read_any(of)
  for _, definition in pairs(of.provider.webhooks or {}) do
    if type(definition.signature) == "function" then
      return true
    end
  end
end


local function add_values(names, by_field)
  for _, name in pairs(by_field) do
    names[name] = true
  end
end


-- Everything that auth, tls, signatures or calls of ctx.secret name.
local function used_names(of, uses)
  local names, auth = {}, of.provider.auth
  if type(auth) == "table" then
    add_values(names, select(2, provider_auth.check(auth)))
  end
  add_values(names, of.provider.tls or {})
  for _, definition in pairs(of.provider.webhooks or {}) do
    add_values(names, select(2, signatures.check(definition.signature)))
  end
  for _, use in ipairs(uses) do
    names[use.name] = true
  end
  return names
end


-- `auth` of single requests names secrets by words anywhere in the source.
local function is_written(of, name)
  local quoted = ("[\"']%s[\"']"):format(name)
  local _, count = of.text:gsub(quoted, "")
  return count > 1
end


function M.review(of)
  local uses = of.provider and secret_use.of(of)
  if not uses or uses.is_dynamic or may_read_any(of) then
    return {}
  end
  local names, found = used_names(of, uses), {}
  for _, name in ipairs(of.provider.definition.secrets or {}) do
    if not names[name] and not is_written(of, name) then
      found[#found + 1] = { line = of:line_of { "secrets" },
        message = ("the secret %s is declared and never read: remove it from secrets"):format(name) }
    end
  end
  return found
end


return M
