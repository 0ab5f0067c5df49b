-- A provider's own function: `function(request, secrets, now)`, which runs in the sandbox under the
-- script's budget. What it raises is the caller's to catch.

local message = require "tide.message"

local M = {}

M.fields = { scheme = "function", secret = "secret", secrets = "secrets", header = "header" }
M.required = {}

local REASON_BYTES_MAX = 200
local MEMBERS = { "method", "url", "path", "query", "body" }

-- Headers are found without regard to case; `__metatable` keeps scripts from what all requests share.
local HEADERS = {
  __metatable = "headers",
  __index = function(headers, name) return type(name) == "string" and rawget(headers, name:lower()) or nil end,
}


-- What the function sees of a request; it may change it as it likes.
local function view_of(request)
  local view = {}
  for _, name in ipairs(MEMBERS) do
    view[name] = request[name]
  end
  view.headers = {}
  for name, value in pairs(request.headers) do
    view.headers[name] = value
  end
  setmetatable(view.headers, HEADERS)
  return view
end


-- The values by name.
local function values_of(secrets)
  local values = {}
  for name, list in pairs(secrets) do
    values[name] = {}
    for index, secret in ipairs(list) do
      values[name][index] = secret.value
    end
  end
  return values
end


---@param verify fun(request: table, secrets: table<string, string[]>, now: number): boolean|nil, string?
---@param header? string whose value is stored as the signature
function M.bind(verify, header)
  return {
    is_script = true, signature_header = header and header:lower(),
    verify = function(request, secrets, now)
      local valid, reason = verify(view_of(request), values_of(secrets), now)
      if valid == true then
        return "function"
      end
      return nil, reason ~= nil and message.clean(reason, REASON_BYTES_MAX) or "the function of the provider refused it"
    end,
  }
end


return M
