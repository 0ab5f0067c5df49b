-- The requests that a source makes by `ctx.http`, as far as they are written down.

local outline = require "tide.review.outline"
local tree = require "tide.lua.tree"

local M = {}

local VERBS = { get = true, post = true, put = true, patch = true, delete = true, request = true }


-- The verb of a call of ctx.http, or of a local that holds it.
local function verb_of(node)
  local callee = node.kind == "call" and node[1]
  if not callee or callee.kind ~= "index" or not VERBS[callee.name] then
    return nil
  end
  local object = outline.value_of(callee[1])
  local is_http = object and object.kind == "index" and object.name == "http" and object[1].kind == "name"
  return is_http and callee.name or nil
end


--- Every request: its line, and the nodes of its address and its options, where there are.
---@return { line: integer, address: table|nil, options: table|nil }[]
function M.calls(source)
  local calls = {}
  tree.walk(source.tree, function(node)
    local verb = verb_of(node)
    if verb then
      local first = verb == "request" and 3 or 2
      calls[#calls + 1] = { line = node.line, address = node[first], options = node[first + 1] }
    end
  end)
  return calls
end


return M
