-- Credentials of upstream requests: one file per scheme under auth/, each
-- `bind(integration, definition) -> scheme`, whose `apply(call, attempt, request)` adds
-- them. A scheme that can renew returns what was sent, with `refuse()`.

local provider_auth = require "tide.provider_auth"
local own = require "tide.auth.function"

local M = {}

local SCHEMES = {
  bearer = require "tide.auth.bearer",
  basic = require "tide.auth.basic",
  api_key = require "tide.auth.api_key",
  token = require "tide.auth.token",
  oauth2 = require "tide.auth.oauth2",
  sigv4 = require "tide.auth.sigv4",
}


-- The scheme of a provider's definition, which was checked when it was loaded.
function M.bind(integration, definition)
  if type(definition) == "function" then
    return own.bind(integration, definition)
  end
  return SCHEMES[definition.scheme].bind(integration, definition)
end


-- The scheme that a script gives to a single request; nil and what is wrong with it.
function M.of_request(integration, definition)
  local scheme = provider_auth.schemes[definition.scheme]
  if scheme == nil or scheme.kept then
    return nil, "auth of a request needs a scheme: bearer, basic, api_key or sigv4"
  end
  local fault = provider_auth.check(definition)[1]
  if fault then
    return nil, "auth: " .. (fault.field and fault.field .. ": " or "") .. fault.words
  end
  return M.bind(integration, definition)
end


function M.apply(scheme, call, attempt, request)
  return scheme.apply(call, attempt, request)
end


return M
