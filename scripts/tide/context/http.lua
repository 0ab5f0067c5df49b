-- `ctx.http`: requests to the third party, as straight-line code. Failures are raised.

local errors = require "tide.errors"
local auth = require "tide.auth"
local script = require "tide.script"
local client = require "tide.upstream.client"
local exchange = require "tide.upstream.exchange"
local request_of = require "tide.upstream.request"

local M = {}

local VERBS = { get = "GET", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE" }


local function refuse_mock(call)
  error(errors.new("script_error", call.label .. ": a mock may not send requests"), 0)
end


-- `auth = { scheme = "basic", … }` of a single request, bound like the provider's own.
local function explicit_auth(call, request)
  if type(request.auth) ~= "table" then
    if request.auth ~= nil and request.auth ~= false then
      script.misuse("ctx.http: auth is false, or a table like the provider's `auth`")
    end
    return
  end
  local scheme, words = auth.of_request(call.integration, request.auth)
  if scheme == nil then
    script.misuse("ctx.http: " .. words)
  end
  request.auth = scheme
end


-- `purpose` is "auth" inside of `auth` and of a token's `fetch`: such a request carries no token, and
-- changes nothing that a repeated attempt could change twice.
local function perform(call, attempt, purpose, method, path, options)
  script.may_wait(call, "ctx.http")
  if call.mock then
    refuse_mock(call)
  end
  local bound = client.of(call.integration)
  local request = request_of.new(call, bound, method, path, options)
  request.purpose = purpose
  explicit_auth(call, request)
  if purpose and request.auth == nil then
    request.auth = false
  end
  return exchange.perform(call, attempt, bound, request)
end


-- The `http` member of a ctx.
function M.new(call, attempt, purpose)
  local members = {}
  for name, method in pairs(VERBS) do
    members[name] = function(path, options)
      return perform(call, attempt, purpose, method, path, options)
    end
  end
  function members.request(method, path, options)
    return perform(call, attempt, purpose, method, path, options)
  end
  return members
end


return M
