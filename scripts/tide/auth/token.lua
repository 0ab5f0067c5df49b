-- A token that the provider's own `fetch` gets and the host keeps.

local errors = require "tide.errors"
local script = require "tide.script"
local kept_token = require "tide.auth.kept_token"
local request_of = require "tide.upstream.request"

local M = {}


local function check(call, value, lifetime)
  if type(value) ~= "string" or value == "" or value:find("[%z\r\n]") then
    error(errors.new("script_error", call.label .. ": auth.fetch returned no token"), 0)
  end
  if #value > kept_token.BYTES_MAX then
    error(errors.new("script_error", call.label .. ": auth.fetch returned a token of more than 16 KiB"), 0)
  end
  if lifetime ~= nil and not (type(lifetime) == "number" and lifetime > 0) then
    error(errors.new("script_error",
      call.label .. ": auth.fetch returned a lifetime that is not a number of seconds"), 0)
  end
end


local function fetcher(definition)
  return function(_, call)
    -- Required here: a context needs the client, which needs this file.
    local context = require "tide.context"
    local ok, value, lifetime = script.run(call, definition.fetch, context.new(call, "auth"))
    if not ok then
      error(value, 0)
    end
    lifetime = tonumber(lifetime) or lifetime
    check(call, value, lifetime)
    return value, lifetime
  end
end


function M.bind(integration, definition)
  local kept = kept_token.new(integration, "fetch", fetcher(definition))
  local header = definition.header or "Authorization"
  local prefix = definition.prefix or "Bearer "
  return {
    apply = function(call, _, request)
      local credential = kept:acquire(call)
      request_of.set_header(request, header, prefix .. credential.value)
      return credential
    end,
  }
end


return M
