-- Addresses of hosts that a provider may not reach.

local http = require "tide.http"
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
local VERBS = { get = true, post = true, put = true, patch = true, delete = true, request = true }


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


-- The address that a call of ctx.http goes to, as a string node.
local function requested(node)
  local callee = node.kind == "call" and node[1]
  if not callee or callee.kind ~= "index" or not VERBS[callee.name] then
    return nil
  end
  local object = outline.value_of(callee[1])
  if not object or object.kind ~= "index" or object.name ~= "http" then
    return nil
  end
  return beginning(node[callee.name == "request" and 3 or 2])
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


function M.review(of)
  if not of.provider then
    return {}
  end
  local hosts, found, requests, made_up = declared(of), {}, {}, mocks(of)
  local function look(node, severity)
    local host = named_host(node.value)
    if host and not is_declared(host, hosts) then
      found[#found + 1] = { line = node.line, message = words(host), severity = severity }
    end
  end
  tree.walk(of.source.tree, function(node)
    local address = requested(node)
    if address and not requests[address] then
      requests[address] = true
      look(address, "error")
    end
  end)
  tree.walk(of.source.tree, function(node)
    if is_example(node) or made_up[node] then
      return false
    end
    if node.kind == "string" and not requests[node] then
      look(node, "warning")
    end
  end)
  return found
end


return M
