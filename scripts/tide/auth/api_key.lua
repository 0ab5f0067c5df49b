-- A key in a header or in the query.

local secrets = require "tide.secrets"
local request_of = require "tide.upstream.request"

local M = {}


function M.bind(integration, definition)
  local prefix = definition.prefix or ""
  return {
    apply = function(_, _, request)
      local value = prefix .. secrets.value(integration, definition.secret)
      if definition.query then
        request.query[definition.query] = value
      else
        request_of.set_header(request, definition.header, value)
      end
    end,
  }
end


return M
