-- Routes as a tree of path segments: a literal segment goes before a parameter.

local M = {}


local function new_node()
  return { literals = {}, methods = nil, parameter = nil, name = nil }
end


local function child_of(node, segment)
  local name = segment:match("^{([%a_]+)}$")
  if not name then
    node.literals[segment] = node.literals[segment] or new_node()
    return node.literals[segment]
  end
  node.parameter = node.parameter or new_node()
  if node.name and node.name ~= name then
    error(("the parameter {%s} is called {%s} by another route"):format(name, node.name), 0)
  end
  node.name = name
  return node.parameter
end


local function add(root, route)
  local method, path = route[1], route[2]
  local node = root
  for segment in path:gmatch("/([^/]*)") do
    node = child_of(node, segment)
  end
  node.methods = node.methods or {}
  if node.methods[method] then
    error(("two handlers for %s %s"):format(method, path), 0)
  end
  node.methods[method] = { path = path, needs = route.needs, handler = route.handler }
end


-- The methods of a path, for Allow.
local function allowed(methods)
  local names = {}
  for name in pairs(methods) do
    names[#names + 1] = name
  end
  if methods.GET then
    names[#names + 1] = "HEAD"
  end
  table.sort(names)
  return table.concat(names, ", ")
end


-- A tree from groups of endpoints, each `{ routes = { { METHOD, PATH, needs, handler } } }`.
-- `needs` is a right (see tokens.lua), "none", "signature" or "socket" (see access.lua). `doc` is for the API's
-- description (openapi.lua): `summary`, `description`, `query` and `headers` (lists of { name, schema, description }),
-- `body` (a schema), `answers` (by status: description, schema or type) and `problems` (codes of errors
-- besides those that anybody may get); `unbound`, when it is not for tokens that are bound to integrations;
-- `of` = "operation", "webhook" or "handshake" where there is one such path for each.
function M.new(groups)
  local root = new_node()
  for _, group in ipairs(groups) do
    for _, route in ipairs(group.routes) do
      add(root, route)
    end
  end
  root.known, root.known_count = {}, 0
  return root
end


-- Paths that were found, so that one that is asked for again is not taken apart again.
local KNOWN_MAX = 1000
local KNOWN_BYTES_MAX = 256

local function remember(root, path, node, params)
  if #path > KNOWN_BYTES_MAX then
    return
  end
  if root.known_count >= KNOWN_MAX then
    root.known, root.known_count = {}, 0
  end
  root.known[path] = { node = node, params = params }
  root.known_count = root.known_count + 1
end


-- The node of a path and its parameters, which are shared and stay as they are.
local function walk(root, path)
  local known = root.known[path]
  if known then
    return known.node, known.params
  end
  local node, params = root, {}
  for segment in path:gmatch("/([^/]*)") do
    local literal = node.literals[segment]
    if literal then
      node = literal
    elseif node.parameter and segment ~= "" then
      params[node.name] = segment
      node = node.parameter
    else
      return nil
    end
  end
  if node.methods then
    remember(root, path, node, params)
  end
  return node, params
end


-- The route of a request and its parameters; nil when there is no such path; nil and the
-- methods that the path has. HEAD is answered as GET.
function M.find(root, method, path)
  local node, params = walk(root, path)
  if not (node and node.methods) then
    return nil
  end
  local route = node.methods[method == "HEAD" and "GET" or method]
  if not route then
    return nil, allowed(node.methods)
  end
  return route, params
end


return M
