-- `.quit`: ends the console.

local M = {}

M.summary = "end this console"
M.usage = ".quit"


function M.run(session)
  session.ended = true
end


return M
