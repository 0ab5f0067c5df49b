-- Ways through the tree of a source.

local M = {}


--- Calls `visit(node, parent)` for a node and all below it, each before its children; what is below a node for which
--- it returns false is left out. However deep the tree is, the stack is not.
---@param root table
---@param visit fun(node: table, parent: table|nil): boolean|nil
function M.walk(root, visit)
  local nodes, parents = { root }, { false }
  while #nodes > 0 do
    local top = #nodes
    local node, parent = nodes[top], parents[top]
    nodes[top], parents[top] = nil, nil
    if visit(node, parent or nil) ~= false then
      for i = #node, 1, -1 do
        nodes[#nodes + 1], parents[#parents + 1] = node[i], node
      end
    end
  end
end


return M
