-- Which secrets a provider reads, told from its source and the shared scripts that it requires.

local outline = require "tide.review.outline"
local tree = require "tide.lua.tree"

local M = {}


local function is_secret_of_ctx(node)
  return node.kind == "index" and node.name == "secret" and node[1].kind == "name"
end


local function note(uses, of, node, value)
  if value and value.kind == "string" then
    table.insert(uses, { path = of.path, line = node.line, name = value.value })
  else
    uses.is_dynamic = true
  end
end


local function collect(uses, of)
  tree.walk(of.source.tree, function(node, parent)
    if node.kind == "call" and is_secret_of_ctx(node[1]) then
      note(uses, of, node, outline.value_of(node[2]))
    elseif is_secret_of_ctx(node) and not (parent and parent.kind == "call" and parent[1] == node) then
      uses.is_dynamic = true -- ctx.secret as a value
    end
  end)
end


--- The calls of `ctx.secret` in a provider and its scripts: a list of { path, line, name }; `is_dynamic` when a name
--- is not written down.
---@return table uses
function M.of(of)
  local uses = {}
  collect(uses, of)
  for _, companion in ipairs(of.companions) do
    if companion.source then
      collect(uses, companion)
    else
      uses.is_dynamic = true
    end
  end
  return uses
end


return M
