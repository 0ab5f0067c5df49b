-- A webhook as its sender would send it: for `tidegate webhooks send`, and for specs.

local uuid = require "tide.uuid"

local M = {}

local PATH = "/api/v1/webhooks/"
local ORIGIN = "http://localhost"


-- The name of the header that a definition reads its type or id from; nil when it is none.
local function header_of(from)
  return type(from) == "table" and from.header or nil
end


-- Sets a header in place of one of the same name in any case.
local function set(headers, name, value)
  for other in pairs(headers) do
    if other:lower() == name:lower() then
      headers[other] = nil
    end
  end
  headers[name] = value
end


local function lowered(headers)
  local result = {}
  for name, value in pairs(headers) do
    result[name:lower()] = value
  end
  return result
end


-- What a request has before it is signed.
local function headers_of(definition, options)
  local headers = { ["Content-Type"] = options.content_type or "application/json" }
  local type_header, id_header = header_of(definition.type_from), header_of(definition.id_from)
  if type_header and options.type then
    set(headers, type_header, options.type)
  end
  if id_header and options.has_id then
    set(headers, id_header, uuid.v4())
  end
  for name, value in pairs(options.headers or {}) do
    set(headers, name, value)
  end
  return headers
end


-- Where a definition is reached.
function M.path(definition)
  return PATH .. definition.name
end


-- { url, headers, body } of a signed request to a bound definition (webhook/definition.lua). `secrets`:
-- values by the fields of its signature; for schemes with two keys the private one. Options: url (as the
-- receiver's public one is), headers (in place of the ones made here, the signature's too), type,
-- has_id (an id of its own, where that stands in a header), content_type, now.
function M.request(definition, body, secrets, options)
  local headers = headers_of(definition, options)
  local url = options.url or ORIGIN .. M.path(definition)
  local path, query = url:match("^%a+://[^/?]+([^?]*)%??(.*)$")
  local signing = definition.scheme.sign
  if signing then
    local added, other_body, other_url = signing({
      method = "POST", url = url, path = path, query = query ~= "" and query or nil, headers = lowered(headers),
      body = body,
    }, secrets, options.now)
    for name, value in pairs(added or {}) do
      set(headers, name, value)
    end
    body, url = other_body or body, other_url or url
  end
  for name, value in pairs(options.headers or {}) do
    set(headers, name, value)
  end
  set(headers, "Host", url:match("^%a+://([^/?]+)"))
  return { url = url, headers = headers, body = body }
end


return M
