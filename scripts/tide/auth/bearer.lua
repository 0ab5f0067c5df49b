-- `Authorization: Bearer SECRET`.

local secrets = require "tide.secrets"
local request_of = require "tide.upstream.request"

local M = {}


function M.bind(integration, definition)
  return {
    apply = function(_, _, request)
      request_of.set_header(request, "Authorization", "Bearer " .. secrets.value(integration, definition.secret))
    end,
  }
end


return M
