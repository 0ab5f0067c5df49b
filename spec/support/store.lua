-- The store of the test process: one for all specs, opened by the first that asks, its file
-- removed after the last.

local busted = require "busted"
local store = require "tide.store"

local M = {}


local function remove(path)
  for _, suffix in ipairs({ "", "-wal", "-shm" }) do
    os.remove(path .. suffix)
  end
end


-- Makes sure that the store is open.
function M.open()
  local path = os.tmpname()
  os.remove(path)
  if not pcall(store.open, "sqlite:" .. path) then
    return
  end
  busted.subscribe({ "suite", "end" }, function()
    remove(path)
    return nil, true
  end)
end


return M
