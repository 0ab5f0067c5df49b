-- What the requests of one integration share: its base_url, the hosts that it may reach,
-- its credentials. Bound once per set of values.

local http = require "tide.http"
local auth = require "tide.auth"
local secrets = require "tide.secrets"

local M = {}


local function bind_base(base_url)
  local text = type(base_url) == "table" and base_url[1] or base_url
  if text == nil then
    return nil
  end
  local parsed = http.parse_url(text)
  if parsed == nil then
    return nil
  end
  local url, query = text:match("^([^?#]*)%??([^#]*)")
  return { url = url:gsub("/+$", ""), query = query ~= "" and query or nil, origin = parsed.origin, host = parsed.host }
end


-- What `tls` names, read at use: a function that returns the texts; nil without `tls`.
local function bind_tls(integration)
  local names = integration.provider.tls
  return names and function()
    local texts = {}
    for field, name in pairs(names) do
      texts[field] = secrets.value(integration, name)
    end
    return texts
  end
end


-- The hosts that may be reached: base_url's, those declared, and that of a token endpoint.
local function bind_hosts(provider, base)
  local hosts = { base and base.host }
  for _, host in ipairs(provider.hosts) do
    hosts[#hosts + 1] = host
  end
  local token_url = type(provider.auth) == "table" and provider.auth.token_url or ""
  local parsed = http.parse_url(token_url)
  if parsed then
    hosts[#hosts + 1] = parsed.host
  end
  return hosts
end


local function bind(integration)
  local base = bind_base(integration.values.base_url)
  return {
    values = integration.values,
    base = base,
    hosts = bind_hosts(integration.provider, base),
    tls = bind_tls(integration),
    auth = integration.provider.auth and auth.bind(integration, integration.provider.auth),
    classify = integration.provider.classify,
  }
end


-- The client of an integration, made anew when its values are others.
function M.of(integration)
  local client = integration.client
  if client == nil or client.values ~= integration.values then
    client = bind(integration)
    integration.client = client
  end
  return client
end


return M
