-- tidegate run tools/torture.lua: kills the service again and again under load and looks for what was lost. Exit code
-- 0 only if every acknowledged event is stored and completed, and every effect is there once.
-- Environment: KILLS (100), RATE (600 events a second), SEED (the time).

local host = require "tide.host"
local torture = require "spec.support.torture"


local function number(name, default)
  return math.tointeger(tonumber(host.getenv(name) or default)) or error(name .. " must be a whole number", 0)
end


local options = { kills = number("KILLS", 100), rate = number("RATE", 600), seed = number("SEED", os.time()),
  longest = 1.5 }
host.write("stdout", ("%d kills, %d events a second, SEED=%d\n"):format(options.kills, options.rate, options.seed))
local result = torture.run(options)
for _, fault in ipairs(result.faults) do
  host.write("stderr", fault .. "\n")
end
host.write("stdout", ("sent %d, acknowledged %d, killed %d, stored %d, lost %d, doubled %d\n"):format(result.sent,
  result.acknowledged, result.killed, result.stored, result.lost, result.doubled))
local good = result.lost == 0 and result.doubled == 0 and result.acknowledged == result.sent
  and result.stored == result.sent
return good and 0 or 1
