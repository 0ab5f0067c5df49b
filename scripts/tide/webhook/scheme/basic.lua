-- User name and password (RFC 7617), both secrets.

local crypto = require "tide.crypto"
local mac = require "tide.webhook.mac"

local M = {}

M.fields = { username = "secret", password = "secret" }
M.required = { "username", "password" }


-- User name and password of a header's value; nil and what is wrong with it.
local function read(value)
  local scheme, encoded = value:match("^(%a+) +(%S+)$")
  if not scheme or scheme:lower() ~= "basic" then
    return nil, "is not of the scheme Basic"
  end
  local username, password = (crypto.from_base64(encoded) or ""):match("^([^:]*):(.*)$")
  if not username then
    return nil, "is not base64 of a user name and a password"
  end
  return username, password
end


-- The id of the active value that `given` is. All are compared.
local function find(given, secrets)
  local id
  for _, secret in ipairs(secrets) do
    if mac.same(given, secret.value) and secret.value ~= "" then
      id = id or secret.id
    end
  end
  return id
end


local function verify(request, secrets)
  local value = request.headers.authorization
  if not value then
    return nil, "header Authorization is missing"
  end
  local username, password = read(value)
  if not username then
    return nil, "header Authorization " .. password
  end
  local user_id, password_id = find(username, secrets.username), find(password, secrets.password)
  if user_id and password_id then
    return password_id
  end
  return nil, mac.NO_MATCH
end


local function sign(_, secret)
  return { Authorization = "Basic " .. crypto.base64(secret.username .. ":" .. secret.password) }
end


function M.bind()
  return { verify = verify, sign = sign }
end


return M
