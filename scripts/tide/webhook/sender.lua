-- A webhook as its sender would send it: for `tidegate webhooks send`, and for specs.

local M = {}

local PATH = "/api/v1/webhooks/"
local ORIGIN = "http://localhost"


-- Where the type of an event stands that is read from a header.
local function type_header(definition)
  local from = definition.type_from
  return type(from) == "table" and from.header or nil
end


-- { url, headers, body } of a signed request to a bound definition (webhook/definition.lua). `secrets`:
-- values by the fields of its signature; for schemes with two keys the private one. Options: url (as the
-- receiver's public one is), headers (in place of the ones made here), type, content_type, now.
function M.request(definition, body, secrets, options)
  local headers = { ["Content-Type"] = options.content_type or "application/json" }
  local name = type_header(definition)
  if name and options.type then
    headers[name] = options.type
  end
  local url = options.url or ORIGIN .. PATH .. definition.name
  local path, query = url:match("^%a+://[^/?]+([^?]*)%??(.*)$")
  local lowered = {}
  for key, value in pairs(headers) do
    lowered[key:lower()] = value
  end
  local signing = definition.scheme.sign
  if signing then
    local added, other_body, other_url = signing({
      method = "POST", url = url, path = path, query = query ~= "" and query or nil, headers = lowered, body = body,
    }, secrets, options.now)
    for key, value in pairs(added or {}) do
      headers[key] = value
    end
    body, url = other_body or body, other_url or url
  end
  for key, value in pairs(options.headers or {}) do
    headers[key] = value
  end
  headers.Host = url:match("^%a+://([^/?]+)")
  return { url = url, headers = headers, body = body }
end


return M
