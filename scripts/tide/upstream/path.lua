-- Paths of URLs.

local M = {}


-- Without empty segments and dots (RFC 3986, 5.2.4).
function M.normalise(path)
  local kept = {}
  for segment in path:gmatch("[^/]+") do
    if segment == ".." then
      kept[#kept] = nil
    elseif segment ~= "." then
      kept[#kept + 1] = segment
    end
  end
  local trailing = #kept > 0 and path:match("/%.?%.?$") and "/" or ""
  return "/" .. table.concat(kept, "/") .. trailing
end


return M
