-- Addresses of hosts that a provider may not reach.

local http = require "tide.http"
local http_use = require "tide.review.http_use"
local outline = require "tide.review.outline"
local tree = require "tide.lua.tree"

local M = {}

M.name = "undeclared_host"
M.severity = "error"
M.kinds = { provider = true }
M.describe = "A request goes to a host that is neither the one of `base_url` nor named by `hosts` or `token_url`: it "
  .. "is refused. An address elsewhere in the source is a warning; those in mocks, schemas, summaries and "
  .. "descriptions are left alone."

-- Below these keys an address is an example, a name or a text for people.
local NO_REQUEST = {
  mock = true, input = true, output = true, examples = true, example = true, summary = true, description = true,
  xmlns = true, base_url = true, token_url = true, audience = true, pattern = true,
}


local function host_of(address)
  local parsed = http.parse_url(address)
  return parsed and parsed.host and parsed.host:lower():gsub(":%d+$", "") or nil
end


local function add_address(hosts, address)
  for _, one in ipairs(type(address) == "table" and address or { address }) do
    local host = type(one) == "string" and host_of(one)
    if host then
      hosts[#hosts + 1] = host
    end
  end
end


-- Every host that one of the integrations on this file may reach.
local function declared(of)
  local hosts = {}
  for _, host in ipairs(of.provider.hosts) do
    hosts[#hosts + 1] = host:lower():gsub(":%d+$", "")
  end
  add_address(hosts, of.provider.config.base_url)
  add_address(hosts, type(of.provider.auth) == "table" and of.provider.auth.token_url or nil)
  for _, integration in ipairs(of.integrations) do
    add_address(hosts, integration.values and integration.values.base_url)
  end
  return hosts
end


local function is_declared(host, hosts)
  for _, one in ipairs(hosts) do
    if host == one or (one:sub(1, 2) == "*." and host:sub(-#one + 1) == one:sub(2)) then
      return true
    end
  end
  return false
end


-- The host of a text that begins like an address; nil when it is none, or filled in later.
local function named_host(text)
  local scheme, authority = text:match("^([hH][tT][tT][pP][sS]?)://([^/?#]*)")
  if not authority or authority == "" or authority:find("[%%{}%s]") then
    return nil
  end
  return host_of(("%s://%s/"):format(scheme:lower(), authority))
end


-- The text that an expression begins with: a constant, the left of "..", what is formatted.
local function beginning(node)
  for _ = 1, 100 do
    node = outline.value_of(node)
    if node == nil or node.kind == "string" then
      return node
    elseif node.kind == "binary" and node.operator == ".." then
      node = node[1]
    elseif node.kind == "method" and node.name == "format" then
      node = node[1]
    else
      return nil
    end
  end
end


local function is_example(node)
  return node.kind == "item" and node.name and (NO_REQUEST[node.name] or node.name:match("^xmlns")) ~= nil
end


-- Functions that are somewhere used as `mock = NAME`.
local function mocks(of)
  local functions = {}
  tree.walk(of.source.tree, function(node)
    if node.kind == "item" and node.name == "mock" then
      functions[outline.value_of(node[1]) or false] = true
    end
  end)
  return functions
end


local function words(host)
  return ('%s is not a declared host: add it to hosts = { "%s" }, or append a path to base_url'):format(host, host)
end


-- The addresses of all requests in a source, as string nodes.
local function requested(of)
  local addresses = {}
  for _, call in ipairs(of.source and http_use.calls(of.source) or {}) do
    local address = beginning(call.address)
    addresses[#addresses + 1] = address
    addresses[address or 0] = true
  end
  return addresses
end


-- What shared scripts ask for, this provider may not reach.
local function look_at_companions(of, hosts, found)
  for _, companion in ipairs(of.companions) do
    for _, address in ipairs(requested(companion)) do
      local host = named_host(address.value)
      if host and not is_declared(host, hosts) then
        found[#found + 1] = { line = of:line_of { "hosts" },
          message = ("%s (%s:%d)"):format(words(host), companion.path, address.line) }
      end
    end
  end
end


-- Texts that begin like an address and are in no request, example or mock.
local function look_elsewhere(of, requests, look)
  local made_up = mocks(of)
  tree.walk(of.source.tree, function(node)
    if is_example(node) or made_up[node] then
      return false
    end
    if node.kind == "string" and not requests[node] then
      look(node, "warning")
    end
  end)
end


function M.review(of)
  if not of.provider then
    return {}
  end
  local hosts, found, requests, seen = declared(of), {}, requested(of), {}
  local function look(node, severity)
    local host = named_host(node.value)
    if host and not is_declared(host, hosts) and not seen[node] then
      seen[node] = true
      found[#found + 1] = { line = node.line, message = words(host), severity = severity }
    end
  end
  for _, address in ipairs(requests) do
    look(address, "error")
  end
  look_elsewhere(of, requests, look)
  look_at_companions(of, hosts, found)
  return found
end


return M
