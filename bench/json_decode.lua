-- JSON decode, the same file for both: `tidegate run bench/json_decode.lua PAYLOAD SECONDS` uses
-- tide.json; inside nginx-lua (bench/peers/nginx.conf) it is called with lua-cjson's decode.
-- Prints operations and CPU time.

local BATCH = 2000
local WARM_UP_SECONDS = 0.3


local function run(decode, text, seconds)
  local operations = 0
  local start = os.clock()
  local now = start
  while now - start < seconds do
    for _ = 1, BATCH do decode(text) end
    operations = operations + BATCH
    now = os.clock()
  end
  return operations, now - start
end


local function measure(decode, text, seconds)
  assert(decode(text).data.recipient.address.city == "Seoul")
  run(decode, text, WARM_UP_SECONDS)
  local operations, cpu = run(decode, text, seconds)
  return ("operations=%d failed=0 cpu_us=%.0f"):format(operations, cpu * 1e6)
end


local path, seconds = ...
if not path then return measure end

local file = assert(io.open(path, "rb"))
local text = file:read("*a")
file:close()
print(measure(require("tide.json").decode, text, tonumber(seconds)))
