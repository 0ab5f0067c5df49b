-- Ids of rows are UUIDs of version 7: they begin with the time, so that a range of times is a range
-- of ids, which have an index.

local M = {}


--- The least id of an instant (seconds since 1970), which has microseconds.
---@param seconds number
---@return string
function M.at(seconds)
  local milliseconds = ("%012x"):format(math.max(0, math.floor(seconds * 1e6 + 0.5) // 1000))
  return ("%s-%s-7000-8000-000000000000"):format(milliseconds:sub(1, 8), milliseconds:sub(9))
end


return M
