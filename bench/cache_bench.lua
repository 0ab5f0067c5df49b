-- What the cache costs from Lua: build/tidegate run bench/cache_bench.lua [ENTRIES]
-- Prints nanoseconds of CPU per operation, the best of five rounds, less those of the empty loop.

local cache = require "tide.state.cache"

local ROUNDS, OPERATIONS <const> = 5, 1000000
local VALUE <const> = ("v"):rep(16)

local entries = math.tointeger(arg and arg[1] or 1000)
local space = assert(cache.space("bench"))
local keys = {}


-- Keys as long as those of an operation with two short fields.
for index = 1, entries do
  keys[index] = ('lookup:{"business_number":"%010d","language":"ko"}\0%s'):format(index, ("x"):rep(32))
  space:put(keys[index], VALUE, 3600, 0)
end


local function measure(run)
  local best = math.huge
  for _ = 1, ROUNDS do
    local started = os.clock()
    run()
    best = math.min(best, os.clock() - started)
  end
  return best / OPERATIONS * 1e9
end


local idle = measure(function()
  for index = 1, OPERATIONS do local _ = keys[index % entries + 1] end
end)


local function report(name, operation)
  local cost = measure(function()
    for index = 1, OPERATIONS do operation(keys[index % entries + 1]) end
  end)
  print(("%-24s %6.0f ns"):format(name, cost - idle))
end


report("a call of Lua", function(key) return key end)
report("hit", function(key) return space:get(key) end)
report("hit, counted", function(key)
  local value = space:get(key)
  space:count("hit")
  return value
end)
report("miss", function() return space:get("nothing") end)
report("put", function(key) return space:put(key, VALUE, 3600, 0) end)
print(("%d entries, %d bytes each"):format(space:stats().entries, space:stats().bytes // entries))
