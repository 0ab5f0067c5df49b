--- `tidegate run FILE [argument …]`: a Lua file in one task, with the whole library.

local host = require "tide.host"

local M = {}

M.summary = "run a Lua file inside the host"
M.usage = "run FILE [ARGUMENT ...]"


function M.run(arguments)
  local path = arguments[1]
  if not path then return 2, "a file is missing" end
  local source, message = host.read_file(path)
  if not source then return 1, message end
  local chunk, fault = load(source, "@" .. path, "t")
  if not chunk then return 1, fault end
  local code = chunk(table.unpack(arguments, 2))
  return math.type(code) == "integer" and code or 0
end


return M
