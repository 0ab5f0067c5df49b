-- Credentials of upstream requests: one file per scheme under auth/, each
-- `bind(integration, definition) -> scheme`, whose `apply(call, attempt, request)` adds
-- them. A scheme that can renew returns what was sent, with `refuse()`.

local M = {}

local SCHEMES = {
  bearer = require "tide.auth.bearer",
  basic = require "tide.auth.basic",
  api_key = require "tide.auth.api_key",
  token = require "tide.auth.token",
}


-- The scheme of a definition; nil when there is none of that name.
function M.bind(integration, definition)
  local scheme = SCHEMES[definition.scheme]
  return scheme and scheme.bind(integration, definition)
end


function M.apply(scheme, call, attempt, request)
  return scheme.apply(call, attempt, request)
end


return M
