-- ns per operation of JSON: a document of 1 KB and one of 100 KB, decoded and encoded.
--
--   json_bench.lua [MODULE [ROUNDS]]      MODULE: tide.json (default), cjson, dkjson
--
-- Plain Lua 5.1 and up, so that the same lines run in the host, in lua5.4 and in LuaJIT.
-- One line a figure: operation, document, bytes, ns (the fastest round, the median).

local arguments = arg or {}
local name = arguments[1] or "tide.json"
local json = require(name)
local rounds = tonumber(arguments[2]) or 7
local ROUND_SECONDS = 0.1


-- The same numbers everywhere, whatever the platform's own generator.
local state = 42
local function random(limit)
  state = (state * 16807) % 2147483647
  return state % limit
end


local function order(id)
  local items = {}
  for i = 1, 2 do
    items[i] = string.format('{"sku":"SKU-%05d","quantity":%d,"price":%d.%02d,"tags":["new","sale"]}',
      random(100000), 1 + random(9), random(500), 1 + random(98))
  end
  return string.format('{"id":%d,"event":"order.paid","created_at":"2024-05-%02dT10:%02d:00.000Z",'
    .. '"customer":{"id":%d,"name":"Kim Minsu","email":"user%d@mail.example","active":true,"note":null},'
    .. '"address":{"line1":"123 Sejong-daero","city":"\236\132\156\236\154\184","zip":"%05d",'
    .. '"lat":37.%06d,"lng":126.%06d},"items":[%s],"total":%d,"currency":"KRW","paid":true,'
    .. '"memo":"leave at the door\\nring \\"twice\\"","meta":{"source":"web","trace":"%08x%08x","retry":0}}',
    1000000 + id, 1 + random(28), random(60), random(1000000), id, random(100000), 100000 + random(899999),
    100000 + random(899999), table.concat(items, ","), random(10000000), random(2147483647), random(2147483647))
end


local function document(bytes)
  local orders, length = {}, 2
  repeat
    orders[#orders + 1] = order(#orders)
    length = length + #orders[#orders] + 1
  until length >= bytes
  return "{\"data\":[" .. table.concat(orders, ",") .. "],\"has_more\":false}"
end


-- Seconds for `count` calls.
local function time(count, operation, value)
  local start = os.clock()
  for _ = 1, count do operation(value) end
  return os.clock() - start
end


local function measure(operation, value)
  local count = 1
  while time(count, operation, value) < ROUND_SECONDS / 4 do count = count * 2 end
  count = count * 4
  collectgarbage()
  local seconds = {}
  for round = 1, rounds do seconds[round] = time(count, operation, value) / count end
  table.sort(seconds)
  return seconds[1] * 1e9, seconds[math.ceil(rounds / 2)] * 1e9
end


local function report(what, label, bytes, operation, value)
  local least, median = measure(operation, value)
  print(string.format("%-10s %-7s %-7s %7d B %10.0f ns least %10.0f ns median", name, what, label, bytes,
    least, median))
end


for _, size in ipairs({ { "1 KB", 1000 }, { "100 KB", 100000 } }) do
  local label, text = size[1], document(size[2])
  local value = assert(json.decode(text))
  report("decode", label, #text, json.decode, text)
  report("encode", label, #text, json.encode, value)
end
