-- The keys of a table in an order that does not depend on the process.

local M = {}


--- The keys of a table whose keys are names; of a view too.
---@param members table
---@return string[]
function M.names(members)
  local names = {}
  for name in pairs(members) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end


--- The keys of a table that may be anything and have metamethods, of which none is called.
---@param members table
---@return any[]
function M.keys(members)
  local keys = {}
  for key in next, members do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(left, right) return tostring(left) < tostring(right) end)
  return keys
end


return M
