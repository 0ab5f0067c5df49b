-- `auth = function(ctx, request)`: the provider's own code authorises each request, which is a
-- plain table to it.

local errors = require "tide.errors"
local http = require "tide.http"
local script = require "tide.script"
local request_of = require "tide.upstream.request"

local M = {}

local MEMBERS = { method = "string", url = "string", headers = "table", query = "table", body = "string" }


local function refuse(call, words, ...)
  error(errors.new("script_error", call.label .. ": auth: " .. words:format(...)), 0)
end


local function offered(request)
  local copy = request_of.copy(request)
  return { method = copy.method, url = copy.url, headers = copy.headers, query = copy.query, body = copy.body }
end


local function check(call, changed)
  for name, value in next, changed do
    local wanted = MEMBERS[name]
    if wanted == nil then
      refuse(call, "a request has no member %q: method, url, headers, query, body", tostring(name))
    elseif type(value) ~= wanted then
      refuse(call, "%s must be a %s, got %s", name, wanted, type(value))
    end
  end
  for name in pairs(MEMBERS) do
    if name ~= "body" and changed[name] == nil then
      refuse(call, "%s is missing", name)
    end
  end
  if not changed.method:match("^%u+$") then
    refuse(call, "the method must be upper-case letters")
  end
  local parsed, message = http.parse_url(changed.url)
  if parsed == nil then
    refuse(call, "the address cannot be read: %s", message)
  end
end


-- Only hosts that are declared can be reached: the client itself refuses others.
local function take_over(request, changed)
  request.method, request.url, request.body = changed.method, changed.url, changed.body
  request.headers = request_of.headers_of(changed.headers, "auth")
  request.query = request_of.query_of(changed.query, "auth")
end


function M.bind(_, authorise)
  return {
    apply = function(call, _, request)
      -- Required here: a context needs the client, which needs this file.
      local context = require "tide.context"
      local changed = offered(request)
      local ok, err = script.run(call, authorise, context.new(call, "auth"), changed)
      if not ok then
        error(err, 0)
      end
      check(call, changed)
      take_over(request, changed)
    end,
  }
end


return M
