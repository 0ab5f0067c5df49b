-- A bare Lua handler: tidegate run bench/handler.lua ADDRESS
-- Reads all headers and the body, answers {"ok":true}: what bench/peers/nginx.conf does.

local server = require "tide.server"
local task = require "tide.task"

local HEADERS = { "Content-Type", "application/json" }


local function handle(request)
  local headers = request:headers()
  local body = request.body
  if #headers == 0 or #body == 0 then return request:respond(400) end
  request:respond(200, HEADERS, '{"ok":true}')
end


assert(server.listen((...), handle))
while true do task.sleep(3600) end
