-- "Did you mean …?": the known name nearest to one that is not known.

local M = {}

-- Names longer than this are not compared: nobody mistypes them.
local MAX_LENGTH = 64


-- Edit distance with transpositions, as three rows.
local function distance(left, right)
  local before, previous, current = {}, {}, {}
  for j = 0, #right do
    previous[j] = j
  end
  for i = 1, #left do
    current[0] = i
    for j = 1, #right do
      local same = left:byte(i) == right:byte(j)
      local best = math.min(previous[j] + 1, current[j - 1] + 1,
        previous[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and left:byte(i) == right:byte(j - 1)
        and left:byte(i - 1) == right:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      current[j] = best
    end
    before, previous, current = previous, current, before
  end
  return previous[#right]
end


--- The member of `known` nearest to `name`, or nil when none is near.
---@param name any
---@param known string[]|table<string, any> a list of names, or a table by name
---@return string|nil
function M.nearest(name, known)
  if type(name) ~= "string" or #name > MAX_LENGTH then
    return nil
  end
  local best, best_distance = nil, math.max(1, math.min(3, #name // 3)) + 1
  for key, value in pairs(known) do
    local candidate = type(key) == "string" and key or value
    if #candidate <= MAX_LENGTH then
      local d = distance(name:lower(), candidate:lower())
      -- Equal distances are settled by name, so that the message is always the same.
      if d < best_distance or (d == best_distance and best and candidate < best) then
        best, best_distance = candidate, d
      end
    end
  end
  return best
end


--- " (did you mean X?)", or "".
---@return string
function M.hint(name, known)
  local nearest = M.nearest(name, known)
  return nearest and " (did you mean " .. nearest .. "?)" or ""
end


return M
