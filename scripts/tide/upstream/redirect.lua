-- Redirects, followed by us and not by the library: at most five, each to a host that was
-- declared, no credential leaving its origin.

local http = require "tide.http"
local errors = require "tide.errors"
local paths = require "tide.upstream.path"
local request_of = require "tide.upstream.request"

local M = {}

local HOPS_MAX = 5
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
-- What may go along to another origin: nothing that could be a credential.
local HARMLESS = {
  accept = true, ["accept-language"] = true, ["content-type"] = true, ["user-agent"] = true,
}


-- Where an answer sends us; nil when it does not, or when the script asked for this status.
function M.location(response, expect)
  if not REDIRECTS[response.status] or expect == "any" then
    return nil
  end
  for _, status in ipairs(expect or {}) do
    if status == response.status then
      return nil
    end
  end
  return response.headers.location
end


-- RFC 3986, 5.2, as far as http needs it.
local function resolve(base, location)
  location = location:gsub("#.*$", "")
  if location:match("^%a[%w+.-]*:") then
    return location
  end
  local scheme, authority, rest = base:match("^(%a[%w+.-]*:)//([^/?#]*)([^#]*)")
  if location:sub(1, 2) == "//" then
    return scheme .. location
  end
  local path = rest:match("^[^?]*")
  if location == "" then
    return scheme .. "//" .. authority .. rest
  end
  if location:sub(1, 1) == "?" then
    return scheme .. "//" .. authority .. path .. location
  end
  local new_path, query = location:match("^([^?]*)(.*)$")
  if new_path:sub(1, 1) ~= "/" then
    new_path = path:gsub("[^/]*$", "") .. new_path
  end
  return scheme .. "//" .. authority .. paths.normalise(new_path) .. query
end

M.resolve = resolve


local function refuse(request, response, why)
  error(errors.new("upstream_error", string.format("%s answered %d: %s", request.name, response.status, why), {
    status = response.status,
    response = response,
  }), 0)
end


local function drop_body(request)
  request.body = nil
  for name in pairs(request.headers) do
    if name:lower():match("^content%-") then
      request.headers[name] = nil
    end
  end
end


local function leave_origin(request)
  request.auth = false
  for name in pairs(request.headers) do
    if not HARMLESS[name:lower()] then
      request.headers[name] = nil
    end
  end
end


-- The request that follows `location`; `request` is the one that was answered, without its
-- credentials, `hops` how many redirects were followed before.
function M.follow(request, response, location, hops)
  if hops >= HOPS_MAX then
    refuse(request, response, string.format("more than %d redirects", HOPS_MAX))
  end
  local target = resolve(request_of.full_url(request), location)
  local from, to = http.parse_url(request.url), http.parse_url(target)
  if to == nil or (to.scheme ~= "http" and to.scheme ~= "https") then
    refuse(request, response, "the redirect leads to no http address")
  end
  if from.scheme == "https" and to.scheme == "http" then
    refuse(request, response, "the redirect leads from https to http")
  end
  local next_request = request_of.copy(request)
  next_request.url = target
  next_request.query = {}
  next_request.redirected = true
  if response.status <= 303 then
    if request.method ~= "HEAD" then
      next_request.method = "GET"
    end
    drop_body(next_request)
  end
  if from.origin ~= to.origin then
    if next_request.body then
      refuse(request, response, "a body may not follow a redirect to another origin")
    end
    leave_origin(next_request)
  end
  return next_request
end


return M
