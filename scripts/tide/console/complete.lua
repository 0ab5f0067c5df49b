-- Completion; nothing of the session runs.

local M = {}


function M.find(_, _, at)
  return { from = at, words = {} }
end


return M
