-- `Authorization: Basic …` (RFC 7617); user name and password are both secrets.

local crypto = require "tide.crypto"
local secrets = require "tide.secrets"
local request_of = require "tide.upstream.request"

local M = {}


function M.bind(integration, definition)
  return {
    apply = function(_, _, request)
      local username = secrets.value(integration, definition.username)
      local password = secrets.value(integration, definition.password)
      request_of.set_header(request, "Authorization", "Basic " .. crypto.base64(username .. ":" .. password))
    end,
  }
end


return M
